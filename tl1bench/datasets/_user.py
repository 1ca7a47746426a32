"""A user's own data set: a table, a .npz of four arrays, or a folder of images."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np

from tl1bench import files, tasks
from tl1bench.datasets import _images
from tl1bench.datasets._dataset import Array, Dataset, Raw
from tl1bench.datasets._learned import learned
from tl1bench.datasets._npz import MAX_BYTES, read_npz
from tl1bench.datasets._options import Options
from tl1bench.datasets._tables import read_frame, table
from tl1bench.errors import DataError

_KEYS = ("x_train", "y_train", "x_test", "y_test")
_MAX_COLUMNS = 100_000


def read_user(
    name: str,
    path: Path,
    root: Path,
    label: str | None = None,
    options: Options | None = None,
) -> Dataset:
    """Read the file at `path` as data set `name`; the same bytes as at its first use, or refused.

    .npz: x_train, x_test as (n, features), (n, height, width) or (n, channels, height, width);
    y_train, y_test as n whole numbers or strings, or numbers to be learned. Unsigned bytes are
    taken for pixels and scaled by 1/255, all other numbers become float32 as they are.

    A table (.csv, .tsv, .txt, .data, .parquet): one row an example; numbers, booleans and
    categories beside a label, with gaps. A column `split` of `train` and `test` is obeyed; without
    it every fifth row of each class, or in size, is for testing. `prepare` makes inputs of it after
    the split.

    A folder: images in folders named after their classes.

    The sha256 is recorded in ``ROOT/digests/NAME.sha256``.

    Parameters
    ----------
    name
        What the data set is called.
    path
        The file or folder.
    root
        Where data lie.
    label
        The column that is to be learned; by default one called so, or the last.
    options
        What else was said about the file.

    Returns
    -------
    Dataset
        Whole; a table is not prepared yet.

    Raises
    ------
    DataError
        The file is missing, has changed since, or does not hold such a data set.
    """
    options = Options(label=label) if options is None else options
    try:
        folder = Path(path).is_dir()
        content = b"" if folder else files.read_bytes(path, MAX_BYTES)
        digest = _images.digest(Path(path)) if folder else hashlib.sha256(content).hexdigest()
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise DataError(
            f"data set '{name}': cannot read {path}: {reason}; put the file there or "
            f"correct datasets.{name}.path in params.yaml"
        ) from None
    digest_file = Path(root) / "digests" / f"{name}.sha256"
    recorded = _recorded(digest_file)
    if recorded not in (None, digest):
        raise DataError(
            f"data set '{name}': {path} has changed since its first use: expected sha256 "
            f"{recorded}, found {digest}; restore the file, or accept it by deleting {digest_file}"
        )
    try:
        if folder:
            dataset = _of_arrays(
                name, _images.read(Path(path), options.size), options.task, stratified=True
            )
        elif Path(path).suffix.lower() == ".npz":
            dataset = _of_arrays(name, _npz(content), options.task)
        else:
            dataset = _of_table(name, content, Path(path).suffix.lower(), options)
    except (ValueError, MemoryError, OverflowError) as error:
        reason = " ".join(str(error).split())[:500] or type(error).__name__
        raise DataError(f"data set '{name}': {path}: {reason}") from None
    if recorded is None:
        try:
            files.write_text(digest_file, f"{digest}  {Path(path).name}\n")
        except OSError as error:
            raise DataError(
                f"data set '{name}': cannot record its digest in {digest_file}: {error.strerror}; "
                "make room or permission there"
            ) from None
    return dataset


def _recorded(digest_file: Path) -> str | None:
    try:
        words = digest_file.read_text(encoding="utf-8").split()
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError):
        words = []
    if not words:
        raise DataError(f"{digest_file} holds no digest; delete it to accept the file as it is")
    return words[0]


def _of_arrays(name: str, arrays: dict[str, Array], task: str, stratified: bool = False) -> Dataset:
    """Return the data set in four arrays; ValueError says what is wrong with it."""
    x_train, x_test = (_features(key, arrays[key]) for key in ("x_train", "x_test"))
    if x_train.shape[1:] != x_test.shape[1:] or x_train.dtype != x_test.dtype:
        raise ValueError(
            f"x_train has examples of {x_train.shape[1:]} {x_train.dtype}, x_test of "
            f"{x_test.shape[1:]} {x_test.dtype}; make them alike"
        )
    _check(x_train, arrays["y_train"], x_test, arrays["y_test"])
    y_train, y_test, labels = learned(task, arrays["y_train"], arrays["y_test"])
    return Dataset(
        name=name,
        x_train=x_train,
        y_train=y_train,
        x_test=x_test,
        y_test=y_test,
        scale=1 / 255 if x_train.dtype == np.uint8 else 1.0,
        labels=labels,
        stratified=stratified,
        task=tasks.load(task),
    )


def _of_table(name: str, content: bytes, suffix: str, options: Options) -> Dataset:
    """Return the data set in a table, not prepared yet; ValueError says what is wrong with it."""
    first = content.split(b"\n", 1)[0]
    if max(first.count(mark) for mark in (b",", b";", b"\t")) > _MAX_COLUMNS:
        raise ValueError(f"no readable table (more than {_MAX_COLUMNS:,} columns)")
    found = table.read(read_frame(content, suffix, options.reading), options)
    test = found.test
    x_train, x_test = found.x[~test], found.x[test]
    _check(x_train, found.y[~test], x_test, found.y[test])
    y_train, y_test, labels = learned(options.task, found.y[~test], found.y[test])
    return Dataset(
        name=name,
        x_train=x_train,
        y_train=y_train,
        x_test=x_test,
        y_test=y_test,
        scale=1.0,
        labels=labels,
        stratified=bool(labels),
        notes=found.notes,
        raw=Raw(found.columns, found.label, options),
        task=tasks.load(options.task),
    )


def _check(x_train: Array, y_train: Array, x_test: Array, y_test: Array) -> None:
    for part, x, y in (("train", x_train, y_train), ("test", x_test, y_test)):
        labels = len(y) if y.ndim else 0
        if len(x) != labels:
            raise ValueError(f"x_{part} has {len(x)} examples, y_{part} has {labels} labels")
        if len(x) == 0:
            raise ValueError(f"the {part} part has no examples")


def _npz(content: bytes) -> dict[str, Array]:
    try:
        arrays = read_npz(content, _KEYS)
    except ValueError as error:
        raise ValueError(
            f"no readable .npz ({error}); write it by np.savez({', '.join(_KEYS)}) with arrays of "
            "numbers or strings, not objects"
        ) from None
    if missing := [key for key in _KEYS if key not in arrays]:
        raise ValueError(f"no readable .npz (it lacks {', '.join(missing)})")
    return arrays


def _features(key: str, x: Array) -> Array:
    """Return pixels as uint8, every other number as float32, images with a channel axis."""
    if x.ndim not in (2, 3, 4) or x.dtype.kind not in "biuf":
        raise ValueError(
            f"{key} is {x.ndim}-dimensional {x.dtype}; numbers of (n, features), "
            "(n, height, width) or (n, channels, height, width) are needed"
        )
    if x.ndim == 4 and x.shape[1] == x.shape[2] != x.shape[3] and x.shape[3] in (1, 3, 4):
        raise ValueError(f"{key} has its channels last; store {key}.transpose(0, 3, 1, 2)")
    if x.ndim == 3:
        x = x[:, None]
    if 0 in x.shape[1:]:
        raise ValueError(f"{key} has examples of shape {x.shape[1:]}, which hold nothing")
    if x.dtype == np.uint8:
        return np.ascontiguousarray(x)
    with np.errstate(over="ignore"):
        values = np.ascontiguousarray(x, dtype=np.float32)
    if not np.isfinite(values).all():
        example = np.argwhere(~np.isfinite(values))[0][0]
        raise ValueError(f"{key}[{example}] holds a value that is not finite in float32")
    return values
