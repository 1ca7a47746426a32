"""Names and C: kernels are the files of one folder, compiled as they stand, with no name put in."""

from __future__ import annotations

import ast
import ctypes
import importlib
from pathlib import Path
from types import SimpleNamespace

import pytest
from hostile import NAMES

from tl1bench.kernels import build

FOLDER = Path(build.__file__).parent
FILES = sorted(p.name for p in FOLDER.glob("*.c"))


@pytest.mark.parametrize("file", FILES)
def test_a_kernel_is_compiled_as_it_lies_there(
    file: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[list[str], bytes]] = []

    def compile_(command: list[str], *, input: bytes, **_: object) -> SimpleNamespace:  # noqa: A002
        seen.append((command, input))
        return SimpleNamespace(returncode=1)

    monkeypatch.setattr(build.subprocess, "run", compile_)
    text = build.source(file)
    assert build._build(text, "cc", tmp_path / "x.so") is None
    lines = set((FOLDER / file).read_text().splitlines())
    for header in FOLDER.glob("*.h"):
        lines |= set(header.read_text().splitlines())
    for command, given in seen:
        assert set(given.decode().splitlines()) <= lines
        assert command[-6:] == ["-x", "c", "-", "-o", str(tmp_path / "x.so"), "-lm"]


def test_a_kernel_is_chosen_by_a_name_that_stands_in_our_code() -> None:
    for module in FOLDER.glob("[a-z]*.py"):
        tree = ast.parse(module.read_text())
        own = importlib.import_module(f"tl1bench.kernels.{module.stem}")
        for call in (n for n in ast.walk(tree) if isinstance(n, ast.Call)):
            if ast.unparse(call.func) == "build.function":
                file = call.args[0]
                known = file.value if isinstance(file, ast.Constant) else getattr(own, file.id)
                assert known in FILES


@pytest.mark.parametrize(
    "what", ["a shell's", "spaces", "quotes", "a line of its own", "an option"]
)
def test_a_kernel_is_kept_in_a_folder_of_any_name(
    what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = Path(NAMES[what])
    folder.mkdir()
    monkeypatch.setenv("TL1BENCH_CACHE", NAMES[what])
    build._library.cache_clear()
    try:
        found = build._library("int seven(void) { return 7; }")
    finally:
        build._library.cache_clear()
    if found is None:
        pytest.skip("no C compiler here")
    assert isinstance(found, ctypes.CDLL)
    assert found.seven() == 7
    assert [p.name for p in tmp_path.iterdir()] == [folder.name]


def test_what_is_kept_is_not_loaded_where_others_could_write(tmp_path: Path) -> None:
    file = tmp_path / "x.so"
    file.write_bytes(b"")
    file.chmod(0o700)
    assert build._is_ours(file)
    file.chmod(0o722)
    assert not build._is_ours(file)
