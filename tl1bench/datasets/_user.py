"""A user's own data set: a .npz of four arrays, or a CSV with a label column."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path
from typing import Any

import numpy as np

from tl1bench import files
from tl1bench.datasets._dataset import Array, Dataset, every_fifth
from tl1bench.datasets._npz import MAX_BYTES, read_npz
from tl1bench.errors import DataError

_KEYS = ("x_train", "y_train", "x_test", "y_test")
_MAX_COLUMNS = 100_000


def read_user(name: str, path: Path, root: Path, label: str | None = None) -> Dataset:
    """Read the file at `path` as data set `name`; the same bytes as at its first use, or refused.

    .npz: x_train, x_test as (n, features), (n, height, width) or (n, channels, height, width);
    y_train, y_test as n whole numbers or strings. Unsigned bytes are taken for pixels and scaled
    by 1/255, all other numbers become float32 as they are.

    .csv: a header, one row an example, numbers in every column but `label` (by default the last).
    A column `split` of `train` and `test` is obeyed; without it every fifth row of each class is
    for testing.

    The file's sha256 is recorded in ``ROOT/digests/NAME.sha256``. Raises DataError when the file
    is missing, has changed since, or does not hold such a data set.
    """
    try:
        content = files.read_bytes(path, MAX_BYTES)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise DataError(
            f"data set '{name}': cannot read {path}: {reason}; put the file there or "
            f"correct datasets.{name}.path in params.yaml"
        ) from None
    digest_file = Path(root) / "digests" / f"{name}.sha256"
    digest = hashlib.sha256(content).hexdigest()
    recorded = _recorded(digest_file)
    if recorded not in (None, digest):
        raise DataError(
            f"data set '{name}': {path} has changed since its first use: expected sha256 "
            f"{recorded}, found {digest}; restore the file, or accept it by deleting {digest_file}"
        )
    try:
        dataset = _parse(name, content, Path(path).suffix.lower(), label)
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


def _parse(name: str, content: bytes, suffix: str, label: str | None) -> Dataset:
    """Return the data set in `content`; ValueError says what is wrong with it."""
    if suffix == ".npz":
        arrays = _npz(content)
    elif suffix == ".csv":
        arrays = _csv(content, label)
    else:
        raise ValueError(f"a data set is a .npz or a .csv file, not '{suffix}'")
    x_train, x_test = (_features(key, arrays[key]) for key in ("x_train", "x_test"))
    if x_train.shape[1:] != x_test.shape[1:] or x_train.dtype != x_test.dtype:
        raise ValueError(
            f"x_train has examples of {x_train.shape[1:]} {x_train.dtype}, x_test of "
            f"{x_test.shape[1:]} {x_test.dtype}; make them alike"
        )
    y_train, y_test = (_labels(key, arrays[key]) for key in ("y_train", "y_test"))
    for part, x, y in (("train", x_train, y_train), ("test", x_test, y_test)):
        if len(x) != len(y):
            raise ValueError(f"x_{part} has {len(x)} examples, y_{part} has {len(y)} labels")
        if len(x) == 0:
            raise ValueError(f"the {part} part has no examples")
    if y_train.dtype.kind != y_test.dtype.kind:
        raise ValueError("y_train and y_test must both hold whole numbers, or both strings")
    classes = np.unique(y_train)
    if len(classes) < 2:
        raise ValueError("y_train has a single class; at least two are needed")
    if len(unknown := np.setdiff1d(y_test, classes)):
        raise ValueError(f"class {unknown[0].item()!r} of y_test does not occur in y_train")
    return Dataset(
        name=name,
        x_train=x_train,
        y_train=np.searchsorted(classes, y_train).astype(np.int64),
        x_test=x_test,
        y_test=np.searchsorted(classes, y_test).astype(np.int64),
        scale=1 / 255 if x_train.dtype == np.uint8 else 1.0,
        labels=tuple(str(value) for value in classes.tolist()),
    )


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


def _csv(content: bytes, label: str | None) -> dict[str, Array]:
    import pandas as pd

    if content.split(b"\n", 1)[0].count(b",") > _MAX_COLUMNS:
        raise ValueError(f"no readable CSV (more than {_MAX_COLUMNS:,} columns)")
    try:
        table = pd.read_csv(io.BytesIO(content), low_memory=False, skipinitialspace=True)
    except (ValueError, pd.errors.ParserError) as error:
        raise ValueError(f"no readable CSV ({' '.join(str(error).split())})") from None
    columns = [str(column) for column in table.columns]
    if unnamed := [c for c in columns if c.startswith("Unnamed: ")]:
        raise ValueError(
            f"column {columns.index(unnamed[0]) + 1} has no name; name it, or drop it if it only "
            "counts the rows"
        )
    target = label if label is not None else next((c for c in columns[::-1] if c != "split"), "")
    if target not in columns or target == "split":
        raise ValueError(f"there is no label column '{target}' among {', '.join(columns)}")
    features = table.drop(columns=[target, "split"], errors="ignore")
    if features.shape[1] == 0:
        raise ValueError(f"there is no column beside the label '{target}'")
    for column in features.columns:
        if not pd.api.types.is_numeric_dtype(features[column]):
            raise ValueError(f"column '{column}' holds text; encode it as numbers or drop it")
        if features[column].isna().any():
            row = int(features[column].isna().to_numpy().argmax())
            raise ValueError(f"column '{column}' has no value in line {row + 2}")
    if table[target].isna().any():
        row = int(table[target].isna().to_numpy().argmax())
        raise ValueError(f"label column '{target}' has no value in line {row + 2}")
    x = features.to_numpy(dtype=np.float64)
    numeric = pd.api.types.is_numeric_dtype(table[target])
    y = table[target].to_numpy() if numeric else table[target].to_numpy(dtype=np.str_)
    test = _test_rows(table["split"]) if "split" in columns else every_fifth(y)
    return dict(zip(_KEYS, (x[~test], y[~test], x[test], y[test]), strict=True))


def _test_rows(column: Any) -> Array:
    words = column.astype(str).str.strip().to_numpy(dtype=np.str_)
    if len(other := np.setdiff1d(words, ["train", "test"])):
        raise ValueError(f"column 'split' must say train or test, not '{other[0]}'")
    return np.asarray(words == "test")


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


def _labels(key: str, y: Array) -> Array:
    """Return n whole numbers or strings."""
    if y.ndim == 2 and y.shape[1] == 1:
        y = y[:, 0]
    if y.ndim != 1:
        raise ValueError(f"{key} has shape {y.shape}; one label an example is needed, (n,)")
    if y.dtype.kind == "f":
        if not (np.isfinite(y).all() and (y == np.rint(y)).all() and (abs(y) < 2**53).all()):
            raise ValueError(f"{key} holds fractions; labels are whole numbers or strings")
        return y.astype(np.int64)
    if y.dtype.kind in "biu":
        return y.astype(np.int64)
    if y.dtype.kind == "U":
        return y
    raise ValueError(f"{key} holds {y.dtype}; labels are whole numbers or strings")
