"""The compact network is called as the network was: by name, with lists, dicts and constants."""

import pytest
import torch
from torch import nn

from tl1bench import CompactionError, compact, export_onnx, load_compacted
from tl1bench.runtime import open_session
from tl1bench.tracing import agreement


class Net(nn.Module):
    """Two layers, of whose hidden units three of eight are dead, called in a way of their own."""

    def __init__(self, way):
        super().__init__()
        self.first, self.last, self.way = nn.Linear(4, 8), nn.Linear(8, 3), way
        with torch.no_grad():
            self.first.weight[:3] = 0
            self.first.bias[:3] = 0

    def layers(self, x, y, factor=1.0):
        return self.last(torch.relu(self.first(x * factor + y)))


class ByName(Net):
    def forward(self, x, nothing=None, *, mask, factor=1.0, mode="plain"):
        x = x if nothing is None else nothing
        return self.layers(x, mask.unsqueeze(1), factor if mode == "scaled" else 1.0)


class Dicts(Net):
    def forward(self, batch, flag):
        hidden = self.layers(batch["x"], batch["more"][0])
        return {"logits": hidden, "parts": [hidden[:, :1]] if flag else []}


class Lists(Net):
    def forward(self, parts):
        return self.layers(*parts) if len(parts) == 2 else parts[0]


class Between(Net):
    def forward(self, x, nothing, y, *rest):
        return self.layers(x, y if nothing is None else nothing) + rest[0]


X, Y, MASK = torch.randn(3, 4), torch.randn(3, 4), torch.rand(3)
CALLS = {
    "by name": (ByName, (), {"x": X, "mask": MASK, "factor": 2.0, "mode": "scaled"}),
    "by name and place": (ByName, (X, None), {"mask": MASK}),
    "dicts": (Dicts, ({"x": X, "more": [Y]}, True), {}),
    "lists": (Lists, ([X, Y],), {}),
    "constants between": (Between, (X, None, Y, X[:, :1]), {}),
}


@pytest.fixture(autouse=True)
def _without_gradients():
    with torch.no_grad():
        yield


def check(expected, found):
    assert agreement.same(expected, found, depth=2)


def twice(value):
    return torch.utils._pytree.tree_map_only(torch.Tensor, lambda x: torch.cat([x, x]), value)


@pytest.mark.parametrize("call", CALLS)
def test_a_compact_network_is_called_as_the_network_was(call, tmp_path):
    kind, args, kwargs = CALLS[call]
    network = kind(call)
    small = compact(network, args, kwargs=kwargs)
    assert small.report.layers[0].units_after == 5
    small.save(tmp_path / "small.safetensors")
    small.save(tmp_path / "small.pt2")
    loaded = [load_compacted(tmp_path / name) for name in ("small.safetensors", "small.pt2")]
    more, named = twice(args), twice(kwargs)
    for found in (small.model, *loaded):
        check(network(*more, **named), found(*more, **named))


@pytest.mark.parametrize(("call", "names"), [
    ("by name", ["x", "mask"]), ("dicts", ["x", "more_0"]), ("lists", ["x", "x1"]),
])  # fmt: skip
@pytest.mark.parametrize("writer", ["direct", "torch"])
def test_tensors_keep_their_names_in_onnx(call, names, writer, tmp_path):
    kind, args, kwargs = CALLS[call]
    small = compact(kind(call), args, kwargs=kwargs).model
    export_onnx(small, args, tmp_path / "small.onnx", kwargs=kwargs, writer=writer)
    session = open_session(tmp_path / "small.onnx", threads=1)
    assert [entry.name for entry in session.get_inputs()] == names
    if call == "dicts":
        assert [entry.name for entry in session.get_outputs()] == ["logits", "parts_0"]


def test_a_constant_or_a_length_that_was_not_traced_is_refused():
    kind, args, kwargs = CALLS["by name"]
    small = compact(kind(""), args, kwargs=kwargs).model
    with pytest.raises(AssertionError, match="mode must be 'scaled'"):
        small(**{**kwargs, "mode": "plain"})
    kind, args, _ = CALLS["lists"]
    with pytest.raises(AssertionError, match="parts must hold 2 values"):
        compact(kind(""), args).model([X, Y, Y])


def test_inputs_that_cannot_be_followed_are_named():
    with pytest.raises(CompactionError, match="hold a set"):
        compact(Lists(""), ({X},))


class Windows(nn.Module):
    """Attention over a sequence behind a convolution that halves it, and a linear layer a map."""

    def __init__(self):
        super().__init__()
        self.first, self.qkv = nn.Conv1d(4, 8, 3, 2, 1), nn.Linear(8, 24)
        self.out, self.last = nn.Linear(8, 8), nn.Conv2d(2, 3, 3, padding=1)
        with torch.no_grad():
            self.out.weight[:, 4:] = 0  # one head of two
            self.first.weight[:2] = 0
            self.first.bias[:2] = 0

    def forward(self, x, mask):
        hidden = torch.relu(self.first(x)).transpose(1, 2)
        batch, steps, _ = hidden.shape
        q, k, v = self.qkv(hidden).reshape(batch, steps, 3, 2, 4).permute(2, 0, 3, 1, 4).unbind(0)
        scores = (q @ k.transpose(-2, -1) * 0.5 + mask.unsqueeze(1)).softmax(-1)
        mixed = self.out((scores @ v).transpose(1, 2).reshape(batch, steps, 8))
        return self.last(mixed.view(batch, steps, 2, 4).permute(0, 2, 1, 3)).flatten(2)


def sequence(batch, steps):
    return torch.randn(batch, 4, 2 * steps), torch.randn(batch, steps, steps)


def test_free_sizes_stay_free_in_the_network_its_files_and_onnx(tmp_path):
    network, steps = Windows(), torch.export.Dim("steps", min=2, max=60)
    shapes = {"x": {2: 2 * steps}, "mask": {1: steps, 2: steps}}
    small = compact(network, sequence(2, 6), dynamic_shapes=shapes)
    widths = {layer.name: layer.units_after for layer in small.report.layers}
    assert widths == {"first": 6, "qkv": 12, "out": 8, "last": 3}
    for name in ("small.pt2", "small.safetensors"):
        small.save(tmp_path / name)
    for found in (small.model, *map(load_compacted, sorted(tmp_path.iterdir()))):
        for sizes in ((3, 6), (1, 9)):
            x = sequence(*sizes)
            check(network(*x), found(*x))
    export_onnx(small.model, sequence(2, 6), tmp_path / "small.onnx", dynamic_shapes=shapes)
    session, x = open_session(tmp_path / "small.onnx", threads=1), sequence(1, 9)
    feed = {name: t.numpy() for name, t in zip(("x", "x1"), x, strict=True)}
    (found,) = session.run(None, feed)
    torch.testing.assert_close(torch.from_numpy(found), network(*x), atol=1e-5, rtol=1e-4)


def test_sizes_that_are_not_there_are_named():
    with pytest.raises(CompactionError, match="dynamic_shapes has 'z', but the inputs are x, mask"):
        compact(Windows(), sequence(2, 6), dynamic_shapes={"z": {1: torch.export.Dim("n")}})


class PerSample(nn.Module):
    """Says how many samples it has, which are therefore always as many."""

    def __init__(self):
        super().__init__()
        self.first, self.last = nn.Linear(4, 8), nn.Linear(8, 3)
        with torch.no_grad():
            self.first.weight[:3] = 0

    def forward(self, x):
        return self.last(torch.relu(self.first(x)).reshape(2, 8))


def test_a_network_that_fixes_its_batch_is_compacted_with_that_one(tmp_path):
    network, x = PerSample(), torch.randn(2, 4)
    small = compact(network, x)
    assert "batches of 2 alone" in str(small.report)
    assert small.report.layers[0].units_after == 5
    small.save(tmp_path / "small.pt2")
    small.save(tmp_path / "small.safetensors")
    for found in (small.model, *map(load_compacted, sorted(tmp_path.iterdir()))):
        check(network(x), found(x))
    report = export_onnx(network, x, tmp_path / "network.onnx")
    assert report.fixed_batch == 2
