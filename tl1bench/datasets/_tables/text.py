"""Text → table: encoding, separator, decimal comma and header are noticed and said."""

from __future__ import annotations

import codecs
import csv
import io
import re
from itertools import islice, pairwise

from tl1bench.datasets._options import Reading
from tl1bench.datasets._tables.frame import Frame, unique

MISSING = ("?",)
_BOMS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
# In the order in which they are tried: a comma may be a decimal one, a blank may be in any text.
_SEPARATORS = ("\t", ";", "|", ",", " ")
_SPOKEN = {"\t": "tabs", " ": "blanks"}
_SAMPLE = 200
_NUMBER = re.compile(r"[+-]?(\d+([.,]\d*)?|[.,]\d+)([eE][+-]?\d+)?")
_COMMA = re.compile(r"[+-]?\d*,\d+([eE][+-]?\d+)?")


def read(content: bytes, how: Reading) -> Frame:
    """Return the table in `content`; ValueError says what is wrong with it."""
    text, notes = _decode(content, how.encoding)
    if not text.strip():
        raise ValueError("no readable CSV (it is empty)")
    separator, sample = _split(text, how.separator)
    if separator != ",":
        notes.append(f"columns are separated by {_SPOKEN.get(separator, repr(separator))}")
    decimal = how.decimal or _decimal(separator, sample)
    if decimal == ",":
        notes.append("numbers have a decimal comma")
    header = _has_header(sample) if how.header is None else how.header
    table = _parse(text, separator, decimal, header, how.missing)
    names = _names(sample[0], table.shape[1], header, notes)
    table.columns, renamed = unique(names)
    return Frame(table, (*notes, *renamed), first_line=2 if header else 1)


def _decode(content: bytes, encoding: str | None) -> tuple[str, list[str]]:
    marked = next((name for mark, name in _BOMS if content.startswith(mark)), None)
    wanted = encoding or marked or "utf-8"
    try:
        text = content.decode(wanted)
    except LookupError:
        raise ValueError(f"there is no encoding '{encoding}'; utf-8 and cp1252 are two") from None
    except UnicodeDecodeError as error:
        if encoding or marked:
            raise ValueError(f"it is not {wanted} (byte {error.start}); give `encoding:`") from None
        return _western(content)
    if "\0" in text:
        raise ValueError("it is no text (it holds zero bytes); save it as UTF-8 CSV")
    notes = ["it begins with a byte-order mark, which is skipped"] if marked else []
    # Declared or not, the mark is no part of the first column's name.
    return text.removeprefix("\ufeff"), notes


def _western(content: bytes) -> tuple[str, list[str]]:
    if b"\0" in content:
        raise ValueError("it is no text (it holds zero bytes); save it as UTF-8 CSV")
    try:
        return content.decode("cp1252"), ["it is not UTF-8: read as Windows-1252 (Latin-1)"]
    except UnicodeDecodeError:
        return content.decode("latin-1"), ["it is not UTF-8: read as Latin-1"]


def _split(text: str, separator: str | None) -> tuple[str, list[list[str]]]:
    """Return the separator and the first rows split by it, empty lines left out."""
    found = [(s, _rows(text, s)) for s in ((separator,) if separator else _SEPARATORS)]
    for candidate, rows in found:
        widths = {len(row) for row in rows}
        if len(widths) == 1 and widths != {1}:
            return candidate, rows
    # Ragged, as with a header one name short: the widest that most rows agree on.
    return max(found, key=_agreement)


def _agreement(found: tuple[str, list[list[str]]]) -> tuple[float, int]:
    widths = [len(row) for row in found[1]]
    common = max(set(widths), key=widths.count)
    return (widths.count(common) / len(widths) if common > 1 else 0.0, common)


def _rows(text: str, separator: str) -> list[list[str]]:
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, skipinitialspace=True)
    try:
        rows = [[cell.strip() for cell in row] for row in islice(reader, _SAMPLE) if any(row)]
    except csv.Error as error:
        raise ValueError(f"no readable CSV ({error})") from None
    # Blanks at the end of a line separate nothing.
    return [row[:-1] if separator == " " and row[-1] == "" else row for row in rows]


def _decimal(separator: str, sample: list[list[str]]) -> str:
    if separator == ",":
        return "."
    cells = [cell for row in sample for cell in row]
    commas = sum(bool(_COMMA.fullmatch(cell)) for cell in cells)
    points = sum("." in cell and bool(_NUMBER.fullmatch(cell)) for cell in cells)
    return "," if commas > points else "."


def _has_header(sample: list[list[str]]) -> bool:
    """Tell whether the first row names the columns.

    Numbers in it are values, unless they count the columns; where all is text, it is a row like the
    others when most of its cells occur again below.
    """
    first, below = sample[0], sample[1:]
    numbers = [cell for cell in first if _NUMBER.fullmatch(cell)]
    if numbers:
        return _counts(numbers)
    again = [
        cell in {row[place] for row in below if place < len(row)}
        for place, cell in enumerate(first)
        if cell
    ]
    return not again or sum(again) <= len(again) / 2


def _counts(cells: list[str]) -> bool:
    if len(cells) < 2 or not all(cell.isdecimal() for cell in cells) or int(cells[0]) > 1:
        return False
    return all(int(b) == int(a) + 1 for a, b in pairwise(cells))


def _parse(text: str, separator: str, decimal: str, header: bool, missing: tuple[str, ...]):  # type: ignore[no-untyped-def]
    import pandas as pd

    try:
        return pd.read_csv(
            io.StringIO(text),
            sep=r"\s+" if separator == " " else separator,
            decimal=decimal,
            header=None,
            skiprows=_first_row(text) if header else 0,
            na_values=[*MISSING, *missing],
            skipinitialspace=True,
            low_memory=False,
        )
    except pd.errors.EmptyDataError:
        raise ValueError("it has names of columns and no row") from None
    except (ValueError, pd.errors.ParserError) as error:
        raise ValueError(f"no readable CSV ({' '.join(str(error).split())})") from None


def _first_row(text: str) -> int:
    """Return the number of lines up to the end of the first row that is not empty."""
    lines = text.splitlines()
    return next(i for i, line in enumerate(lines, 1) if line.strip(" ,;|\t") or line.strip())


def _names(first: list[str], width: int, header: bool, notes: list[str]) -> list[str]:
    if not header:
        notes.append(f"it has no header: the columns are called c1 to c{width}")
        return [f"c{place}" for place in range(1, width + 1)]
    if len(first) == width - 1:
        # As R writes row names: the header is one name short.
        return ["", *first]
    if len(first) > width:
        extra = first[width:]
        if any(extra):
            raise ValueError(f"its header names {len(first)} columns, its rows hold {width}")
        return first[:width]
    if len(first) < width:
        raise ValueError(f"its header names {len(first)} columns, its rows hold {width}")
    return first
