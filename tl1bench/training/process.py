"""How a process that trains is set up, and on which device."""

from __future__ import annotations

import ctypes
import gc
import sys

import torch

from tl1bench.errors import ConfigError

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # as malloc.h numbers them


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
    """Set torch up for training: threads, denormals flushed, TF32 where there is a GPU.

    Memory that the process had once it keeps, so it is no place to measure memory in, and what
    exists by now is never looked through for garbage again.
    """
    torch.set_num_threads(threads)
    # Shrinking towards zero makes denormals, which cost a CPU five to ten times as much.
    torch.set_flush_denormal(True)
    torch.set_float32_matmul_precision("high")
    _keep_memory()
    # What is there by now stays: looking through all of torch takes as long as a hundred steps of a
    # small network, every other epoch.
    gc.freeze()
    _spare_dynamo()


def _keep_memory() -> None:
    """Tell glibc to give no block back to the system before the process ends.

    By itself it returns large ones at once, and each iteration faults its activations in anew.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is not None:
        mallopt(_TRIM_THRESHOLD, 2**31 - 1)
        any(mallopt(_MMAP_THRESHOLD, size) for size in (1 << 30, 1 << 25))  # what old ones allow


def _spare_dynamo() -> None:
    """Keep torch.optim from importing torch's compiler, which takes longer than a short run.

    Some of its methods wrap themselves by `torch._dynamo.disable` when first called; nothing is
    compiled here, so the plain method serves.
    """
    for method in vars(torch.optim.Optimizer).values():
        plain = getattr(method, "__wrapped__", None)
        if plain is not None and "torch._dynamo" not in sys.modules:
            plain.__dict__.setdefault("__dynamo_disable", plain)
