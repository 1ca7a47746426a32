"""How a process that trains is set up, and on which device."""

from __future__ import annotations

import sys

import torch

from tl1bench.errors import ConfigError


def choose_device(name: str, index: int = 0) -> torch.device:
    """Return the device that `name` means; run `index` takes its turn among several GPUs.

    Raises
    ------
    ConfigError
        A GPU is asked for and there is none.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cpu":
        return torch.device("cpu")
    if not torch.cuda.is_available():
        raise ConfigError(f"device is {name!r} but there is no GPU here: set device: auto or cpu.")
    return torch.device(f"cuda:{index % torch.cuda.device_count()}" if name == "cuda" else name)


def prepare_process(threads: int = 1) -> None:
    """Set torch up for training: threads, denormals flushed, TF32 where there is a GPU."""
    torch.set_num_threads(threads)
    # Shrinking towards zero makes denormals, which cost a CPU five to ten times as much.
    torch.set_flush_denormal(True)
    torch.set_float32_matmul_precision("high")
    _spare_dynamo()


def _spare_dynamo() -> None:
    """Keep torch.optim from importing torch's compiler, which takes longer than a short run.

    Some of its methods wrap themselves by `torch._dynamo.disable` when first called; nothing is
    compiled here, so the plain method serves.
    """
    for method in vars(torch.optim.Optimizer).values():
        plain = getattr(method, "__wrapped__", None)
        if plain is not None and "torch._dynamo" not in sys.modules:
            plain.__dict__.setdefault("__dynamo_disable", plain)
