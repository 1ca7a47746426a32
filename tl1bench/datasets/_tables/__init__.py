"""Tables as people have them: from a file's bytes to typed columns, all guesses said."""

from __future__ import annotations

from tl1bench.datasets._options import Reading
from tl1bench.datasets._tables import parquet, text
from tl1bench.datasets._tables.frame import Frame

TEXTS = (".csv", ".tsv", ".txt", ".data", ".dat", ".tab")
"""Endings of tables in text; what separates the columns is looked up in the file itself."""


def read_frame(content: bytes, suffix: str, how: Reading) -> Frame:
    """Return the table in the bytes of a file with this ending; ValueError says what is wrong."""
    if suffix in TEXTS:
        return text.read(content, how)
    if suffix == ".parquet":
        return parquet.read(content)
    advice = "; save the sheet as CSV" if suffix in (".xls", ".xlsx", ".ods") else ""
    raise ValueError(
        f"a data set is a .npz, a table ({', '.join((*TEXTS, '.parquet'))}) or a folder of images, "
        f"not '{suffix}'{advice}"
    )
