"""Small C kernels, built once a machine by its own compiler and kept in the user's cache folder.

A cold `torch.compile` of one elementwise function costs tens of seconds and a warm one several in
every process; a C compiler needs under a second once, and a later process a millisecond. Who has
no compiler loses speed only: every kernel has a torch twin, which gives the same up to rounding.
The C files lie beside this module and know nothing of torch; thin bindings of the same names check
what they are given.
"""

from __future__ import annotations

import ctypes
import functools
import hashlib
import os
import platform
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tl1bench.errors import ConfigError
from tl1bench.files import atomic_path

MODES = ("auto", "always", "never")
# Products and sums are fused where a kernel says so, not where a compiler likes to.
_FLAGS = ("-O3", "-fPIC", "-shared", "-ffp-contract=off", "-fno-math-errno", "-fno-trapping-math")
# Not every compiler knows its own processor, nor every processor wide vectors.
_TUNED = (("-march=native", "-mprefer-vector-width=512"), ("-march=native",), ())
_BUILD_SECONDS = 60
_INCLUDE = re.compile(r'^#include "([a-z0-9_]+\.h)"$', re.MULTILINE)


def mode() -> str:
    """Return the compile mode from TL1BENCH_COMPILE: auto (default), always or never.

    `auto` uses a kernel where a compiler (or a kept kernel) is found and torch otherwise;
    `always` makes a missing compiler an error; `never` uses torch alone.

    Raises
    ------
    ConfigError
        The variable holds anything else.
    """
    chosen = os.environ.get("TL1BENCH_COMPILE", "auto")
    if chosen not in MODES:
        raise ConfigError(f"TL1BENCH_COMPILE is {chosen!r}: set it to one of {', '.join(MODES)}.")
    return chosen


def library(source: str) -> ctypes.CDLL | None:
    """Return the loaded library of C `source`, or None when there is none to be had.

    The first call on a machine compiles; later calls and processes load the kept file, whose name
    is a digest of source, flags and processor, in TL1BENCH_CACHE or the user's cache folder. A
    process looks for each library once.

    Raises
    ------
    ConfigError
        The mode is `always` and no C compiler works.
    """
    chosen = mode()
    if chosen == "never":
        return None
    found = _library(source)
    if found is None and chosen == "always":
        raise ConfigError(
            "TL1BENCH_COMPILE is 'always' but no working C compiler was found: "
            "install cc, gcc or clang (or point CC at one), or set it to 'auto'."
        )
    return found


def function(file: str, name: str, arguments: tuple[Any, ...]) -> Callable[..., None] | None:
    """Return void function `name` of a C file beside this module, or None when there is none.

    Parameters
    ----------
    file
        Name of the file, such as "tl1.c".
    name
        Name of the function.
    arguments
        The ctypes of its arguments.

    Returns
    -------
    callable or None
        Takes the arguments by position.

    Raises
    ------
    ConfigError
        As `library`.
    """
    found = library(source(file))
    return None if found is None else _function(found, name, arguments)


@functools.cache
def source(file: str) -> str:
    """Return the text of a C file beside this module, headers beside it put in where included."""
    text = Path(__file__).with_name(file).read_text(encoding="utf-8")
    return _INCLUDE.sub(lambda found: source(found[1]), text)


@functools.cache
def _function(found: ctypes.CDLL, name: str, arguments: tuple[Any, ...]) -> Callable[..., None]:
    pointer = found[name]
    pointer.restype, pointer.argtypes = None, list(arguments)
    return pointer


@functools.cache
def _library(source: str) -> ctypes.CDLL | None:
    # Every layer of every step asks: reading the environment each time would be felt.
    read = os.environ.get
    base, given = read("XDG_CACHE_HOME"), read("TL1BENCH_CACHE")
    folder = Path(given) if given else Path(base or Path.home() / ".cache") / "tl1bench"
    compiler = read("CC", "")
    digest = hashlib.sha256("\0".join((source, *_FLAGS, _processor())).encode()).hexdigest()
    target = folder / "kernels" / f"{digest[:32]}.so"
    if _is_ours(target):
        try:
            return ctypes.CDLL(str(target))
        except OSError:  # a half-written or foreign file: build it anew
            pass
    try:
        target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with atomic_path(target) as draft:
            return _build(source, compiler, draft)
    except OSError:  # the cache cannot be written: this process gets a kernel of its own
        with tempfile.TemporaryDirectory() as own:
            return _build(source, compiler, Path(own) / target.name)


def _is_ours(path: Path) -> bool:
    """Whether `path` is a file that nobody but this user could have written."""
    try:
        status = path.stat()
    except OSError:
        return False
    return status.st_uid == os.getuid() and not status.st_mode & 0o022


def _build(source: str, compiler: str, target: Path) -> ctypes.CDLL | None:
    for name in [compiler] if compiler else ["cc", "gcc", "clang"]:
        command = shutil.which(name)
        if command is None:
            continue
        for tuned in _TUNED:
            try:
                done = subprocess.run(
                    [command, *_FLAGS, *tuned, "-x", "c", "-", "-o", str(target), "-lm"],
                    input=source.encode(),
                    capture_output=True,
                    timeout=_BUILD_SECONDS,
                    check=False,
                )
            except (OSError, subprocess.TimeoutExpired):
                continue
            if done.returncode == 0:
                target.chmod(0o700)
                return ctypes.CDLL(str(target))
    return None


def _processor() -> str:
    """Return what `-march=native` depends on, as far as the system tells."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    told = [line for line in lines if line.startswith(("model name", "flags", "Features", "CPU"))]
    return " ".join((platform.machine(), platform.processor(), *sorted(set(told))))
