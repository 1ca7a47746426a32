"""Exported programs from disk: every part is looked at before torch opens the archive.

`torch.export.load` unpickles what it finds and evaluates strings as expressions, so that a crafted
`.pt2` runs its own code while it is read. Here a file is data: a part that is more is refused.

* The archive is an ordinary one: no name leads out of it, nothing is larger than stated, and there
  are no compiled libraries or custom objects in it.
* What is pickled passes torch's weights-only unpickler, and while torch loads, so does everything
  else (`TORCH_FORCE_WEIGHTS_ONLY_LOAD`): its fallback to the unsafe one cannot happen.
* The graph calls ATen operations, operators and functions on sizes, no others, and expressions of
  sizes are sums, products and the like of symbols and whole numbers.
* Structures of inputs and outputs are lists, tuples and dicts.
* Names of values, inputs and tensors are such that Python written with them says nothing else.
"""

from __future__ import annotations

import ast
import io
import json
import os
import pickle  # nosec B403
import re
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any

import torch

from tl1bench.errors import CompactionError
from tl1bench.tracing import names

MAX_BYTES = 8 << 30  # of all parts, unpacked
MAX_JSON_BYTES = 256 << 20
MAX_PARTS = 100_000
_MEND = "make a clean file by torch.export.save(torch.export.export(model.eval(), (x,)), path)"
_CODE = (".so", ".dll", ".dylib", ".cubin", ".cpp", ".py", ".o")
_TARGET = re.compile(
    r"torch\.ops\.aten\.[a-z_]\w*\.\w+|_operator\.[a-z_]+|math\.[a-z]+|torch\._?sym_\w+"
)
_NO_TARGET = ("torch.ops.aten.from_file.", "_operator.call", "_operator.methodcaller")
_SYMBOL = re.compile(r"[su]\d+|zf\d+|zuf\d+")
_FUNCTIONS = frozenset(
    ("Symbol", "Integer", "Rational", "Add", "Mul", "Pow", "Max", "Min", "Abs", "Mod", "FloorDiv",
     "CeilDiv", "PythonMod", "CleanDiv", "ModularIndexing", "IntTrueDiv", "FloatTrueDiv", "ToFloat",
     "TruncToInt", "Eq", "Ne", "Lt", "Le", "Gt", "Ge", "And", "Or", "Not")
)  # fmt: skip
_FLAGS = frozenset(("positive", "integer", "nonnegative", "real", "evaluate", "negative", "zero"))
_STRUCTURES = frozenset(
    ("builtins.list", "builtins.tuple", "builtins.dict", "collections.OrderedDict")
)
# Where the graph names values, and where tensors.
_VALUES = ("name", "as_name", "forward_arg_names")
_TENSORS = ("parameter_name", "buffer_name", "tensor_constant_name")


def load_program(path: str | Path) -> torch.export.ExportedProgram:
    """Return the exported program in a .pt2 file of whatever origin.

    Raises
    ------
    CompactionError
        The file is missing or no such archive, or a part of it is refused; the message says which.
    """
    path = Path(path)
    if not zipfile.is_zipfile(path):
        raise CompactionError(f"{path} is no exported program: no such file, or another format.")
    try:
        with zipfile.ZipFile(path) as archive:
            _check_names(archive)
            for part in archive.infolist():
                _check_part(part, archive)
        with _weights_only():
            program = torch.export.load(path)
    except CompactionError as error:
        raise CompactionError(f"{path}: {error} is refused; {_MEND}.") from error
    except Exception as error:  # damaged in whatever way
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise CompactionError(f"{path} is no exported program ({reason[:200]}).") from error
    return program


@contextmanager
def _weights_only() -> Iterator[None]:
    """Make torch.load refuse whatever the weights-only unpickler does, however it is called."""
    names = ("TORCH_FORCE_WEIGHTS_ONLY_LOAD", "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD")
    before = {name: os.environ.pop(name, None) for name in names}
    os.environ[names[0]] = "1"
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value


def _check_names(archive: zipfile.ZipFile) -> None:
    parts = archive.infolist()
    if len(parts) > MAX_PARTS or len({p.filename for p in parts}) < len(parts):
        raise CompactionError("an archive with too many parts, or two of one name,")
    total = 0
    for part in parts:
        name = PurePosixPath(part.filename)
        total += part.file_size
        if name.is_absolute() or ".." in name.parts or "\\" in part.filename:
            raise CompactionError(f"the part {part.filename!r}, which leads out of the archive,")
        if name.suffix in _CODE or "aotinductor" in name.parts:
            raise CompactionError(f"the part {part.filename!r}, which is code,")
    if total > MAX_BYTES:
        raise CompactionError(f"an archive of {total / 2**30:.0f} GiB")


def _check_part(part: zipfile.ZipInfo, archive: zipfile.ZipFile) -> None:
    with archive.open(part) as stream:
        start = stream.read(4)
    if part.filename.endswith(".json"):
        if part.file_size > MAX_JSON_BYTES:
            raise CompactionError(f"the part {part.filename!r} of {part.file_size} bytes")
        _check_json(json.loads(archive.read(part)), part.filename)
    elif part.filename.endswith((".pt", ".pkl", ".pickle")) or start == b"PK\x03\x04":
        content = archive.read(part)
        if not content:
            return
        try:
            torch.load(io.BytesIO(content), weights_only=True, map_location="cpu")
        except (pickle.UnpicklingError, RuntimeError, ValueError, EOFError, KeyError) as error:
            raise CompactionError(
                f"the pickled part {part.filename!r}, which holds more than tensors and numbers,"
            ) from error


def _check_json(content: Any, name: str) -> None:
    """Look at every string of the graph that torch takes for more than a name."""
    waiting = [content]
    while waiting:
        value = waiting.pop()
        if isinstance(value, list):
            waiting += value
        elif isinstance(value, dict):
            waiting += value.values()
            _check_names_in(value, name)
            target, expression = value.get("target"), value.get("expr_str")
            if isinstance(target, str) and "inputs" in value:
                _check_target(target, name)
            if isinstance(expression, str) and not is_expression(expression):
                raise CompactionError(f"the expression {expression[:60]!r} in {name!r}")
            if "script_obj_meta" in value or "as_custom_obj" in value:
                raise CompactionError(f"the custom object in {name!r}")
        elif isinstance(value, str) and '"type"' in value:
            _check_structure(value, name)


def _check_names_in(part: dict[str, Any], name: str) -> None:
    """Refuse names that would be more than names in the Python that torch writes from a graph."""
    given = {key: value if isinstance(value, list) else [value] for key, value in part.items()}
    values = [n for key in _VALUES for n in given.get(key, ()) if n]
    tensors = [n for key in _TENSORS for n in given.get(key, ()) if n]
    if isinstance(part.get("config"), dict):
        tensors += part["config"]
    values += _keywords(part.get("in_spec"))
    odd = [n for n in values if not names.is_value(str(n))]
    odd += [n for n in tensors if not names.is_tensor(str(n))]
    if odd:
        raise CompactionError(f"the name {str(odd[0])[:60]!r} in {name!r}")


def _keywords(structure: Any) -> list[str]:
    """Return the names of inputs that are passed by name: arguments of what torch writes."""
    if not structure:
        return []
    inputs = json.loads(structure)[1]["children_spec"]
    context = inputs[1]["context"] if len(inputs) == 2 else None
    return [str(n) for n in json.loads(context) or ()] if isinstance(context, str) else []


def _check_target(target: str, name: str) -> None:
    if not _TARGET.fullmatch(target) or target.startswith(_NO_TARGET):
        raise CompactionError(
            f"the operation {target[:60]!r} in {name!r}, which is none of ATen's,"
        )


def _check_structure(text: str, name: str) -> None:
    """Refuse structures for which torch imports a module that the file names."""
    kinds = set(re.findall(r'"type"\s*:\s*"([^"]*)"', text))
    if kinds - _STRUCTURES or "default_factory" in text or "__enum__" in text:
        odd = ", ".join(sorted(kinds - _STRUCTURES)) or "a default factory"
        raise CompactionError(f"the structure with {odd[:60]} in {name!r}")


def is_expression(text: str) -> bool:
    """Whether a string is arithmetic of symbols such as s0 and whole numbers, and nothing else."""
    if len(text) > 10_000:
        return False
    try:
        tree = ast.parse(text, mode="eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return all(_is_arithmetic(node) for node in ast.walk(tree))


def _is_arithmetic(node: ast.AST) -> bool:
    if isinstance(node, ast.Call):
        return isinstance(node.func, ast.Name) and node.func.id in _FUNCTIONS
    if isinstance(node, ast.Name):
        return node.id in _FUNCTIONS or bool(_SYMBOL.fullmatch(node.id))
    if isinstance(node, ast.keyword):
        return node.arg in _FLAGS
    if isinstance(node, ast.Constant):
        symbol = isinstance(node.value, str) and _SYMBOL.fullmatch(node.value)
        return bool(symbol) or (isinstance(node.value, int) and abs(node.value) < 2**63)
    return isinstance(
        node,
        ast.Expression | ast.BinOp | ast.UnaryOp | ast.Compare | ast.operator | ast.unaryop
        | ast.cmpop | ast.expr_context,
    ) and not isinstance(node, ast.Pow | ast.LShift)  # fmt: skip
