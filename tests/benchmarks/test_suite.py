"""What every benchmark promises, read from its file alone: asv cannot ask for it."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FILES = sorted((ROOT / "benchmarks").glob("*.py"))
PUBLIC = [file for file in FILES if not file.stem.startswith("_")]
HEAVY = {"torch", "torchvision", "onnx", "onnxruntime", "numpy", "pandas", "matplotlib", "scipy"}
KINDS = ("time_", "timeraw_", "track_", "mem_", "peakmem_")


def classes(file: Path) -> dict[str, ast.ClassDef]:
    tree = ast.parse(file.read_text(encoding="utf-8"))
    return {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}


def methods(node: ast.ClassDef) -> list[str]:
    return [item.name for item in node.body if isinstance(item, ast.FunctionDef)]


def settings(node: ast.ClassDef, among: dict[str, ast.ClassDef]) -> dict[str, ast.expr]:
    """Return what the class and its bases in the same file assign to names."""
    found: dict[str, ast.expr] = {}
    for base in node.bases:
        if isinstance(base, ast.Name) and base.id in among:
            found |= settings(among[base.id], among)
    for item in node.body:
        if isinstance(item, ast.Assign):
            found |= {ast.unparse(target): item.value for target in item.targets}
    return found


def suites(file: Path) -> dict[str, dict[str, ast.expr]]:
    """Return the settings of each class of `file` that holds a benchmark."""
    among = classes(file)
    return {
        name: settings(node, among)
        for name, node in among.items()
        if any(method.startswith(KINDS) for method in methods(node))
    }


def imported(statement: ast.stmt) -> set[str]:
    if isinstance(statement, ast.Import):
        return {alias.name.partition(".")[0] for alias in statement.names}
    if isinstance(statement, ast.ImportFrom) and statement.module:
        return {statement.module.partition(".")[0]}
    return set()


@pytest.mark.parametrize("file", PUBLIC, ids=lambda file: file.stem)
def test_every_benchmark_names_its_version_so_that_rewriting_it_keeps_its_curve(
    file: Path,
) -> None:
    for name, known in suites(file).items():
        version = known.get("version")
        assert isinstance(version, ast.Constant), f"{name} has no version"
        assert isinstance(version.value, str)


@pytest.mark.parametrize("file", PUBLIC, ids=lambda file: file.stem)
def test_every_tracked_number_has_a_unit(file: Path) -> None:
    among = classes(file)
    for name, known in suites(file).items():
        for method in methods(among[name]):
            if method.startswith("track_"):
                assert "unit" in known or f"{method}.unit" in known, f"{name}.{method}"


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_learning_what_there_is_imports_nothing_heavy(file: Path) -> None:
    tree = ast.parse(file.read_text(encoding="utf-8"))
    assert not HEAVY & set().union(*map(imported, tree.body))


@pytest.mark.parametrize("file", PUBLIC, ids=lambda file: file.stem)
def test_memory_is_not_read_from_what_children_inherit(file: Path) -> None:
    for node in classes(file).values():
        assert not any(method.startswith(("peakmem_", "mem_")) for method in methods(node))


def test_there_is_a_file_for_every_subject() -> None:
    subjects = {file.stem for file in PUBLIC if suites(file)}
    assert subjects >= {
        "compaction", "export", "gate", "groups", "latency", "memory", "optimizer_step",
        "pipeline", "prox", "prox_error", "report", "shrinking", "startup",
    }  # fmt: skip
