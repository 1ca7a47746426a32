"""Triton where it cannot launch anything: it is put aside, and steps go through torch.

At the first launch Triton builds a library with a C compiler and Python's headers. Where these are
missing, or where it does not know the card, all else of the proof can still be found out.
"""

from __future__ import annotations

import os
import sys
from typing import Any

import torch

from tl1bench.kernels import card

_ASIDE = "GPU_PROOF_WITHOUT_TRITON"


def probed(device: torch.device) -> str:
    """Launch a pass on the device; where that fails put Triton aside and return why."""
    follow()
    weights = torch.ones(1, 8, device=device)
    if not card.takes(weights):
        return ""
    try:
        card.first_pass_(weights, 1)
    except Exception as error:  # a compiler's, a driver's: anything may come
        os.environ[_ASIDE] = "1"
        follow()
        first = str(error).strip().partition("\n")[0]
        return f"put aside, steps go through torch: {type(error).__name__}: {first[:300]}"
    return ""


def follow() -> None:
    """Put Triton aside in this process, too, where that was done in the one that began it."""
    if os.environ.get(_ASIDE):
        modules: dict[str, Any] = sys.modules
        modules["triton"] = None
        modules.pop("tl1bench.kernels._card_passes", None)
        card._passes.cache_clear()
