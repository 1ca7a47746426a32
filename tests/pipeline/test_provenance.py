from pathlib import Path

from tl1bench import plugins
from tl1bench.pipeline import provenance

PACKAGE = Path(plugins.__file__).parent


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


def names(*files: Path) -> set[str]:
    return {p.relative_to(PACKAGE).as_posix() for p in provenance.closure(files)}


def test_the_closure_of_a_penalty_holds_its_base_its_kernel_and_no_other_penalty() -> None:
    found = names(plugins.source_file("penalties", "tl1"))
    assert {"penalties/tl1.py", "penalties/_base/penalty.py", "errors.py"} <= found
    assert {"kernels/tl1.c", "kernels/tl1.h"} <= found
    assert "penalties/integrated_tl1.py" not in found


def test_what_compacts_depends_on_every_rule_though_none_is_imported_by_name() -> None:
    rules = {f"tracing/rules/{p.name}" for p in (PACKAGE / "tracing/rules").glob("*.py")}
    assert len(rules) > 40
    for stage in ("compact", "export"):
        assert rules <= names(PACKAGE / f"pipeline/stages/{stage}.py")


def test_a_change_in_a_c_file_changes_the_digest(tmp_path, monkeypatch) -> None:
    digest_of(tmp_path, monkeypatch, "FILE = 'a.c'\n")
    module, source = tmp_path / "tl1bench/a.py", tmp_path / "tl1bench/a.c"
    source.write_text("int f(void) { return 1; }\n")
    assert source in provenance.closure([module])
    before = provenance.code_digest([source])
    source.write_text("int f(void) { return 2; }\n")
    assert provenance.code_digest([source]) != before


def test_imports_for_type_checking_do_not_count() -> None:
    assert not {n for n in names(PACKAGE / "training/loop.py") if n.startswith("config/")}
