"""What the JSON of an exported program may say, before torch reads it.

torch takes more of it for code than one would think: targets of calls are looked up, expressions of
sizes are evaluated, names of inputs and tensors stand in generated source, structures import the
modules of their types, and constants of some kinds are unpickled.
"""

from __future__ import annotations

import ast
import json
import keyword
import math
import re
from collections.abc import Mapping
from typing import Any

from tl1bench.errors import CompactionError
from tl1bench.files import parse_json

MAX_CHARACTERS = 64 << 20
MAX_NUMBERS = 1 << 27  # in a tensor that the graph makes out of nothing
_ENDS = (2**63 - 1, -(2**63))  # what a slice without an end says
_TARGET = re.compile(
    r"torch\.ops\.aten\.[a-z_]\w*\.\w+|math\.trunc|torch\._sym_sqrt"
    r"|torch\.sym_(float|int|ite|max|min|not)"
    r"|_operator\.(add|and_|eq|floordiv|ge|gt|le|lt|mod|mul|ne|neg|or_|pos|pow|sub|truediv)"
)
_NO_TARGET = "torch.ops.aten.from_file."
_NAME = re.compile(r"(?!__)[A-Za-z_]\w{0,500}", re.ASCII)
_TAKEN = frozenset({"self", "torch", "device", "inf", "nan", "NoneType", "fx_pytree", "pytree"})
_PATH = re.compile(r"(weight|tensor)_\d+")
_DOTTED = re.compile(r"[^\"\\\x00-\x1f\x7f]{0,1000}")
_DOTTED_KEYS = frozenset({"parameter_name", "buffer_name", "tensor_constant_name", "fqn"})
_OBJECTS = frozenset({"script_obj_meta", "as_custom_obj", "as_operator", "as_graph"})
_SYMBOL = re.compile(r"[su]\d+|zf\d+|zuf\d+")
_FUNCTIONS = frozenset(
    ("Symbol", "Integer", "Rational", "Add", "Mul", "Pow", "Max", "Min", "Abs", "Mod", "FloorDiv",
     "CeilDiv", "PythonMod", "CleanDiv", "ModularIndexing", "IntTrueDiv", "FloatTrueDiv", "ToFloat",
     "TruncToInt", "Eq", "Ne", "Lt", "Le", "Gt", "Ge", "And", "Or", "Not")
)  # fmt: skip
_FLAGS = frozenset(("positive", "integer", "nonnegative", "real", "evaluate", "negative", "zero"))
_STRUCTURES = frozenset(
    (None, "builtins.list", "builtins.tuple", "builtins.dict", "collections.OrderedDict")
)


def read(content: bytes, part: str) -> Any:
    """Return what a JSON file holds once every word of it was looked at.

    Raises
    ------
    CompactionError
        It says more than a graph of ATen operations needs; the message calls the file `part`.
    """
    try:
        # torch reads UTF-8, where json alone would guess the encoding.
        found = parse_json(content.decode("utf-8"), MAX_CHARACTERS)
    except ValueError as error:
        raise CompactionError(f"the part {part!r} ({error})") from error
    waiting: list[tuple[str, Any]] = [("", found)]
    while waiting:
        key, value = waiting.pop()
        if isinstance(value, list):
            waiting += [(key, v) for v in value]
        elif isinstance(value, dict):
            _check_mapping(value, part)
            waiting += [(k, v) for k, v in value.items() if k != "metadata"]
        elif isinstance(value, str):
            _check_text(key, value, part)
    return found


def check_sizes(tensors: Mapping[str, Any], stored: int) -> None:
    """Refuse tensors that are far larger than the file they come from.

    Parameters
    ----------
    tensors
        A description a tensor.
    stored
        Bytes of the file.

    Raises
    ------
    CompactionError
        They are.
    """
    count = 0
    for tensor in tensors.values():
        sizes = (tensor.get("tensor_meta") or {}).get("sizes") or []
        count += math.prod(max(0, int(size["as_int"])) for size in sizes)
    if count > stored + MAX_NUMBERS // 4:
        raise CompactionError(f"a file of {stored} bytes for {count} numbers")


def _check_mapping(value: dict[str, Any], part: str) -> None:
    target = value.get("target")
    if "target" in value and "inputs" in value:
        _check_target(target, part)
    if value.keys() & _OBJECTS:
        raise CompactionError(f"the custom object in {part!r}")
    name = value.get("name")
    # The names of arguments are those of the operation's schema: "self" and "from" are among them.
    if isinstance(name, str) and "kind" not in value:
        _check_name(name, part)
    if isinstance(value.get("arg"), dict) and _product(value["arg"]) > MAX_NUMBERS:
        raise CompactionError(f"the size {str(value['arg'])[:60]} in {part!r}")
    for key in value:
        if not _DOTTED.fullmatch(key):
            raise CompactionError(f"the name {key[:60]!r} in {part!r}")


def _product(argument: dict[str, Any]) -> int:
    """Return the product of the whole numbers in an argument, which may be sizes."""
    numbers: list[Any] = [argument.get("as_int")]
    for kind in ("as_ints", "as_sym_ints"):
        found = argument.get(kind)
        numbers += found if isinstance(found, list) else []
    numbers = [n.get("as_int") if isinstance(n, dict) else n for n in numbers]
    whole = [abs(n) for n in numbers if isinstance(n, int) and n not in _ENDS]
    return math.prod(max(1, n) for n in whole)


def _check_text(key: str, value: str, part: str) -> None:
    """Look at a string that torch takes for more than a text."""
    if key in ("as_name", "forward_arg_names"):
        _check_name(value, part)
    elif key in _DOTTED_KEYS and not _DOTTED.fullmatch(value):
        raise CompactionError(f"the name {value[:60]!r} in {part!r}")
    elif key == "path_name" and not _PATH.fullmatch(value):
        raise CompactionError(f"the tensor in {value[:60]!r} of {part!r}, which may be a pickle,")
    elif key == "expr_str" and not is_expression(value):
        raise CompactionError(f"the expression {value[:60]!r} in {part!r}")
    elif key in ("in_spec", "out_spec"):
        _check_structure(value, part)


def _check_target(target: Any, part: str) -> None:
    fine = isinstance(target, str) and _TARGET.fullmatch(target)
    if not fine or target.startswith(_NO_TARGET):
        raise CompactionError(
            f"the operation {str(target)[:60]!r} in {part!r}, which is none of ATen's,"
        )


def _check_name(name: str, part: str) -> None:
    """Refuse what is no identifier, or hides what generated code needs."""
    fine = not name or (_NAME.fullmatch(name) and not keyword.iskeyword(name))
    if not fine or name in _TAKEN:
        raise CompactionError(f"the name {name[:60]!r} in {part!r}")


def _check_structure(text: str, part: str) -> None:
    """Refuse structures for which torch imports a module that the file names."""
    waiting = [json.loads(text)]
    while waiting:
        value = waiting.pop()
        if isinstance(value, list):
            waiting += value
        elif isinstance(value, dict):
            kind, context = value.get("type"), value.get("context")
            keys = json.loads(context) if isinstance(context, str) else context
            plain = keys is None or (
                isinstance(keys, list) and all(isinstance(k, str | int) for k in keys)
            )
            if kind not in _STRUCTURES or not plain:
                raise CompactionError(f"the structure with {str(kind)[:60]} in {part!r}")
            waiting.append(value.get("children_spec"))


def is_expression(text: str) -> bool:
    """Whether a string is arithmetic of symbols such as s0 and whole numbers, and nothing else."""
    if len(text) > 10_000:
        return False
    try:
        tree = ast.parse(text, mode="eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return all(_is_arithmetic(node) for node in ast.walk(tree)) and not _grows(tree)


def _grows(tree: ast.AST) -> bool:
    """Whether a power in it is more than a small one of something without powers."""
    powers = [
        node for node in ast.walk(tree)
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "Pow"
    ]  # fmt: skip
    for power in powers:
        exponents = [n.value for n in ast.walk(power) if isinstance(n, ast.Constant)]
        inner = [n for n in ast.walk(power) if n is not power and n in powers]
        if inner or any(isinstance(n, int) and abs(n) > 2**16 for n in exponents):
            return True
        last = power.args[-1] if len(power.args) == 2 else None
        if last is None or len(ast.unparse(last)) > len("Integer(-8)"):
            return True
    return False


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
