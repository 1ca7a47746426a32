"""Outputs in mappings, lists and tuples: their order is torch's, their names are the keys."""

import numpy as np
import onnxruntime
import pytest
import torch
from torch import nn

from tl1bench.compaction import compact
from tl1bench.export import export_onnx


class Heads(nn.Module):
    """Two heads on one layer, in whatever structure `put` makes of them."""

    def __init__(self, put):
        super().__init__()
        self.put = put
        self.body, self.a, self.b = nn.Linear(4, 6), nn.Linear(6, 3), nn.Linear(6, 2)

    def forward(self, x):
        hidden = torch.relu(self.body(x))
        return self.put(self.a(hidden), self.b(hidden))


STRUCTURES = {
    "mapping": (lambda a, b: {"logits": a, "box": b}, ["logits", "box"]),
    "mapping in a mapping": (lambda a, b: {"out": {"a": a, "b": b}}, ["out_a", "out_b"]),
    "list in a mapping": (lambda a, b: {"boxes": [a, b]}, ["boxes_0", "boxes_1"]),
    "a key like an input": (lambda a, b: {"x": a, "b": b}, ["y_x", "b"]),
    "a key that is no word": (lambda a, b: {"log its": a, "b": b}, ["log_its", "b"]),
    "tuple": (lambda a, b: (a, b), ["y", "y1"]),
    "list": (lambda a, b: [a, b], ["y", "y1"]),
    "tuple in a tuple": (lambda a, b: (a, (b, a + 1)), ["y", "y1", "y2"]),
    "nothing in between": (lambda a, b: (a, None, b), ["y", "y1"]),
}


@pytest.mark.parametrize("structure", STRUCTURES)
@pytest.mark.parametrize("writer", ["direct", "torch"])
def test_outputs_have_the_names_of_their_keys(structure, writer, tmp_path):
    put, names = STRUCTURES[structure]
    torch.manual_seed(0)
    network = Heads(put).eval()
    network.body.weight.data[:2] = 0
    network.body.bias.data[:2] = 0
    x = torch.randn(3, 4)
    small = compact(network, (x,))
    export_onnx(small.model, x, tmp_path / "net.onnx", writer=writer)
    session = onnxruntime.InferenceSession(
        tmp_path / "net.onnx", providers=["CPUExecutionProvider"]
    )
    assert [o.name for o in session.get_outputs()] == names
    x = torch.randn(5, 4)
    found = session.run(None, {"x": x.numpy()})
    wanted = [t for t in torch.utils._pytree.tree_leaves(network(x)) if t is not None]
    for a, b in zip(wanted, found, strict=True):
        np.testing.assert_allclose(a.detach().numpy(), b, atol=1e-5)


def test_given_names_come_first(tmp_path):
    network = Heads(lambda a, b: {"logits": a, "box": b})
    export_onnx(network, torch.randn(2, 4), tmp_path / "net.onnx", output_names=["p", "q"])
    session = onnxruntime.InferenceSession(
        tmp_path / "net.onnx", providers=["CPUExecutionProvider"]
    )
    assert [o.name for o in session.get_outputs()] == ["p", "q"]
