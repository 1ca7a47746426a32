"""Export: one ONNX file, a free batch, the same results, and no way to write a wrong one."""

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch import nn
from torch.nn import functional as F

import tl1bench.export
from tl1bench.compaction import compact
from tl1bench.errors import ExportError
from tl1bench.export import export_onnx


class Mixed(nn.Module):
    """Every kind of operation that is written directly."""

    def __init__(self):
        super().__init__()
        self.a, self.bn = nn.Conv2d(2, 8, 3, padding="same"), nn.BatchNorm2d(8)
        self.d = nn.Conv2d(8, 8, 3, stride=2, padding=1, groups=8, bias=False)
        self.fc, self.out = nn.Linear(16 * 4, 6), nn.Linear(6, 3)
        self.scale = nn.Parameter(torch.rand(8, 1, 1))

    def forward(self, x):
        x = F.hardsigmoid(self.bn(self.a(x))) * F.hardswish(x[:, :1])
        left, right = (self.d(x) * self.scale).chunk(2, 1)
        x = torch.cat([F.silu(left), right.clamp(0, 6), F.leaky_relu(left, 0.2), 2 * right], 1)
        x = F.avg_pool2d(F.max_pool2d(x, 3, 1, 1), 3, 2, 1, count_include_pad=False)
        x = x + torch.sigmoid(F.adaptive_avg_pool2d(x, 1)) - x.mean((2, 3), keepdim=True)
        return F.softmax(self.out(torch.tanh(self.fc(x.flatten(1)))), dim=1)


def run(path, x):
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return session.run(None, {"x": x.numpy()})[0]


@pytest.fixture
def lenet():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 4, 3),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(36, 8),
        nn.ReLU(),
        nn.Linear(8, 3),
    )


@pytest.mark.parametrize("writer", ["direct", "torch"])
def test_one_clean_file_computes_the_same_at_any_batch(lenet, tmp_path, writer):
    path = tmp_path / "net.onnx"
    report = export_onnx(lenet, torch.randn(2, 1, 8, 8), path, writer=writer)
    for batch in (1, 5):
        x = torch.randn(batch, 1, 8, 8)
        np.testing.assert_allclose(run(path, x), lenet(x).detach().numpy(), atol=1e-5)
    assert report.writer == writer
    assert report.max_rel_difference < 1e-5
    assert report.size_bytes == path.stat().st_size
    assert [f.name for f in tmp_path.iterdir()] == ["net.onnx"]
    model = onnx.load(path)
    assert [v.name for v in [*model.graph.input, *model.graph.output]] == ["x", "y"]
    for value in [*model.graph.input, *model.graph.output]:
        assert value.type.tensor_type.shape.dim[0].dim_param == "batch"
    assert not any(node.metadata_props for node in model.graph.node)
    assert model.opset_import[0].version == report.opset


def test_every_directly_written_operation_is_right(tmp_path):
    torch.manual_seed(0)
    network = Mixed()
    network.bn.running_mean.normal_()
    network.bn.running_var.uniform_(0.5, 2)
    path = tmp_path / "net.onnx"
    assert export_onnx(network, torch.randn(2, 2, 8, 8), path, writer="direct").opset == 18
    x = torch.randn(3, 2, 8, 8)
    np.testing.assert_allclose(run(path, x), network.eval()(x).detach().numpy(), atol=1e-5)


def test_a_compacted_network_is_written_directly_and_smaller(lenet, tmp_path):
    with torch.no_grad():
        lenet[0].weight[:2] = 0
        lenet[3].weight[:, 20:25] = 0
    x = torch.randn(2, 1, 8, 8)
    small = compact(lenet, x, gather=0.0)
    dense = export_onnx(lenet, x, tmp_path / "dense.onnx")
    report = export_onnx(small.model, small.example_inputs, tmp_path / "small.onnx")
    assert report.writer == "direct"
    assert report.size_bytes < dense.size_bytes
    np.testing.assert_allclose(
        run(tmp_path / "small.onnx", x), run(tmp_path / "dense.onnx", x), atol=1e-5
    )


def test_other_operations_go_to_the_general_exporter(tmp_path):
    network = nn.Sequential(nn.Linear(4, 6), nn.LayerNorm(6), nn.Linear(6, 2))
    x = torch.randn(2, 4)
    assert export_onnx(network, x, tmp_path / "net.onnx").writer == "torch"
    with pytest.raises(ExportError, match="without a direct form"):
        export_onnx(network, x, tmp_path / "other.onnx", writer="direct")
    assert not (tmp_path / "other.onnx").exists()


def test_denormal_weights_are_flushed_and_counted(lenet, tmp_path):
    with torch.no_grad():
        lenet[3].weight[0, :5] = 1e-40
    report = export_onnx(lenet, torch.randn(2, 1, 8, 8), tmp_path / "net.onnx")
    assert report.flushed_denormals == 5
    assert lenet[3].weight[0, 0] != 0
    again = onnx.load(tmp_path / "net.onnx")
    values = np.concatenate([
        onnx.numpy_helper.to_array(t).ravel() for t in again.graph.initializer
        if t.data_type == onnx.TensorProto.FLOAT
    ])  # fmt: skip
    assert not ((values != 0) & (np.abs(values) < np.finfo(np.float32).tiny)).any()


def test_several_inputs_and_outputs_are_named(tmp_path):
    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.a = nn.Linear(3, 5)

        def forward(self, p, q):
            return self.a(p) + q, torch.relu(q)

    inputs = (torch.randn(2, 3), torch.randn(2, 5))
    export_onnx(Two(), inputs, tmp_path / "a.onnx")
    graph = onnx.load(tmp_path / "a.onnx").graph
    assert [v.name for v in graph.input] == ["x", "x1"]
    assert [v.name for v in graph.output] == ["y", "y1"]
    export_onnx(Two(), inputs, tmp_path / "b.onnx", input_names=["p", "q"], output_names=["s", "r"])
    assert [v.name for v in onnx.load(tmp_path / "b.onnx").graph.input] == ["p", "q"]
    with pytest.raises(ExportError, match="2 different names"):
        export_onnx(Two(), inputs, tmp_path / "c.onnx", input_names=["p", "p"])


def test_the_network_is_untouched_and_exported_in_eval_mode(lenet, tmp_path):
    network = nn.Sequential(lenet, nn.Dropout(0.9)).train()
    report = export_onnx(network, torch.randn(2, 1, 8, 8), tmp_path / "net.onnx")
    assert network.training
    assert report.max_rel_difference < 1e-5


def test_a_wrong_file_is_never_written(lenet, tmp_path, monkeypatch):
    def wrong(traced, sources, targets):
        proto = right(traced, sources, targets)
        tensor = next(t for t in proto.graph.initializer if t.name == "5.bias")
        tensor.CopyFrom(onnx.numpy_helper.from_array(np.full(3, 9, np.float32), "5.bias"))
        return proto

    right = tl1bench.export.write_graph
    monkeypatch.setattr(tl1bench.export, "write_graph", wrong)
    with pytest.raises(ExportError, match="differs from torch"):
        export_onnx(lenet, torch.randn(2, 1, 8, 8), tmp_path / "net.onnx")
    assert not list(tmp_path.iterdir())


def test_what_cannot_be_exported_is_refused_in_one_sentence(tmp_path):
    class Sizes(nn.Module):
        def forward(self, x):
            return x.reshape(2, 2, 2).sum(1)

    x = torch.randn(2, 4)
    with pytest.raises(ExportError, match="Sizes cannot take a batch of 1"):
        export_onnx(Sizes(), x, tmp_path / "net.onnx")
    with pytest.raises(ExportError, match="Unknown writer"):
        export_onnx(nn.Linear(4, 2), x, tmp_path / "net.onnx", writer="mine")
    with pytest.raises(ExportError, match="tensor or a tuple"):
        export_onnx(nn.LSTM(4, 2), x, tmp_path / "net.onnx")
