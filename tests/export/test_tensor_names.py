"""Names in an ONNX file: tensors may be called as calls, inputs and outputs are."""

import onnxruntime
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from tl1bench.export import export_onnx


class Named(nn.Module):
    """A network with a tensor of its own of any name."""

    def __init__(self, name):
        super().__init__()
        self.layer, self.name = nn.Linear(4, 4), name
        self.register_parameter(name, nn.Parameter(torch.randn(4)))

    def forward(self, x):
        return torch.relu(self.layer(x) + getattr(self, self.name))


class Tied(Named):
    """A weight and its transpose, which no exporter may store twice, and a view between them."""

    def forward(self, x):
        x = F.linear(F.linear(x.flatten(1), self.layer.weight), self.layer.weight.t())
        return torch.addcmul(getattr(self, self.name), x.unflatten(1, (2, 2)).mT.flatten(1), x)


@pytest.mark.parametrize("name", ["add", "x", "y", "relu"])
def test_a_tensor_may_be_called_as_a_value_is(tmp_path, name):
    _same(Named(name), torch.randn(2, 4), tmp_path / "net.onnx", "direct")


def test_the_general_exporter_may_be_given_such_a_tensor_too(tmp_path):
    torch.manual_seed(0)
    _same(Tied("view"), torch.randn(2, 2, 2), tmp_path / "net.onnx", "torch")


def _same(network, x, path, writer):
    export_onnx(network, x, path, writer=writer)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    found = torch.from_numpy(session.run(None, {"x": x.numpy()})[0])
    torch.testing.assert_close(found, network(x))
