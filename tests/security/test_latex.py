"""Names in LaTeX tables: printed, never commands, and no more cells or rows than there are."""

from __future__ import annotations

import re

import pandas as pd
import pytest
from hostile import NAMES

from tl1bench.report.typeset import Table

# What we write ourselves; all else with a backslash would be a name's.
OURS = re.compile(
    r"\\(usepackage|begin|end|scriptsize|setlength|tabcolsep|caption|toprule|midrule|bottomrule"
    r"|textbf|textbackslash|pm|times|lambda|Delta|mu|ell|bullet)(?![a-zA-Z])|\\[\\&%_#$^{}~]"
)
TEX = {**NAMES, "an option of a row": "[1cm]", "a star": "*", "an empty line": "a\n\nb"}
TEX |= {"a comment": "% & \\\\", "an end": "}\\end{table*}\\write18{touch RAN}", "hex": "^^5cinput"}


def table(name: str) -> Table:
    return Table("t", name, name, (name, name), ((name, "1"), ("x", name)),
                 frozenset({(1, 1)}), pd.DataFrame())  # fmt: skip


@pytest.mark.parametrize("what", TEX)
def test_a_name_is_no_command(what: str) -> None:
    text = table(TEX[what]).latex()
    assert OURS.sub("", text).count("\\") == 0
    assert text.splitlines()[0].startswith("%")
    # What is left unescaped: our own comment, column separators and braces in pairs.
    bare = re.sub(r"\\[\\&%_#$^{}~]", "", text)
    assert bare.count("%") == 1
    assert not set("#_^~") & set(bare.replace("$", ""))
    assert bare.count("&") == 3
    assert bare.count("{") == bare.count("}")
    assert text.count("\\\\\n") == 3


@pytest.mark.parametrize("what", TEX)
def test_a_name_makes_no_lines_and_no_options_of_rows(what: str) -> None:
    lines = table(TEX[what]).latex().split("\n")
    assert lines == [line for line in lines if line.isprintable()]
    assert len(lines) == len(table("x").latex().split("\n"))
    rows = lines[lines.index(r"\toprule") + 1 : lines.index(r"\bottomrule")]
    assert not [row for row in rows if row.startswith(("[", "*"))]
