"""Hostile files of every format: a script that writes them, and an index of what they try.

Usage: python hostile_corpus.py FOLDER. Nothing but code is kept: each file is made from a good one.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import hostile_data
import hostile_models
import hostile_networks

Make = Callable[[Path], Path]


def attacks() -> Iterator[tuple[str, str, Make]]:
    """Yield format, what is tried, and what writes the file."""
    data_sets = hostile_data.data_sets()
    of = {
        "safetensors": hostile_networks.saved(),
        "pt2": hostile_networks.programs(),
        "onnx": hostile_models.models(),
        "data set": data_sets,
        "examples": {n: data_sets[n] for n in ("an array of objects", "a bomb", "a pipe")},
        "yaml": hostile_data.settings(),
        "mirror": hostile_data.mirrors(),
    }
    for kind, makes in of.items():
        for what, make in makes.items():
            yield kind, what, make


def main(root: Path) -> None:
    index = []
    hostile_networks.rezipped(root / "good.pt2", hostile_networks.good())
    for number, (kind, what, make) in enumerate(attacks()):
        folder = root / f"{number:03d}"
        folder.mkdir()
        os.chdir(folder)
        index.append({"kind": kind, "what": what, "folder": str(folder), "file": str(make(folder))})
    (root / "index.json").write_text(json.dumps(index))


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve())
