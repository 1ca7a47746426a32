import re
from pathlib import Path
from typing import Any

import pytest
from checkouts import ROOT

from tl1bench.report import readme


def test_every_number_in_the_readme_is_that_of_the_committed_results() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert readme.render(text, ROOT) == text


def test_a_number_changed_by_hand_is_noticed() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    forged = text.replace("integrated TL1 |", "integrated TL2 |").replace("* By MACs:", "* By MAC:")
    assert forged != text
    assert readme.render(forged, ROOT) == text


def test_the_readme_shows_both_commands_first() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert text.index("make repro") < text.index("make test") < text.index("## ")


def test_the_code_in_the_readme_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    monkeypatch.chdir(tmp_path)
    found: dict[str, Any] = {}
    exec(compile(code, "README.md", "exec"), found)
    points, small = found["points"], found["small"]
    assert len(points) >= 4
    assert points.dense_error < 6
    assert small.error <= points.dense_error + 1
    assert small.weights < (32 * 9 + 288 * 64 + 64 * 10) / 3
    printed = capsys.readouterr().out
    assert str(small.weights) in printed
    error = float(re.search(r"([\d.]+) % error", printed)[1])
    assert error < 8
    assert {path.name for path in tmp_path.iterdir()} == {"small.onnx"}
