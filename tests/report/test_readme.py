import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from checkouts import ROOT

from tl1bench.report import readme


def test_every_number_in_the_readme_is_that_of_the_committed_results() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert readme.render(text, ROOT) == text


def test_a_number_changed_by_hand_is_noticed() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    forged = text.replace("integrated tl1", "integrated tl2")
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
    torch.manual_seed(0)
    found: dict[str, Any] = {}
    exec(compile(code, "README.md", "exec"), found)
    report = found["small"].report
    assert report.weights_after < report.weights_before
    assert str(report) in capsys.readouterr().out
    with torch.no_grad():
        expected = found["model"](found["x"][:5]).numpy()
    np.testing.assert_allclose(found["scores"], expected, rtol=1e-4, atol=1e-4)
    assert {path.name for path in tmp_path.iterdir()} == {"data", "small.onnx"}
