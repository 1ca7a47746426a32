"""What surrounds a training loop of anybody's: generators seeded, something done at each step."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch


def seed_all(text: str) -> None:
    """Seed the global generators of torch, numpy and Python."""
    seed = int.from_bytes(hashlib.sha256(text.encode()).digest()[:4])
    torch.manual_seed(seed)
    np.random.seed(seed)
    random.seed(seed)


@contextmanager
def own_random() -> Iterator[None]:
    """Leave the global generators of torch, numpy and Python as they were."""
    python, numpy = random.getstate(), np.random.get_state()
    with torch.random.fork_rng():
        yield
    random.setstate(python)
    np.random.set_state(numpy)


@contextmanager
def at_each(
    optimizer: torch.optim.Optimizer, length: int, action: Callable[[float], None]
) -> Iterator[None]:
    """Call `action` with the share of `length` that is gone, before each step of `optimizer`.

    Parameters
    ----------
    optimizer
        Whose steps count.
    length
        Steps in all.
    action
        Called with a share in [0, 1), or more when there are more steps.

    Returns
    -------
    context manager
        While it lasts the action is called.
    """
    done = 0

    def before(*_: Any) -> None:
        nonlocal done
        action(done / length)
        done += 1

    hook = optimizer.register_step_pre_hook(before)
    try:
        yield
    finally:
        hook.remove()
