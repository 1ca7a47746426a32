from pathlib import Path

from tl1bench import plugins
from tl1bench.pipeline import provenance


def digest_of(tmp_path: Path, monkeypatch, text: str) -> str:
    monkeypatch.setattr(provenance, "_PACKAGE", tmp_path / "tl1bench")
    file = tmp_path / "tl1bench" / "a.py"
    file.parent.mkdir(exist_ok=True)
    file.write_text(text)
    return provenance.code_digest([file])["tl1bench/a.py"]


def test_comments_docstrings_and_layout_do_not_change_a_digest(tmp_path, monkeypatch) -> None:
    plain = digest_of(tmp_path, monkeypatch, "def f(x):\n    return x + 1\n")
    dressed = '"""Doc."""\n\n\ndef f(x):  # why\n    """More."""\n    return (x + 1)\n'
    assert digest_of(tmp_path, monkeypatch, dressed) == plain


def test_code_does_change_a_digest(tmp_path, monkeypatch) -> None:
    before = digest_of(tmp_path, monkeypatch, "def f(x):\n    return x + 1\n")
    assert digest_of(tmp_path, monkeypatch, "def f(x):\n    return x + 2\n") != before


def test_the_closure_of_a_penalty_holds_its_base_and_no_other_penalty() -> None:
    found = {p.stem for p in provenance.closure([plugins.source_file("penalties", "l1")])}
    assert {"l1", "_base", "errors"} <= found
    assert "integrated_tl1" not in found


def test_imports_for_type_checking_do_not_count() -> None:
    package = Path(provenance.__file__).parent
    assert "config" not in {p.stem for p in provenance.closure([package / "training.py"])}
