"""Names of layers, tensors and inputs in the Python that torch writes from a graph: never code."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import pytest
import torch
from torch import nn

import tl1bench as tl
from tl1bench.cli import _standalone
from tl1bench.tracing import names, program

# What the names would do if they were written into code as they stand: make a file RAN here.
LAYERS = {
    "code behind a closed string": 'training"), open("RAN", "w"), ("',
    "a line of its own": 'a")\n    open("RAN", "w")\n    ("',
    "a backslash": "a\\",
    "a newline": "a\nb",
    "a keyword": "class",
    "half a surrogate pair": "\ud800",
    "a terminal's escape": "\x1b[2J",
    "what a graph calls its own": "code",
}
PLAIN = ["0", "layer-1", "a b", "<script>", "$(touch RAN)", "it's", "é", "self", "%s", "{x}"]


@pytest.fixture(autouse=True)
def nothing_ran(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    yield
    assert not (tmp_path / "RAN").exists()


def network(name: str, *more: nn.Module) -> nn.Module:
    model = nn.Sequential()
    model.add_module(name, nn.Linear(3, 4))
    for number, module in enumerate((*more, nn.ReLU(), nn.Linear(4, 2))):
        model.add_module(f"more{number}", module)
    return model.eval()


class Slow(nn.Module):
    """Changes its value in place, so that the trace has to be written anew."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = x * 2
        y[:, 0] = 1
        return y


@pytest.mark.parametrize("what", LAYERS)
def test_compaction_refuses_a_layer_whose_name_would_be_code(what: str) -> None:
    with pytest.raises(tl.CompactionError, match="rename its layer") as caught:
        tl.compact(network(LAYERS[what]), torch.randn(2, 3))
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("what", LAYERS)
def test_the_trace_is_not_written_anew_with_such_a_name(what: str) -> None:
    with pytest.raises(tl.CompactionError, match="rename its layer"):
        tl.compact(network(LAYERS[what], Slow()), torch.randn(2, 3))


@pytest.mark.parametrize("what", LAYERS)
def test_nor_does_torchs_exporter_see_it(what: str) -> None:
    with pytest.raises(tl.ExportError, match="rename its layer"):
        tl.export_onnx(network(LAYERS[what]), torch.randn(2, 3), "net.onnx", writer="torch")


@pytest.mark.parametrize("name", PLAIN)
def test_a_layer_may_have_any_name_that_stays_one(name: str) -> None:
    model, x = network(name), torch.randn(2, 3)
    small = tl.compact(model, x)
    assert small.report.layers[0].name == name
    torch.testing.assert_close(small.model(x), model(x))


def test_names_of_tensors_are_checked_part_by_part() -> None:
    good = ("weight", "0.weight", "a.graph.weight", "a-b.c d.e")
    bad = ("", "a..b", "a.", "forward.weight", "a.forward", "a.in.b", "meta.x", "_parameters.w")
    assert [n for n in good if not names.is_tensor(n)] == []
    assert [n for n in bad if names.is_tensor(n)] == []


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The parts of a good exported program."""
    path = tmp_path_factory.mktemp("pt2") / "good.pt2"
    shapes = ({0: torch.export.Dim("batch")},)
    model = network("layer")
    torch.export.save(torch.export.export(model, (torch.randn(2, 3),), dynamic_shapes=shapes), path)
    with zipfile.ZipFile(path) as parts:
        return {name: parts.read(name) for name in parts.namelist()}


def written(parts: dict[str, bytes], old: str, new: str) -> Path:
    """Write the parts with a string replaced wherever the graph has it."""
    quoted, replaced = (json.dumps(text).encode() for text in (old, new))
    assert any(quoted in content for content in parts.values())
    # Where structures are text inside text, their own strings are quoted twice.
    twice = [json.dumps(text.decode())[1:-1].encode() for text in (quoted, replaced)]
    with zipfile.ZipFile("bad.pt2", "w") as target:
        for name, content in parts.items():
            if name.endswith(".json"):
                content = content.replace(quoted, replaced).replace(*twice)
            target.writestr(name, content)
    return Path("bad.pt2")


ARGUMENT = 'x=open("RAN", "w")'
PROGRAMS = {
    "an input": ("input", ARGUMENT),
    "a call": ("relu", f"relu = 1; {ARGUMENT}; y"),
    "the input of a tensor": ("p_layer_weight", ARGUMENT),
    "a tensor": ("layer.weight", 'training"), open("RAN", "w"), ("'),
    "a tensor in a private place": ("layer.weight", "_parameters.weight"),
    "a tensor that is a method": ("layer.bias", "forward.bias"),
}


@pytest.mark.parametrize("what", PROGRAMS)
@pytest.mark.parametrize("reader", [tl.load_compacted, _standalone._read])
def test_a_program_that_names_code_is_refused_before_torch_opens_it(
    what: str, reader, exported: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[object] = []
    monkeypatch.setattr(program.torch.export, "load", lambda path: opened.append(path))
    with pytest.raises(tl.Tl1benchError, match=r"the name .* is refused") as caught:
        reader(written(exported, *PROGRAMS[what]))
    assert not opened
    assert str(caught.value).isprintable()


def test_an_input_by_keyword_that_names_code_is_refused(exported: dict[str, bytes]) -> None:
    (part,) = (name for name in exported if name.endswith("models/model.json"))
    content = json.loads(exported[part])
    signature = content["graph_module"]["module_call_graph"][0]["signature"]
    structure = json.loads(signature["in_spec"])
    structure[1]["children_spec"][1]["context"] = json.dumps([ARGUMENT])
    signature["in_spec"] = json.dumps(structure)
    parts = {**exported, part: json.dumps(content).encode()}
    with pytest.raises(tl.CompactionError, match=r"the name .* is refused"):
        tl.load_compacted(written(parts, "input", "input"))


def test_the_same_program_with_other_plain_names_is_read(exported: dict[str, bytes]) -> None:
    path = written(exported, "layer.weight", "it's 1.weight")
    assert tl.load_compacted(path)(torch.randn(5, 3)).shape == (5, 2)
