"""Files that try to run code or to take all memory: refused in one sentence, nothing run."""

from __future__ import annotations

import copy
import io
import json
import os
import re
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

import tl1bench as tl
from tl1bench.compaction import archive
from tl1bench.tracing import description, program

NONE = {"tuple": []}, {"dict": {}}
X = ["placeholder", "x", "x", *NONE]


def call(name: str, target: str, *args: Any, **kwargs: Any) -> list[Any]:
    return ["call_function", name, target, {"tuple": list(args)}, {"dict": kwargs}]


def end(name: str) -> list[Any]:
    return ["output", "output", "output", {"tuple": [{"node": name}]}, {"dict": {}}]


def relu(name: str = "y", of: str = "x", **kwargs: Any) -> list[Any]:
    return call(name, "aten.relu.default", {"node": of}, **kwargs)


def nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


GOOD = [X, relu(), end("y")]
GRAPHS: dict[str, Any] = {
    "a keyword that is code": [X, relu(**{"a=__import__('os').getcwd(),b": 1}), end("y")],
    "a keyword that the operation lacks": [X, relu(other=1), end("y")],
    "too many arguments": [X, call("y", "aten.relu.default", {"node": "x"}, 1, 2), end("y")],
    "a name that is code": [["placeholder", "x", "x, y=print()", *NONE], relu(), end("y")],
    "a keyword of Python as a name": [["placeholder", "class", "class", *NONE], end("class")],
    "a name that hides torch": [["placeholder", "torch", "torch", *NONE], relu("y", "torch")],
    "a name that hides self": [X, relu("self"), end("self")],
    "a name with a newline": [X, relu("y\nimport os"), end("y\nimport os")],
    "a name that is no text": [X, ["call_function", 7, "aten.relu.default", *NONE], end("x")],
    "a dunder": [X, relu("__class__"), end("__class__")],
    "a reference to what comes later": [X, relu("y", "z"), relu("z", "y"), end("z")],
    "a reference to nothing": [X, relu("y", "nowhere"), end("y")],
    "a call that writes": [X, call("y", "aten.relu_.default", {"node": "x"}), end("y")],
    "a file read as a tensor": [call("y", "aten.from_file.default", "/etc/passwd"), end("y")],
    "an operation of nobody's": [X, call("y", "mine.run.default", {"node": "x"}), end("y")],
    "an operator that calls": [X, call("y", "operator.call", {"node": "x"}), end("y")],
    "an attribute of an operation": [X, call("y", "aten.__class__.mro"), end("y")],
    "a type that is none": [
        X,
        relu(),
        call("z", "aten.to.dtype", {"node": "y"}, {"dtype": "load"}),
    ],
    "a private name of torch's": [X, call("y", "aten.to.dtype", {"node": "x"}, {"dtype": "_C"})],
    "a tensor of a terabyte": [call("y", "aten.zeros.default", [1 << 20, 1 << 20]), end("y")],
    "sizes beyond numbers": [
        X,
        call("y", "aten.expand.default", {"node": "x"}, [1 << 62]),
        end("y"),
    ],
    "a repetition without end": [X, call("y", "aten.repeat.default", {"node": "x"}, [1 << 40])],
    "arguments without end": [X, call("y", "aten.relu.default", nested(40)), end("y")],
    "an unknown step": [X, ["call_module", "y", "x", *NONE], end("x")],
    "a step cut short": [X, ["call_function", "y"]],
    "no list": {"x": 1},
    "a tensor that is not there": [["get_attr", "w", "nothing", *NONE], end("w")],
    "a kind that is none": [X, call("y", "aten.relu.default", {"module": "os"}), end("y")],
    "no output": [X, relu()],
}
TENSORS = {
    "a tensor called forward": "forward",
    "a tensor in a private place": "_parameters.w",
    "a tensor that is a class": "__class__",
    "a tensor with a strange name": "a b",
    "a tensor called training": "layer.training",
    "an empty part": "a..b",
}


def write(path: Path, graph: Any, tensors: dict[str, torch.Tensor] | None = None) -> Path:
    described = {"format": archive.FORMAT, "graph": json.dumps(graph), "parameters": "[]"}
    save_file(tensors or {"w": torch.zeros(3)}, path, metadata=described)
    return path


def refused(path: Path, what: str) -> str:
    with pytest.raises(tl.CompactionError) as caught:
        tl.load_compacted(path)(torch.randn(2, 3))
    message = str(caught.value)
    assert "\n" not in message
    assert len(message) < 500, what
    assert path.name in message
    return message


def test_a_good_file_of_this_form_is_read(tmp_path: Path) -> None:
    model = tl.load_compacted(write(tmp_path / "good.safetensors", GOOD))
    x = torch.randn(2, 3)
    assert torch.equal(model(x), x.relu())


@pytest.mark.parametrize("what", GRAPHS)
def test_a_hostile_graph_is_refused(what: str, tmp_path: Path) -> None:
    refused(write(tmp_path / "bad.safetensors", GRAPHS[what]), what)


@pytest.mark.parametrize("what", TENSORS)
def test_a_hostile_tensor_name_is_refused(what: str, tmp_path: Path) -> None:
    tensors = {TENSORS[what]: torch.zeros(3)}
    refused(write(tmp_path / "bad.safetensors", GOOD, tensors), what)


def test_too_many_calls_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "MAX_CALLS", 2)
    assert "a graph of 3 calls" in refused(write(tmp_path / "bad.safetensors", GOOD), "calls")


class Evil:
    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return os.mkdir, (str(self.mark),)


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The parts of a good exported program."""
    path = tmp_path_factory.mktemp("pt2") / "good.pt2"
    model = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.ReLU()).eval()
    shapes = ({0: torch.export.Dim("batch")},)
    torch.export.save(torch.export.export(model, (torch.randn(2, 3),), dynamic_shapes=shapes), path)
    with zipfile.ZipFile(path) as parts:
        return {name: parts.read(name) for name in parts.namelist()}


def zipped(path: Path, parts: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as target:
        for name, content in parts.items():
            target.writestr(name, content)
    return path


def changed(parts: dict[str, bytes], old: str, new: str) -> dict[str, bytes]:
    """Return the parts with text of the graph replaced."""
    name = next(n for n in parts if n.endswith("models/model.json"))
    text = parts[name].decode()
    assert old in text
    return {**parts, name: text.replace(old, new).encode()}


def pickled(parts: dict[str, bytes], mark: Path) -> dict[str, bytes]:
    content = io.BytesIO()
    torch.save(Evil(mark), content)
    name = next(n for n in parts if n.endswith("sample_inputs/model.pt"))
    return {**parts, name: content.getvalue()}


SYMBOL = "Symbol('s31', positive=True, integer=True)"


def symbol(parts: dict[str, bytes]) -> str:
    text = next(v for n, v in parts.items() if n.endswith("models/model.json")).decode()
    return re.search(r'"expr_str": "([^"]+)"', text)[1]


def test_a_good_program_is_read(exported: dict[str, bytes], tmp_path: Path) -> None:
    model = tl.load_compacted(zipped(tmp_path / "good.pt2", exported))
    assert model(torch.randn(5, 3)).shape == (5, 4)


def test_a_pickle_inside_is_refused_and_does_not_run(
    exported: dict[str, bytes], tmp_path: Path
) -> None:
    mark = tmp_path / "RAN"
    path = zipped(tmp_path / "bad.pt2", pickled(exported, mark))
    message = refused(path, "pickle")
    assert "sample_inputs/model.pt" in message
    assert "make a clean file" in message
    assert not mark.exists()


def test_torchs_own_unsafe_loader_cannot_be_reached(tmp_path: Path) -> None:
    mark, content = tmp_path / "RAN", io.BytesIO()
    torch.save(Evil(mark), content)
    content.seek(0)
    with program._weights_only(), pytest.raises(Exception, match=r"[Ww]eights"):
        torch.load(content, weights_only=False)  # what torch falls back to
    assert not mark.exists()
    assert "TORCH_FORCE_WEIGHTS_ONLY_LOAD" not in os.environ


@pytest.mark.parametrize(
    "code",
    ["__import__('os').getcwd()", "Symbol.__class__", "s31.__class__", "lambda: 1", "open('x')",
     "[c for c in ()]", "exec('1')", "9**9**9", "Symbol('x\\\\u0027')", "(" * 300 + "s1"],
)  # fmt: skip
def test_an_expression_that_is_code_is_refused(
    code: str, exported: dict[str, bytes], tmp_path: Path
) -> None:
    refused(zipped(tmp_path / "bad.pt2", changed(exported, symbol(exported), code)), code)


@pytest.mark.parametrize(
    "good",
    [SYMBOL, "s0", "2*s0 + 1", "FloorDiv(s0 - 1, 2)", "Mul(Integer(2), Symbol('s77'))", "u0 // 4"],
)
def test_arithmetic_of_sizes_is_no_code(good: str) -> None:
    assert description.is_expression(good)


@pytest.mark.parametrize(
    "target",
    ["torch.hub.load", "torch.ops.load_library", "torch.ops.aten.from_file.default",
     "torch.ops.mine.run.default", "os.system", "_operator.methodcaller", "torch.load"],
)  # fmt: skip
def test_a_call_of_something_else_is_refused(
    target: str, exported: dict[str, bytes], tmp_path: Path
) -> None:
    parts = changed(exported, "torch.ops.aten.relu.default", target)
    assert target[:20] in refused(zipped(tmp_path / "bad.pt2", parts), target)


@pytest.mark.parametrize(
    "name",
    ["../outside", "/absolute", "a/../../b", "a\\..\\b", "lib/evil.so", "x/aotinductor/model.bin"],
)
def test_parts_that_lead_out_or_are_code_are_refused(
    name: str, exported: dict[str, bytes], tmp_path: Path
) -> None:
    refused(zipped(tmp_path / "bad.pt2", {**exported, name: b"x"}), name)
    assert not (tmp_path.parent / "outside").exists()


def test_too_large_an_archive_is_refused(
    exported: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(program, "MAX_BYTES", 100)
    refused(zipped(tmp_path / "bad.pt2", exported), "size")


def test_a_structure_that_imports_is_refused(exported: dict[str, bytes], tmp_path: Path) -> None:
    parts = changed(exported, "builtins.tuple", "antigravity.Thing")
    assert "antigravity" in refused(zipped(tmp_path / "bad.pt2", parts), "structure")


@pytest.mark.parametrize("cut", [10, 200, 2000])
def test_damaged_archives_are_refused(cut: int, exported: dict[str, bytes], tmp_path: Path) -> None:
    path = zipped(tmp_path / "bad.pt2", exported)
    path.write_bytes(path.read_bytes()[:-cut])
    refused(path, "cut")
    broken = copy.copy(exported)
    name = next(n for n in broken if n.endswith("models/model.json"))
    broken[name] = broken[name][:-cut]
    refused(zipped(tmp_path / "broken.pt2", broken), "cut")
