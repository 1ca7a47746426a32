"""New rows of a table, for a network that was trained on such a table."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tl1bench.datasets._preprocessing import Preprocessing
from tl1bench.datasets._tables import read_frame
from tl1bench.datasets._tables.columns import Column, codes, words
from tl1bench.datasets._tables.frame import Frame
from tl1bench.errors import DataError


def read_rows(path: Path, fitted: Preprocessing) -> tuple[NDArray[np.float32], NDArray[Any] | None]:
    """Return inputs (n, outputs) as `fitted` makes them, and the label where the table has it.

    Classes are texts; numbers are given in the table's own unit.

    Columns are found by their names; others than those that the network was trained on are not
    looked at.

    Raises
    ------
    DataError
        The file cannot be read, a column is missing or holds something else than in training.
    """
    try:
        frame = read_frame(Path(path).read_bytes(), Path(path).suffix.lower(), fitted.reading)
        lacking = [c.name for c in fitted.columns if c.name not in frame.table.columns]
        if lacking:
            raise ValueError(
                f"it lacks the columns {', '.join(lacking)}, which this network was trained on; it "
                f"has {', '.join(map(str, frame.table.columns))}"
            )
        x = np.column_stack([codes(frame, column) for column in fitted.columns])
        known = _known(frame, fitted)
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}") from None
    except ValueError as error:
        raise DataError(f"{path}: {error}") from None
    return fitted.apply(x), known


def _known(frame: Frame, fitted: Preprocessing) -> NDArray[Any] | None:
    label = fitted.label
    if label not in frame.table.columns or frame.table[label].isna().any():
        return None
    if fitted.target is not None:
        return codes(frame, Column(label, "number"))
    return words(frame.table[label]).to_numpy(dtype=np.str_)
