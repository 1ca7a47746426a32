"""What a result depends on: digests of the code that made it, blind to comments and layout."""

from __future__ import annotations

import ast
import functools
import hashlib
import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

_PACKAGE = Path(__file__).parents[1]
# A folder of plugins that works as one: what imports it depends on every file.
_WHOLE = _PACKAGE / "tracing" / "rules"
_C_FILE = re.compile(r"\w+\.c")
_INCLUDE = re.compile(r'^#include "(\w+\.h)"$', re.MULTILINE)


def closure(files: Iterable[Path]) -> tuple[Path, ...]:
    """Return `files` and every module of this package that they import, directly or not.

    A C file that a module names, and the headers that it includes, belong to it, and so do all
    rules of tracing. Imports under `if TYPE_CHECKING` do not count: they do nothing at run time.
    """
    found: set[Path] = set()
    queue = [Path(f).resolve() for f in files]
    while queue:
        file = queue.pop()
        if file not in found:
            found.add(file)
            queue += _imports(file) if file.suffix == ".py" else _included(file)
    return tuple(sorted(found))


def code_digest(files: Iterable[Path]) -> dict[str, str]:
    """Return the digest of each file's syntax tree without its docstrings.

    Comments, blank lines, quotes and docstrings may change without anything being rerun.
    """
    return {
        str(file.relative_to(_PACKAGE.parent)): _tree_digest(file)
        for file in (Path(f).resolve() for f in files)
    }


def digest(value: Any) -> str:
    """Return the sha256 of `value` as canonical JSON."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()


def file_digest(file: Path) -> str:
    """Return the sha256 of a file's bytes."""
    return hashlib.sha256(Path(file).read_bytes()).hexdigest()


def _tree_digest(file: Path) -> str:
    return _syntax(file.read_text(encoding="utf-8")) if file.suffix == ".py" else file_digest(file)


# Many things are made of one file, and parsing it costs far more than reading it.
@functools.cache
def _syntax(text: str) -> str:
    """Return the digest of a module's syntax tree without its docstrings."""
    tree = ast.parse(text)
    for node in ast.walk(tree):
        if isinstance(
            node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
        ) and ast.get_docstring(node, clean=False):
            node.body = node.body[1:]
    return hashlib.sha256(ast.dump(tree).encode()).hexdigest()


def _imports(file: Path) -> list[Path]:
    modules, named = _names(file.read_text(encoding="utf-8"))
    paths = []
    for module in modules:
        base = _PACKAGE.joinpath(*module.split(".")[1:])
        paths += [p for p in (base.with_suffix(".py"), base / "__init__.py") if p.is_file()]
    paths += [file.with_name(name) for name in named]
    if file == _WHOLE / "__init__.py":
        paths += _WHOLE.glob("*.py")
    # The package's own __init__ only names public things; it computes nothing.
    return [p for p in paths if p != _PACKAGE / "__init__.py"]


@functools.cache
def _names(text: str) -> tuple[frozenset[str], frozenset[str]]:
    """Return this package's modules that a module imports, and the C files that it names."""
    tree = ast.parse(text)
    typing_only = {
        child
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        for child in ast.walk(node)
    }
    modules: set[str] = set()
    strings: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            strings.add(node.value)
        elif node in typing_only:
            continue
        elif isinstance(node, ast.Import):
            modules.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            # `from tl1bench.penalties import tl1` may name a module or something inside one.
            modules.add(node.module)
            modules.update(f"{node.module}.{alias.name}" for alias in node.names)
    return (
        frozenset(name for name in modules if name.split(".")[0] == _PACKAGE.name),
        frozenset(filter(_C_FILE.fullmatch, strings)),
    )


def _included(file: Path) -> list[Path]:
    found = _INCLUDE.findall(file.read_text(encoding="utf-8"))
    return [file.with_name(name) for name in found]
