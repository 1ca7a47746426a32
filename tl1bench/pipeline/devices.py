"""Where runs are trained: one process a core without cards, else several that share each card.

A small network leaves a card waiting for the core that launches its kernels. Runs that share a card
lie in processes of their own, each with one core to launch from, so that no training code knows of
the others.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

# CUDA's own memory, the library's, a data set of bytes and a network of some ten million weights.
RUN_MIB = 3072
VISIBLE = "CUDA_VISIBLE_DEVICES"
_QUERY = ("--query-gpu=index,uuid,memory.free", "--format=csv,noheader,nounits")
_held: list[int] = []


@dataclass(frozen=True)
class Card:
    """A GPU: its `name` in CUDA_VISIBLE_DEVICES, and how many MiB are free."""

    name: str
    free_mib: int


def cards(device: str) -> list[Card]:
    """Return the cards that `device` of params.yaml means here.

    Parameters
    ----------
    device
        "auto" or "cuda" for all that CUDA would show, "cuda:N" for one of them, "cpu" for none.

    Returns
    -------
    list of Card
        Empty where the driver's nvidia-smi is missing or says nothing, and where torch cannot use
        what it tells of; a card whose free memory it does not know takes one run.
    """
    if device == "cpu":
        return []
    there = _visible(_listed(), os.environ.get(VISIBLE))
    if not (there and _usable()):
        return []
    _, _, number = device.partition(":")
    return there[int(number) : int(number) + 1] if number else there


def _listed() -> dict[str, Card]:
    """Ask the driver: every card by its index and by its UUID."""
    command = shutil.which("nvidia-smi")
    if command is None:
        return {}
    done = subprocess.run(
        [command, *_QUERY], capture_output=True, text=True, check=False, timeout=60
    )
    found: dict[str, Card] = {}
    for line in done.stdout.splitlines() if done.returncode == 0 else ():
        index, name, free = (part.strip() for part in line.split(","))
        found[index] = found[name] = Card(name, int(free) if free.isdecimal() else RUN_MIB)
    return found


def _visible(listed: dict[str, Card], asked: str | None) -> list[Card]:
    """Return what CUDA shows of the cards, under the names that are asked for.

    CUDA may count in another order than the driver: a number that is asked for stays a number.
    """
    if asked is None:
        return list({card.name: card for card in listed.values()}.values())
    names = [name.strip() for name in asked.split(",") if name.strip() not in ("", "-1")]
    unknown = Card("", RUN_MIB)
    return [Card(name, listed.get(name, unknown).free_mib) for name in names] if listed else []


def _usable() -> bool:
    """Ask torch in a process of its own: this one stays without it."""
    asked = "import sys, torch; sys.exit(not torch.cuda.is_available())"
    return subprocess.run([sys.executable, "-c", asked], check=False).returncode == 0


def count(workers: int | str, there: Sequence[Card]) -> int:
    """Return how many runs are trained at once.

    Parameters
    ----------
    workers
        A number, which is taken at its word, or "auto".
    there
        The cards, none for the CPU.

    Returns
    -------
    int
        For "auto" one a core, with cards no more than their free memory takes, and at least one.
    """
    if isinstance(workers, int):
        return workers
    cores = len(os.sched_getaffinity(0))
    room = sum(card.free_mib // RUN_MIB for card in there)
    return max(1, min(cores, room)) if there else cores


def places(there: Sequence[Card], processes: int) -> list[str]:
    """Return the card of each process: always the one with most memory left.

    Parameters
    ----------
    there
        At least one card.
    processes
        How many share them.

    Returns
    -------
    list of str
        Names of cards.
    """
    left = {card.name: card.free_mib for card in there}
    chosen = []
    for _ in range(processes):
        name = max(left, key=left.__getitem__)
        left[name] -= RUN_MIB
        chosen.append(name)
    return chosen


def take(folder: Path, chosen: Sequence[str]) -> None:
    """Show this process one card of those `chosen`, which it holds as long as it lives.

    Parameters
    ----------
    folder
        Where all that share the cards mark what they hold.
    chosen
        What `places` returned.
    """
    free = (name for i, name in enumerate(chosen) if _locked(folder / str(i)))
    # One that takes the place of a process which is still ending finds nothing free.
    os.environ[VISIBLE] = next(free, chosen[os.getpid() % len(chosen)])


def _locked(file: Path) -> bool:
    handle = os.open(file, os.O_CREAT | os.O_RDWR)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        return False
    _held.append(handle)
    return True
