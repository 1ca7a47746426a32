"""Export: one ONNX file, a free batch, the same results, and no way to write a wrong one."""

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
import torchvision
from torch import nn
from torch.nn import functional as F

from tl1bench.compaction import compact
from tl1bench.errors import ExportError
from tl1bench.export import accuracy, export_onnx, onnx_file


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

    right = onnx_file.write_graph
    monkeypatch.setattr(onnx_file, "write_graph", wrong)
    with pytest.raises(ExportError, match="differs from torch"):
        export_onnx(lenet, torch.randn(2, 1, 8, 8), tmp_path / "net.onnx")
    assert not list(tmp_path.iterdir())


@pytest.fixture(scope="module")
def classifier():
    """A network that tells the digits apart, with data it has not seen."""
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    x = torch.tensor(images, dtype=torch.float32).reshape(-1, 1, 8, 8) / 16
    y = torch.tensor(labels)
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(1, 12, 3, padding=1), nn.BatchNorm2d(12), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(192, 10),
    )  # fmt: skip
    optimizer = torch.optim.Adam(network.parameters(), lr=0.01)
    for rows in torch.arange(1200).repeat(4).split(100):
        optimizer.zero_grad()
        F.cross_entropy(network(x[rows]), y[rows]).backward()
        optimizer.step()
    return network.eval(), (x[:300], y[:300]), (x[1200:], y[1200:])


def test_int8_is_smaller_and_its_accuracy_is_measured(classifier, tmp_path):
    network, (x, _), (unseen, labels) = classifier
    full = export_onnx(network, x[:2], tmp_path / "full.onnx")
    report = export_onnx(network, x[:2], tmp_path / "q.onnx", precision="int8", calibration=x)
    assert (full.precision, full.agreement) == ("float32", None)
    assert report.precision == "int8"
    assert report.size_bytes == (tmp_path / "q.onnx").stat().st_size < full.size_bytes
    # 8 bits are another function, though a close one.
    assert full.max_rel_difference < report.max_rel_difference < 0.2
    assert 0.97 < report.agreement <= 1
    with torch.no_grad():
        torchs = (network(unseen).argmax(1) == labels).float().mean().item()
    assert accuracy(tmp_path / "full.onnx", unseen, labels) == pytest.approx(torchs, abs=1e-3)
    assert abs(accuracy(tmp_path / "q.onnx", unseen, labels) - torchs) < 0.03
    assert accuracy(tmp_path / "q.onnx", unseen, (labels + 1) % 10) < 0.1
    graph = onnx.load(tmp_path / "q.onnx").graph
    kinds = [node.op_type for node in graph.node]
    assert "QuantizeLinear" in kinds
    assert "BatchNormalization" not in kinds
    assert {t.data_type for t in graph.initializer} >= {onnx.TensorProto.INT8}
    assert graph.input[0].type.tensor_type.shape.dim[0].dim_param == "batch"
    assert len(run(tmp_path / "q.onnx", unseen[:5])) == 5


def test_int8_without_fitting_calibration_data_is_refused(classifier, tmp_path):
    network, (x, y), _ = classifier
    path = tmp_path / "q.onnx"
    with pytest.raises(ExportError, match="needs calibration data"):
        export_onnx(network, x, path, precision="int8")
    with pytest.raises(ExportError, match="must look like the example inputs"):
        export_onnx(network, x, path, precision="int8", calibration=x[:, :, :4])
    with pytest.raises(ExportError, match="Unknown precision 'int4'"):
        export_onnx(network, x, path, precision="int4")
    with pytest.raises(ExportError, match="for precision"):
        export_onnx(network, x, path, calibration=x)
    with pytest.raises(ExportError, match="is not there"):
        accuracy(path, x, y)
    assert not list(tmp_path.iterdir())


def test_padding_with_a_number_is_written_directly(tmp_path):
    class Padded(nn.Module):
        def forward(self, x):
            return F.pad(x, (2, 0, 1, 3, 0, 1), value=0.5)

    x = torch.randn(3, 2, 4, 4)
    export_onnx(Padded(), x, tmp_path / "net.onnx", writer="direct")
    np.testing.assert_array_equal(run(tmp_path / "net.onnx", x), Padded()(x).numpy())


FAMILIES = (
    "alexnet", "convnext_tiny", "densenet121", "efficientnet_b0", "efficientnet_v2_s", "googlenet",
    "inception_v3", "maxvit_t", "mnasnet0_5", "mobilenet_v2", "mobilenet_v3_small",
    "regnet_x_400mf", "regnet_y_400mf", "resnet18", "resnext50_32x4d", "shufflenet_v2_x0_5",
    "squeezenet1_0", "swin_t", "swin_v2_t", "vgg11_bn", "vit_b_32", "wide_resnet50_2",
)  # fmt: skip
SIZES = {"inception_v3": 299, "maxvit_t": 224, "vit_b_32": 224, "alexnet": 64, "googlenet": 64}


@pytest.mark.slow
@pytest.mark.parametrize("name", FAMILIES)
def test_every_family_of_torchvision_is_exported(tmp_path, name, record_property):
    torch.manual_seed(0)
    options = {"init_weights": False} if name in ("googlenet", "inception_v3") else {}
    network = getattr(torchvision.models, name)(num_classes=10, **options).eval()
    size = SIZES.get(name, 64)
    report = export_onnx(network, torch.rand(2, 3, size, size), tmp_path / "net.onnx")
    record_property("export", f"{name} {report.writer} {report.max_rel_difference:.1e}")
    assert report.max_rel_difference < 1e-4
    assert [f.name for f in tmp_path.iterdir()] == ["net.onnx"]


def test_the_families_are_all_that_torchvision_classifies_with():
    modules = {torchvision.models.get_model_builder(n).__module__
               for n in torchvision.models.list_models(torchvision.models)}  # fmt: skip
    here = {torchvision.models.get_model_builder(n).__module__ for n in FAMILIES}
    assert here == modules


def test_half_precision_has_a_tolerance_of_its_own(lenet, tmp_path):
    x = torch.randn(2, 1, 8, 8)
    report = export_onnx(lenet.half(), x.half(), tmp_path / "net.onnx")
    assert 0 < report.max_rel_difference < 0.01
    with pytest.raises(ExportError, match="no bfloat16"):
        export_onnx(lenet.bfloat16(), x.bfloat16(), tmp_path / "other.onnx")
    assert not (tmp_path / "other.onnx").exists()


class MaskedAttention(nn.Module):
    """Two heads, scores with learnt numbers added that depend on the input."""

    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(8, 8) for _ in range(3)])
        self.bias = nn.Parameter(torch.randn(1, 2, 5, 5))

    def forward(self, x):
        q, k, v = (layer(x).view(x.shape[0], -1, 2, 4).transpose(1, 2) for layer in self.layers)
        y = F.scaled_dot_product_attention(q, k, v, self.bias + x.mean())
        return y.transpose(1, 2).reshape(x.shape)


def test_attention_with_a_learnt_mask_is_exported(tmp_path):
    torch.manual_seed(0)
    network, x = MaskedAttention(), torch.randn(2, 5, 8)
    export_onnx(network, x, tmp_path / "net.onnx")
    found = run(tmp_path / "net.onnx", x)
    np.testing.assert_allclose(found, network(x).detach().numpy(), atol=1e-5)


def test_what_cannot_be_exported_is_refused_in_one_sentence(tmp_path):
    class Sizes(nn.Module):
        def forward(self, x):
            return x + x[1]

    x = torch.randn(2, 4)
    with pytest.raises(ExportError, match="Sizes cannot take a batch of 1"):
        export_onnx(Sizes(), x, tmp_path / "net.onnx")
    with pytest.raises(ExportError, match="Unknown writer"):
        export_onnx(nn.Linear(4, 2), x, tmp_path / "net.onnx", writer="mine")

    class Number(nn.Module):
        def forward(self, x):
            return x, 3

    with pytest.raises(ExportError, match="return tensors can be exported, not int"):
        export_onnx(Number(), x, tmp_path / "net.onnx")
