"""Recurrent layers and tables of vectors in ONNX, after compaction."""

from collections import Counter

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch import nn

from tl1bench.compaction import compact
from tl1bench.export import export_onnx

UNITS, LENGTH = 8, 6


class Tagger(nn.Module):
    """A table of vectors, a recurrent layer, a head on the last step."""

    def __init__(self, layer):
        super().__init__()
        self.e, self.r = nn.Embedding(11, 5), layer
        self.h = nn.Linear(UNITS * (1 + layer.bidirectional), 3)

    def forward(self, t):
        return self.h(self.r(self.e(t))[0][:, -1])


LAYERS = {
    "LSTM": lambda **options: nn.LSTM(5, UNITS, batch_first=True, **options),
    "GRU": lambda **options: nn.GRU(5, UNITS, batch_first=True, **options),
    "RNN": lambda **options: nn.RNN(5, UNITS, batch_first=True, **options),
}


@pytest.mark.parametrize("kind", LAYERS)
@pytest.mark.parametrize("options", [{}, {"num_layers": 2}, {"bidirectional": True}], ids=str)
def test_a_layer_is_one_node_of_the_units_that_are_left(kind, options, tmp_path):
    torch.manual_seed(0)
    network = Tagger(LAYERS[kind](**options)).eval()
    with torch.no_grad():
        for name, tensor in network.r.named_parameters():
            if "weight_hh" in name or "weight_ih_l1" in name:
                tensor[:, :2] = 0
        network.h.weight[:, :2] = 0
        network.h.weight[:, UNITS : UNITS + 2] = 0
    codes = torch.randint(0, 11, (2, LENGTH))
    small = compact(network, (codes,)).model
    assert small.r.weight_hh_l0.shape[1] == UNITS - 2
    export_onnx(small, codes, tmp_path / "net.onnx")
    nodes = Counter(n.op_type for n in onnx.load(tmp_path / "net.onnx").graph.node)
    assert nodes[kind] == options.get("num_layers", 1)
    session = onnxruntime.InferenceSession(
        tmp_path / "net.onnx", providers=["CPUExecutionProvider"]
    )
    codes = torch.randint(0, 11, (5, LENGTH))
    with torch.no_grad():
        wanted = network(codes)
    np.testing.assert_allclose(session.run(None, {"x": codes.numpy()})[0], wanted, atol=1e-5)


@pytest.mark.filterwarnings("ignore:LSTM with projections")  # torch's own advice
@pytest.mark.parametrize("options", [{}, {"bidirectional": True, "bias": False}], ids=str)
def test_a_projection_goes_into_the_weights_of_the_state(options, tmp_path):
    class Projected(nn.Module):
        def __init__(self):
            super().__init__()
            self.r = nn.LSTM(5, UNITS, proj_size=3, batch_first=True, **options)

        def forward(self, x):
            outputs, (last, memory) = self.r(x)
            return outputs, last, memory

    network = Projected().eval()
    report = export_onnx(network, torch.randn(2, LENGTH, 5), tmp_path / "net.onnx")
    assert report.writer == "direct"
    x = torch.randn(4, LENGTH, 5)
    session = onnxruntime.InferenceSession(
        tmp_path / "net.onnx", providers=["CPUExecutionProvider"]
    )
    with torch.no_grad():
        wanted = network(x)
    for a, b in zip(wanted, session.run(None, {"x": x.numpy()}), strict=True):
        np.testing.assert_allclose(b, a, atol=1e-5)


def test_states_that_are_given_and_positions_from_behind_are_written_directly(tmp_path):
    class Pair(nn.Module):
        def __init__(self):
            super().__init__()
            self.e, self.d = (nn.GRU(5, UNITS, batch_first=True) for _ in range(2))
            self.h = nn.Linear(UNITS, 3)

        def forward(self, x):
            return self.h(self.d(x.flip(1), self.e(x)[1])[0].flip(1))

    network = Pair().eval()
    report = export_onnx(network, torch.randn(2, LENGTH, 5), tmp_path / "net.onnx")
    assert report.writer == "direct"
    assert report.max_rel_difference < 1e-5
