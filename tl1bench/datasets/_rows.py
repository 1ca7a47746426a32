"""New rows of a table, for a network that was trained on such a table."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tl1bench.datasets._preprocessing import Preprocessing
from tl1bench.datasets._tables import read_frame
from tl1bench.datasets._tables.columns import codes, words
from tl1bench.errors import DataError


def read_rows(
    path: Path, fitted: Preprocessing
) -> tuple[NDArray[np.float32], NDArray[np.str_] | None]:
    """Return inputs (n, outputs) as `fitted` makes them, and the classes where the table has them.

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
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}") from None
    except ValueError as error:
        raise DataError(f"{path}: {error}") from None
    return fitted.apply(x), _classes(frame.table, fitted.label)


def _classes(table: Any, label: str) -> NDArray[np.str_] | None:
    if label not in table.columns or table[label].isna().any():
        return None
    return words(table[label]).to_numpy(dtype=np.str_)
