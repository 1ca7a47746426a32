"""Names and shells: every program is started with a list of words, none of them by a shell."""

from __future__ import annotations

import ast
import os
import subprocess
from pathlib import Path

import pytest
from checkouts import ROOT
from hostile import NAMES

from tl1bench.kernels import build
from tl1bench.measuring.workers import run_worker
from tl1bench.pipeline import run

SHELLS = ("os.system", "os.popen", "subprocess.getoutput", "subprocess.getstatusoutput")
SOURCES = sorted(
    p for room in ("tl1bench", "tools", "benchmarks") for p in (ROOT / room).rglob("*.py")
)


@pytest.fixture(autouse=True)
def nothing_ran(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    yield
    assert not list(tmp_path.rglob("RAN"))


def shells(text: str) -> list[str]:
    """Return the calls of a module that would start a shell."""
    calls = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Call)]
    by_shell = [c for c in calls if any(k.arg == "shell" for k in c.keywords)]
    return [ast.unparse(c) for c in calls if ast.unparse(c.func) in SHELLS] + [
        ast.unparse(c) for c in by_shell
    ]


def test_no_module_starts_a_shell() -> None:
    assert len(SOURCES) > 200
    assert {p.name: found for p in SOURCES if (found := shells(p.read_text()))} == {}
    assert shells("import os\nos.system('x')") == ["os.system('x')"]
    assert len(shells("subprocess.run('x', shell=True)")) == 1


def test_a_checkout_is_copied_with_files_of_any_name(tmp_path: Path) -> None:
    root, copy = tmp_path / "tree", tmp_path / "copy"
    root.mkdir()
    subprocess.run(["git", "init", "--quiet"], cwd=root, check=True)
    names = {name.replace("/", "_") for name in NAMES.values()}
    for name in names:
        (root / name).write_text("x")
    (root / "params.yaml").write_text("")
    run.lay_out(root, copy, root / "params.yaml")
    assert {p.name for p in copy.iterdir()} == {*names, "params.yaml", ".git"}


def test_a_worker_gets_the_names_of_files_as_data(tmp_path: Path) -> None:
    name = "$(touch RAN); '\"\n`touch RAN`.onnx"
    job = {"task": "inspect", "provider": "cpu", "batches": [1], "models": [name]}
    with pytest.raises(Exception, match="cannot be run") as caught:
        run_worker(job, tmp_path / name)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("compiler", ["cc; touch RAN", "$(touch RAN)", "cc -o RAN", "sh -c touch"])
def test_the_compiler_is_one_word(
    compiler: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CC", compiler)
    assert build._build("int RAN;", os.environ["CC"], tmp_path / "x.so") is None
