"""The lint of docstrings and sizes finds what it says it finds."""

from __future__ import annotations

import textwrap
from pathlib import Path

import pytest
from checkouts import ROOT

from tools import house


def found(tmp_path: Path, text: str, name: str = "room.py") -> list[str]:
    (tmp_path / "errors.py").write_text("class OwnError(Exception):\n    pass\n")
    (tmp_path / name).write_text(textwrap.dedent(text))
    known = house.Known.of(tmp_path)
    return [f.split(": ", 1)[1] for f in house.faults(tmp_path / name, known)]


def test_our_own_house_is_in_order(capsys: pytest.CaptureFixture[str]) -> None:
    assert house.main(ROOT / "tl1bench") == 0, capsys.readouterr().out


SHORT = '''
def f(a: int, b: int, c: int) -> int:
    """Return a."""
    return a
'''
LONG = '''
def f(a: int, b: int, c: int) -> int:
    """Return a.

    Parameters
    ----------
    a, b
        Two.
    c
        One.

    Returns
    -------
    int
        The first.
    """
    return a
'''


def test_three_arguments_want_parameters_and_returns(tmp_path: Path) -> None:
    assert found(tmp_path, SHORT) == ["Parameters lacks a, b, c", "Returns is missing"]
    assert found(tmp_path, LONG) == []
    assert found(tmp_path, LONG.replace("    c\n        One.\n", "")) == ["Parameters lacks c"]


def test_what_is_not_public_is_not_asked(tmp_path: Path) -> None:
    assert found(tmp_path, SHORT.replace("def f", "def _f")) == []
    assert found(tmp_path, SHORT, name="_room.py") == []


def test_an_error_of_ours_wants_raises(tmp_path: Path) -> None:
    text = '''
        def f() -> None:
            """Fail."""
            raise OwnError("x")
        '''
    assert found(tmp_path, text) == ["Raises lacks OwnError"]
    assert found(tmp_path, text.replace("OwnError", "ValueError")) == []
    lines = ("Fail.", "", "Raises", "------", "OwnError", "    Always.", "")
    section = "\n            ".join(lines)
    assert found(tmp_path, text.replace("Fail.", section)) == []


def test_an_override_is_described_where_it_is_declared(tmp_path: Path) -> None:
    text = '''
        class Base:
            def f(self, a: int, b: int, c: int) -> int:
                """Return a.

                Parameters
                ----------
                a, b, c
                    Three.

                Returns
                -------
                int
                    The first.
                """
                return a


        class Own(Base):
            def f(self, a: int, b: int, c: int) -> int:
                """Return b."""
                return b
        '''
    assert found(tmp_path, text) == []
    first, second = text.split("class Own")
    more = f"{first}class Own{second.replace('c: int', 'c: int, d: int = 0')}"
    assert found(tmp_path, more) == ["Parameters lacks d", "Returns is missing"]


def test_long_functions_and_files_are_told(tmp_path: Path) -> None:
    body = "".join(f"    x{i} = {i}\n" for i in range(51))
    assert found(tmp_path, f'def f() -> None:\n    """Do."""\n{body}') == [
        "51 lines, docstring aside"
    ]
    lines = "X = 1\n" * 251
    assert "say in its docstring why" in found(tmp_path, lines)[0]
    assert found(tmp_path, '"""Long because it is a list."""\n' + lines) == []
