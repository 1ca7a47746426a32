"""What a column holds: numbers, booleans or categories; dates and free text are refused."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tl1bench.datasets._tables.frame import Frame
from tl1bench.datasets._tables.text import MISSING

if TYPE_CHECKING:
    import pandas as pd

KINDS = ("number", "boolean", "category", "drop")
UNSEEN = -1.0
"""Code of a text that no category of the column is."""

_BOOLEANS = {("false", "true"), ("no", "yes"), ("n", "y"), ("f", "t"), ("off", "on")}
_DATE = re.compile(
    r"\d{4}[-/.]\d{1,2}[-/.]\d{1,2}([T ].*)?|\d{1,2}[-/.]\d{1,2}[-/.](\d{4}|\d{2})( .*)?"
    r"|\d{1,2}:\d{2}(:\d{2}(\.\d*)?)?|\d{1,2}\.?[ -][A-Za-z]{3,9}\.?,?[ -]\d{2,4}"
    r"|[A-Za-z]{3,9}\.? \d{1,2},? \d{4}"
)
_FEW = 10
_WORDY = 5


@dataclass(frozen=True)
class Column:
    """A column's name, its kind, and the texts that its codes 0, 1, … stand for."""

    name: str
    kind: str
    values: tuple[str, ...] = ()


def describe(frame: Frame, name: str, kind: str | None = None) -> Column:
    """Return what column `name` holds, `kind` if that is given.

    Raises ValueError with advice where it holds dates, free text, or numbers and texts mixed.
    """
    series = frame.table[name]
    if kind == "number" or (kind is None and _is_number(series)):
        return Column(name, "number")
    texts = words(series)
    given = texts.dropna()
    if kind is None and _holds_dates(series, given):
        raise ValueError(
            f"column '{name}' holds dates ({given.iloc[0]}); turn them into numbers, such as days "
            f"since the first, or leave them out by `columns: {{{name}: drop}}`"
        )
    values = tuple(sorted(given.unique()))
    lowered = tuple(sorted({value.casefold() for value in values}))
    if kind == "boolean" or (kind is None and lowered in _BOOLEANS):
        if len(lowered) > 2:
            raise ValueError(f"column '{name}' is no boolean: it holds {', '.join(lowered[:3])}, …")
        return Column(name, "boolean", lowered)
    if kind is None:
        if not len(given) or _all_numbers(frame, name, texts):
            return Column(name, "number")
        _refuse_free_text(name, given, len(values))
    return Column(name, "category", values)


def codes(frame: Frame, column: Column) -> NDArray[np.float64]:
    """Return the column as numbers: values as they are, or codes; NaN is missing.

    A text that is none of the column's values becomes `UNSEEN`. Raises ValueError where a column of
    numbers holds something else.
    """
    import pandas as pd

    series = frame.table[column.name]
    if column.kind == "number":
        if not _is_number(series):
            texts = words(series)
            _all_numbers(frame, column.name, texts, must=True)
            series = pd.to_numeric(texts)
        return _finite(frame, column.name, series.to_numpy(dtype=np.float64, na_value=np.nan))
    texts = words(series)
    if column.kind == "boolean":
        texts = texts.map(str.casefold, na_action="ignore")
    places = {value: float(i) for i, value in enumerate(column.values)}
    coded = np.array([places.get(text, UNSEEN) for text in texts])
    coded[texts.isna().to_numpy()] = np.nan
    return coded


def _finite(frame: Frame, name: str, values: NDArray[np.float64]) -> NDArray[np.float64]:
    # Judged in float32, which is what a network reads when nothing is scaled.
    with np.errstate(over="ignore"):
        infinite = np.isinf(values.astype(np.float32))
    if infinite.any():
        where = frame.place(int(infinite.argmax()))
        raise ValueError(f"column '{name}' holds a value in {where} that is not finite")
    return values


def words(series: pd.Series[Any]) -> pd.Series[Any]:
    """Return a column as texts, None where nothing is given; 3.0 reads 3."""
    import pandas as pd

    if pd.api.types.is_float_dtype(series):
        known = series.dropna().to_numpy(dtype=np.float64)
        if (
            np.isfinite(known).all()
            and (known == np.rint(known)).all()
            and (abs(known) < 2**53).all()
        ):
            series = series.astype("Int64")
    texts = series.astype(object).map(lambda value: str(value).strip(), na_action="ignore")
    return texts.where(texts.notna() & ~texts.isin(["", *MISSING]), None).astype(object)


def _is_number(series: pd.Series[Any]) -> bool:
    import pandas as pd

    return pd.api.types.is_numeric_dtype(series) and not pd.api.types.is_bool_dtype(series)


def _holds_dates(series: pd.Series[Any], given: pd.Series[Any]) -> bool:
    if series.dtype.kind in "mM":
        return True
    return len(given) > 0 and float(given.str.fullmatch(_DATE).mean()) > 0.9


def _all_numbers(frame: Frame, name: str, texts: pd.Series[Any], must: bool = False) -> bool:
    """Tell whether all texts are numbers; refuse a column in which only some are not."""
    import pandas as pd

    given = texts.notna().to_numpy()
    numbers = pd.to_numeric(texts, errors="coerce").notna().to_numpy()
    wrong = given & ~numbers
    if wrong.any() and (must or 2 * numbers.sum() > given.sum()):
        row = int(wrong.argmax())
        text = texts.iloc[row]
        raise ValueError(
            f"column '{name}' holds numbers, but '{text}' in {frame.place(row)}; correct it, write "
            f"`reading: {{missing: ['{text}']}}` if it means that nothing is known, or "
            f"`columns: {{{name}: category}}`"
        )
    return not wrong.any()


def _refuse_free_text(name: str, given: pd.Series[Any], distinct: int) -> None:
    wordy = float(given.str.count(r"\S+").mean()) > _WORDY
    if distinct > _FEW and (distinct > len(given) / 2 or wordy):
        raise ValueError(
            f"column '{name}' holds free text or names ({distinct} different ones in {len(given)} "
            f"rows, such as '{given.iloc[0][:40]}'); leave it out by `columns: {{{name}: drop}}`, "
            f"or say that these are categories by `columns: {{{name}: category}}`"
        )
