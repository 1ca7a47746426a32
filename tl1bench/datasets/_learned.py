"""What is to be learned, from arrays as users have them: classes numbered, or numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


def learned(task: str, y_train: Array, y_test: Array) -> tuple[Array, Array, tuple[str, ...]]:
    """Return y of both parts as the task takes it, and what the classes are called.

    Raises ValueError where an array holds something else, or there is nothing to learn.

    Parameters
    ----------
    task
        Its name.
    y_train, y_test
        (n,) or (n, 1), as they are in the file.

    Returns
    -------
    tuple
        int64 numbers of classes with their names; float64 without any.
    """
    return _OF[task](_flat("y_train", y_train), _flat("y_test", y_test))


def _flat(key: str, y: Array) -> Array:
    if y.ndim == 2 and y.shape[1] == 1:
        y = y[:, 0]
    if y.ndim != 1:
        raise ValueError(f"{key} has shape {y.shape}; one label an example is needed, (n,)")
    return y


def _classes(y_train: Array, y_test: Array) -> tuple[Array, Array, tuple[str, ...]]:
    y_train, y_test = _labels("y_train", y_train), _labels("y_test", y_test)
    if y_train.dtype.kind != y_test.dtype.kind:
        raise ValueError("y_train and y_test must both hold whole numbers, or both strings")
    classes = np.unique(y_train)
    if len(classes) < 2:
        raise ValueError("y_train has a single class; at least two are needed")
    if len(unknown := np.setdiff1d(y_test, classes)):
        raise ValueError(f"class {unknown[0].item()!r} of y_test does not occur in y_train")
    train, test = (np.searchsorted(classes, y).astype(np.int64) for y in (y_train, y_test))
    return train, test, tuple(str(value) for value in classes.tolist())


def _labels(key: str, y: Array) -> Array:
    """Return n whole numbers or strings."""
    if y.dtype.kind == "f":
        if not (np.isfinite(y).all() and (y == np.rint(y)).all() and (abs(y) < 2**53).all()):
            raise ValueError(
                f"{key} holds fractions; labels are whole numbers or strings: write `task: "
                "regression` to learn the numbers themselves"
            )
        return y.astype(np.int64)
    if y.dtype.kind in "biu":
        return y.astype(np.int64)
    if y.dtype.kind == "U":
        return y
    raise ValueError(f"{key} holds {y.dtype}; labels are whole numbers or strings")


def _numbers(y_train: Array, y_test: Array) -> tuple[Array, Array, tuple[str, ...]]:
    for key, y in (("y_train", y_train), ("y_test", y_test)):
        if y.dtype.kind not in "biuf":
            raise ValueError(f"{key} holds {y.dtype}, and `task: regression` learns numbers")
        # Judged in float32, which is what a network is fitted to.
        with np.errstate(over="ignore"):
            wrong = ~np.isfinite(y.astype(np.float32))
        if wrong.any():
            raise ValueError(f"{key}[{int(wrong.argmax())}] is not finite in float32")
    return y_train.astype(np.float64), y_test.astype(np.float64), ()


_OF = {"classification": _classes, "regression": _numbers}
