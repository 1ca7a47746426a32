"""Hostile networks by what they try, each made from a good one: .safetensors and .pt2."""

from __future__ import annotations

import io
import json
import pickle
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import test_hostile_networks as graphs
import torch

Parts = dict[str, bytes]
Make = Callable[[Path], Path]


def exported() -> Parts:
    """The parts of a good exported program."""
    content = io.BytesIO()
    model = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.ReLU()).eval()
    shapes = ({0: torch.export.Dim("batch")},)
    program = torch.export.export(model, (torch.randn(2, 3),), dynamic_shapes=shapes)
    torch.export.save(program, content)
    with zipfile.ZipFile(content) as parts:
        return {name: parts.read(name) for name in parts.namelist()}


GOOD: Parts = {}


def good() -> Parts:
    if not GOOD:
        GOOD.update(exported())
    return dict(GOOD)


def rezipped(path: Path, parts: Parts, kind: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, "w", kind) as target:
        for name, content in parts.items():
            target.writestr(name, content)
    return path


def _name(parts: Parts, end: str) -> str:
    return next(name for name in parts if name.endswith(end))


def replaced(end: str, old: str, new: str) -> Make:
    """Return what writes the good program with a text of one part replaced."""

    def make(folder: Path) -> Path:
        parts = good()
        name = _name(parts, end)
        text = parts[name].decode()
        assert old in text, old
        new_text = text.replace(old, new.replace("MARK", str(folder / "RAN")))
        return rezipped(folder / "bad.pt2", {**parts, name: new_text.encode()})

    return make


def added(name: str, content: bytes = b"x") -> Make:
    return lambda folder: rezipped(folder / "bad.pt2", {**good(), name: content})


def pickled(name: str, old: str = "", config: str = "constants") -> Make:
    """Return what puts a pickle that runs a command into the archive, and a reference to it."""

    def make(folder: Path) -> Path:
        content = io.BytesIO()
        torch.save(graphs.Evil(folder / "RAN"), content)
        parts = good()
        if name:
            entry = {"path_name": name, "is_param": False, "use_pickle": True, "tensor_meta": None}
            where = _name(parts, f"model_{config}_config.json")
            parts[where] = json.dumps({"config": {"evil": entry}}).encode()
            # Not torch's own form: what torch hands to pickle.loads.
            parts[f"archive/data/{config}/{name}"] = pickle.dumps(graphs.Evil(folder / "RAN"))
        else:
            parts[_name(parts, old)] = content.getvalue()
        return rezipped(folder / "bad.pt2", parts)

    return make


def sized(sizes: list[int], strides: list[int], empty: bool) -> Make:
    """Return what says that a weight is far larger than its bytes."""

    def make(folder: Path) -> Path:
        parts = good()
        where = _name(parts, "model_weights_config.json")
        config = json.loads(parts[where])
        meta = config["config"]["0.weight"]["tensor_meta"]
        meta["sizes"] = [{"as_int": n} for n in sizes]
        meta["strides"] = [{"as_int": n} for n in strides]
        parts[where] = json.dumps(config).encode()
        if empty:
            parts[_name(parts, "weights/weight_0")] = b""
        return rezipped(folder / "bad.pt2", parts)

    return make


def _compressed(folder: Path) -> Path:
    zeros = {"archive/extra/zeros": bytes(64 << 20)}
    return rezipped(folder / "bad.pt2", {**good(), **zeros}, zipfile.ZIP_DEFLATED)


def _raw(name: str, content: bytes) -> Make:
    def make(folder: Path) -> Path:
        (folder / name).write_bytes(content)
        return folder / name

    return make


MODEL = "models/model.json"
SYMBOL = "Symbol('s31', positive=True, integer=True)"
CODE = "__import__('os').mkdir('MARK')"
SPEC = r"\"type\": \"builtins.tuple\""


def programs() -> dict[str, Make]:
    symbol = graphs.symbol(good())
    power = "Pow(Integer(9), Pow(Integer(9), Integer(9)))"
    enum = r"\"__enum\\u005f_\": true, \"fqn\": \"antigravity:x\", \"name\": \"x\", \"type\": null"
    return {
        "a pickle among the example inputs": pickled("", old="sample_inputs/model.pt"),
        "a pickle as an opaque constant": pickled("opaque_obj_0"),
        "a pickle as a custom object": pickled("custom_obj_0"),
        "a pickle as a tensor": pickled("tensor_0"),
        "a pickle as a weight": pickled("weight_0", config="weights"),
        "a pickle as weights of old": added(
            "archive/data/weights/model.pt", b"\x80\x04cos\nabort\n"
        ),
        "an input that is code": replaced(MODEL, '"p_0_weight"', f'"p_0_weight={CODE}"'),
        "an input that is a keyword": replaced(MODEL, '"p_0_weight"', '"class"'),
        "a call whose name is code": replaced(MODEL, '"linear"', f'"linear={CODE}"'),
        "a layer whose name is code": replaced(
            ".json", '"0.weight"', json.dumps('0.a" + print("x") + "')
        ),
        "an expression that is code": replaced(MODEL, symbol, CODE),
        "an expression that grows": replaced(MODEL, symbol, power),
        "an operation of the system": replaced(MODEL, "torch.ops.aten.relu.default", "os.system"),
        "an operation that reads a file": replaced(
            MODEL, "torch.ops.aten.relu.default", "torch.ops.aten.from_file.default"
        ),
        "a structure that imports": replaced(MODEL, "builtins.tuple", "antigravity.Thing"),
        "a structure that imports, spelt oddly": replaced(MODEL, SPEC, enum),
        "a second program": added("archive/models/other.json", b"{}"),
        "a program under another ending": added("archive/models/model.jsox", b"{}"),
        "a part that leads out": added("../outside"),
        "a part at the root": added("/absolute"),
        "a library": added("archive/data/aotinductor/model/x.so"),
        "a compressed part": _compressed,
        "a tensor of a terabyte without bytes": sized([1 << 20, 1 << 20], [1 << 20, 1], True),
        "a tensor of a terabyte that repeats": sized([1 << 20, 1 << 20], [0, 0], False),
        "nesting without end": added("archive/models/model.json", b'{"a":' * 100_000),
        "five million values": replaced(
            MODEL, '"guards_code": []', f'"guards_code": [{"0," * 5_000_000}0]'
        ),
        "no archive": _raw("bad.pt2", b"no archive"),
        "half an archive": _raw("bad.pt2", b"PK\x03\x04" + bytes(100)),
        "JSON in UTF-16": added("archive/models/model.json", "{}".encode("utf-16")),
    }


def saved() -> dict[str, Make]:
    """Compact networks, as data."""

    def graph(content: Any, tensors: Any = None) -> Make:
        return lambda folder: graphs.write(folder / "bad.safetensors", content, tensors)

    name = "bad.safetensors"
    return {
        **{what: graph(content) for what, content in graphs.GRAPHS.items()},
        **{
            what: graph(graphs.GOOD, {tensor: torch.zeros(3)})
            for what, tensor in graphs.TENSORS.items()
        },
        "five million values": graph([0] * 5_000_000),
        "a header of an exabyte": _raw(name, struct.pack("<Q", 1 << 60) + b"{}"),
        "a tensor of a terabyte": _raw(name, _header({"w": _tensor([1 << 40], [0, 4])}, 4)),
        "tensors that overlap": _raw(
            name, _header({"w": _tensor([1], [0, 4]), "v": _tensor([1], [0, 4])}, 4)
        ),
        "a header that is no JSON": _raw(name, struct.pack("<Q", 4) + b"{{{{"),
        "a pickle": _raw(name, b"\x80\x04cos\nabort\n."),
    }


def _tensor(shape: list[int], place: list[int]) -> dict[str, Any]:
    return {"dtype": "F32", "shape": shape, "data_offsets": place}


def _header(described: dict[str, Any], size: int) -> bytes:
    text = json.dumps(described).encode()
    return struct.pack("<Q", len(text)) + text + bytes(size)
