"""What the house asks of every public function and file beside style and types: `make lint`.

* A public function, or class by its `__init__`, with three arguments or more has a numpydoc
  section Parameters that names each of them, and Returns unless it returns nothing.
* One that raises an error of ours by itself has a section Raises.
* No function is longer than 50 lines, docstring aside; no file longer than 250 without a sentence
  in its docstring that begins "Long because".

A method that overrides another one of the package is described there; only what it takes or raises
besides is asked of it. What the commands of the command line take stands in their help.
Docstrings are read by numpydoc. Public is what has no leading underscore, in a module without one.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from numpydoc.docscrape import NumpyDocString

FUNCTION_LINES = 50
FILE_LINES = 250
ARGUMENTS = 3
Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Known:
    """What is known of the whole package: names of its errors, and its classes by name."""

    errors: frozenset[str]
    classes: Mapping[str, ast.ClassDef]

    @classmethod
    def of(cls, package: Path) -> Known:
        """Read every file below `package`."""
        trees = (ast.parse(f.read_text(encoding="utf-8")) for f in sorted(package.rglob("*.py")))
        nodes = [n for tree in trees for n in ast.walk(tree) if isinstance(n, ast.ClassDef)]
        errors = frozenset(n.name for n in nodes if n.name.endswith("Error"))
        return cls(errors, {n.name: n for n in nodes})

    def overridden(self, owner: ast.ClassDef, name: str) -> Function | None:
        """Return the method of a class further up that method `name` of `owner` overrides."""
        for base in owner.bases:
            parent = self.classes.get(
                _last(base.value if isinstance(base, ast.Subscript) else base)
            )
            if parent is None or parent is owner:
                continue
            own = (n for n in parent.body if isinstance(n, Function) and n.name == name)
            found = next(own, None) or self.overridden(parent, name)
            if found is not None:
                return found
        return None


def faults(file: Path, known: Known) -> Iterator[str]:
    """Yield what is missing in a file, as `path:line name: what`."""
    text = file.read_text(encoding="utf-8")
    tree = ast.parse(text)
    lines = len(text.splitlines())
    if lines > FILE_LINES and "Long because" not in (ast.get_docstring(tree) or ""):
        yield f"{file}:1: {lines} lines; say in its docstring why (Long because …) or split it"
    for function, owner in _functions(tree):
        length = _length(function)
        if length > FUNCTION_LINES:
            yield f"{file}:{function.lineno} {function.name}: {length} lines, docstring aside"
        if _is_public(file, function, owner):
            for what in _missing(function, owner, known):
                yield f"{file}:{function.lineno} {_name(function, owner)}: {what}"


def _functions(tree: ast.Module) -> Iterator[tuple[Function, ast.ClassDef | None]]:
    """Yield functions and methods, with the class that they are in; none inside functions."""
    for node in tree.body:
        if isinstance(node, Function):
            yield node, None
        elif isinstance(node, ast.ClassDef):
            for inner in node.body:
                if isinstance(inner, Function):
                    yield inner, node


def _is_public(file: Path, function: Function, owner: ast.ClassDef | None) -> bool:
    parts = [*file.with_suffix("").parts, *([owner.name] if owner else []), function.name]
    hidden = [p for p in parts if p.startswith("_") and p != "__init__"]
    command = any(_last(d) == "command" for d in function.decorator_list)
    return not hidden and not command


def _missing(function: Function, owner: ast.ClassDef | None, known: Known) -> Iterator[str]:
    told = ast.get_docstring(function) or ""
    if function.name == "__init__" and owner is not None:
        told = f"{ast.get_docstring(owner) or ''}\n{told}"
    sections = NumpyDocString(told) if told.strip() else NumpyDocString("")
    above = known.overridden(owner, function.name) if owner else None
    arguments, raised = _arguments(function), _raised(function) & known.errors
    if above is not None:
        arguments = [a for a in arguments if a not in _arguments(above)]
        raised -= _raised(above) | (known.errors if "Raises" in (ast.get_docstring(above) or "")
                                    else set())  # fmt: skip
    if len(arguments) >= ARGUMENTS or (above is not None and arguments):
        named = {n.strip(" *") for p in sections["Parameters"] for n in p.name.split(",")}
        lacking = [a for a in arguments if a not in named]
        if lacking:
            yield f"Parameters lacks {', '.join(lacking)}"
        if _returns(function) and not sections["Returns"] and not sections["Yields"]:
            yield "Returns is missing"
    if raised and not sections["Raises"]:
        yield f"Raises lacks {', '.join(sorted(raised))}"


def _arguments(function: Function) -> list[str]:
    given = [*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs]
    return [a.arg for a in given if a.arg not in ("self", "cls")]


def _returns(function: Function) -> bool:
    wanted = function.returns
    return not (wanted is None or (isinstance(wanted, ast.Constant) and wanted.value is None))


def _raised(function: Function) -> set[str]:
    raised = (n.exc for n in ast.walk(function) if isinstance(n, ast.Raise) and n.exc)
    return {_last(e.func if isinstance(e, ast.Call) else e) for e in raised}


def _last(node: ast.expr) -> str:
    if isinstance(node, ast.Call):
        node = node.func
    return node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "")


def _length(function: Function) -> int:
    body = function.body[1:] if ast.get_docstring(function) else function.body
    return body[-1].end_lineno - body[0].lineno + 1 if body else 0  # type: ignore[operator]


def _name(function: Function, owner: ast.ClassDef | None) -> str:
    return f"{owner.name}.{function.name}" if owner else function.name


def main(package: Path) -> int:
    """Print every fault below `package`; return 1 when there is one."""
    known = Known.of(package)
    found = [fault for file in sorted(package.rglob("*.py")) for fault in faults(file, known)]
    sys.stdout.write("".join(f"{fault}\n" for fault in found))
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1] if len(sys.argv) > 1 else "tl1bench")))
