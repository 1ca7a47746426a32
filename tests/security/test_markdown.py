"""Names in Markdown tables: text, with no more cells, links or elements than there are."""

from __future__ import annotations

import re

import pandas as pd
import pytest
from hostile import NAMES
from markdown_it import MarkdownIt

from tl1bench.errors import printable
from tl1bench.report.typeset import Table

MARKDOWN = {**NAMES, "a cell": "a | b", "a link": "[a](javascript:x)", "an image": "![a](//b/c)"}
MARKDOWN |= {"an element": "<img src=x onerror=a>", "an address": "<https://a.b>"}
MARKDOWN |= {"another link": "[a][b]\n\n[b]: //c", "an escape": "\\", "code": "`x`", "&": "&lt;"}


def table(name: str) -> Table:
    return Table("t", name, name, ("x", name), ((name, "1"), ("x", name)),
                 frozenset({(1, 1)}), pd.DataFrame())  # fmt: skip


@pytest.mark.parametrize("what", MARKDOWN)
def test_a_name_is_text(what: str) -> None:
    name = MARKDOWN[what]
    page = MarkdownIt("commonmark", {"html": True}).enable("table").render(table(name).markdown())
    assert set(re.findall(r"<(\w+)", page)) == {
        "h3", "table", "thead", "tbody", "tr", "th", "td", "strong", "p"
    }  # fmt: skip
    assert page.count("<td>") == 4
    assert page.count("<th>") == 2
    shown = printable(name).strip()
    quoted = shown.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    assert page.count(quoted.replace('"', "&quot;")) >= 5
