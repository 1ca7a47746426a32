"""Examples of one's own from a .npz file, for checks on data."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tl1bench import files
from tl1bench.datasets._npz import MAX_BYTES, read_npz
from tl1bench.errors import DataError

if TYPE_CHECKING:
    from torch import Tensor

_INPUTS, _LABELS = ("x", "x_test"), ("y", "y_test")


def read(path: Path, like: Sequence[Tensor]) -> tuple[list[Tensor], Tensor | None]:
    """Return inputs that look like the example inputs `like`, and labels where there are any.

    The inputs are the array `x`, or `x_test`, or the only one; the labels `y` or `y_test`.

    Raises
    ------
    DataError
        The file is missing or no .npz, or its arrays do not fit the network.
    """
    import numpy as np
    import torch

    if not path.exists():
        raise DataError(f"{path} is not there: give a .npz file with an array x.")
    try:
        arrays = read_npz(files.read_bytes(path, MAX_BYTES))
    except (OSError, ValueError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise DataError(f"{path} is no .npz file of plain arrays ({reason}).") from error
    name = next((n for n in _INPUTS if n in arrays), None)
    if name is None and len(arrays) == 1:
        (name,) = arrays
    if name is None:
        raise DataError(f"{path} holds {', '.join(arrays)}: name the inputs x.")
    x, wanted = arrays[name], like[0]
    if len(like) > 1:
        raise DataError(f"{path} is for networks with one input; this one has {len(like)}.")
    if x.shape[1:] != tuple(wanted.shape[1:]) or not len(x) or x.dtype.kind not in "fiub":
        raise DataError(
            f"{path}: {name} is {x.dtype} {x.shape}, but the network takes numbers "
            f"(examples, {', '.join(map(str, wanted.shape[1:]))})."
        )
    labels = next((arrays[n] for n in _LABELS if n in arrays), None)
    if labels is not None and (labels.shape != x.shape[:1] or labels.dtype.kind not in "iu"):
        raise DataError(
            f"{path}: the labels must be one class number for each of {len(x)} examples."
        )
    y = None if labels is None else torch.from_numpy(labels.astype(np.int64))
    return [torch.from_numpy(x.copy()).to(wanted.dtype)], y
