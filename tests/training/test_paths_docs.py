"""The examples of docs/paths.md run as they stand there, and every method is named on the page."""

from __future__ import annotations

import re
from typing import Any

import pytest
from checkouts import ROOT

from tl1bench import methods

TEXT = (ROOT / "docs" / "paths.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```python ?\w*\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)


def test_the_examples_run_one_after_another(capsys: pytest.CaptureFixture[str]) -> None:
    names: dict[str, Any] = {"__name__": "example"}
    for code in BLOCKS:
        exec(compile(code, "docs/paths.md", "exec"), names)
    assert "nonzero_weights" in capsys.readouterr().out
    assert names["small"].nonzero_weights < names["points"][0].nonzero_weights


def test_every_method_is_on_the_page() -> None:
    listed = set(re.findall(r"^\| `(\w+)` \|", TEXT, re.MULTILINE))
    assert listed == set(methods.names()) - {"penalised"}
