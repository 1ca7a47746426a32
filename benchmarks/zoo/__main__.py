"""Compact networks that no one here wrote and say of each what became of it.

    python -m benchmarks.zoo                      # all that are missing or new, then the page
    python -m benchmarks.zoo timm/levit_128s bert # these anew: names or parts of them
    python -m benchmarks.zoo --list

Torchvision's classifiers, timm's and tiny networks of transformers (`pip install
"tl1bench[suite,zoo]"`), random weights, nothing is downloaded. Each network is tried in a process
of its own, on one thread, under a limit of time and memory, and its row is kept in `--rows` as soon
as it is there: a run that was ended goes on where it was. Rows of another version of the packages
or of `tl1bench/tracing`, `compaction` and `export` are kept too; name the networks to have them
anew, or delete the folder.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from benchmarks.zoo import _page, _timm
from benchmarks.zoo._trial import Row
from tl1bench.files import read_json, write_json, write_text
from tl1bench.progress import say, steps

ROOT = Path(__file__).parents[2]


def names() -> tuple[str, ...]:
    """Return all networks, as `package/name`; those that take least time come first."""
    from benchmarks.zoo import _torchvision, _transformers

    return (
        *(f"transformers/{name}" for name in _transformers.NETWORKS),
        *(f"timm/{name}" for name in _timm.NAMES),
        *(f"torchvision/{name}" for name in _torchvision.names()),
    )


def tried(name: str, seconds: float, gigabytes: float) -> Row:
    """Try a network in a process of its own.

    Parameters
    ----------
    name
        The network, as `package/name`.
    seconds
        How long it may take.
    gigabytes
        How much memory of its own it may have.

    Returns
    -------
    Row
        A process that ends by itself is refused with its last line.
    """
    command = [sys.executable, "-m", "benchmarks.zoo._trial", name, str(gigabytes)]
    try:
        done = subprocess.run(
            command, cwd=ROOT, env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True,
            text=True, timeout=seconds, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return Row(name, refused=f"Takes more than {seconds:g} seconds.")
    if done.returncode:
        last = (done.stderr.strip().splitlines() or [f"ended with {done.returncode}"])[-1]
        return Row(name, refused=f"Failed: {last[:300]}")
    return _row(json.loads(done.stdout.splitlines()[-1]))


def _row(told: dict[str, object]) -> Row:
    lists = {key: tuple(value) for key, value in told.items() if isinstance(value, list)}
    return Row(**{**told, **lists})  # type: ignore[arg-type]


def _file(rows: Path, name: str) -> Path:
    return rows / f"{name.replace('/', '.')}.json"


def _chosen(parts: list[str], every: tuple[str, ...]) -> list[str]:
    missing = [part for part in parts if not any(part in name for name in every)]
    if missing:
        raise SystemExit(f"No network is called {missing[0]!r}: see --list.")
    return [name for name in every if any(part in name for part in parts)]


def _arguments() -> argparse.Namespace:
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser("benchmarks.zoo", description=__doc__, formatter_class=raw)
    parser.add_argument("networks", nargs="*", help="only these, anew: names or parts of names")
    parser.add_argument("--list", action="store_true", help="print the names and end")
    parser.add_argument("--rows", type=Path, default=ROOT / "build" / "zoo", help="what is kept")
    parser.add_argument("--page", type=Path, default=ROOT / "docs" / "zoo.md", help="the table")
    parser.add_argument("--seconds", type=float, default=900, help="for one network")
    parser.add_argument("--gigabytes", type=float, default=16, help="for one network")
    return parser.parse_args()


def _kept(rows: Path, every: tuple[str, ...]) -> Iterator[Row]:
    for name in every:
        if _file(rows, name).exists():
            yield _row(read_json(_file(rows, name)))


def _write(page: Path, rows: Path, every: tuple[str, ...]) -> None:
    write_text(page, _page.page(list(_kept(rows, every)), len(every)))


def main() -> int:
    """Try what is missing, write the page; 1 if a network is wrong or has grown."""
    given, every = _arguments(), names()
    if given.list:
        say("\n".join(every))
        return 0
    missing = [name for name in every if not _file(given.rows, name).exists()]
    chosen = _chosen(given.networks, every) if given.networks else missing
    with steps("zoo") as move:
        for place, name in enumerate(chosen):
            move(place, len(chosen), name)
            row = tried(name, given.seconds, given.gigabytes)
            write_json(_file(given.rows, name), row.__dict__)
            say(_page.told(row))
            _write(given.page, given.rows, every)
    _write(given.page, given.rows, every)
    return int(any(_page.is_wrong(row) for row in _kept(given.rows, every)))


if __name__ == "__main__":
    sys.exit(main())
