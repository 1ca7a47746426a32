"""Names in CSV files that a spreadsheet opens: text, never formulas."""

from __future__ import annotations

import csv
import io

import pandas as pd
import pytest
from hostile import NAMES

from tl1bench.errors import printable
from tl1bench.report.typeset import Table

FORMULAS = ["=1+1", "+1", "-1", "@SUM(A1)", "=cmd|' /C calc'!A0", "-rf"]
SAID = [name for name in NAMES.values() if "\udcff" not in name]  # pandas holds no such text
NEVER = ("=", "+", "-", "@", "\t", "\r", "\n")


def written(name: str) -> list[list[str]]:
    frame = pd.DataFrame({"layer": [name, "x"], "n": [-1, 2], "r": [-0.5, float("nan")], name: "y"})
    table = Table("t", "", "", (), (), frozenset(), frame)
    return list(csv.reader(io.StringIO(table.csv(), newline="")))


@pytest.mark.parametrize("name", FORMULAS)
def test_a_name_that_would_be_computed_is_text(name: str) -> None:
    head, first, second = written(name)
    assert head[3] == first[0] == f"'{name}"
    assert first[1:3] == ["-1", "-0.5"]
    assert second == ["x", "2", "", "y"]


@pytest.mark.parametrize("name", ["\t=1", "\r=1", "\n=1", *SAID])
def test_any_name_is_one_cell_of_one_line(name: str) -> None:
    head, first, _ = written(name)
    assert head[3] == first[0]
    assert first[0].removeprefix("'") == printable(name).removeprefix("'")
    assert not first[0].startswith(NEVER)
