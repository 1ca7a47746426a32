import pytest
import torch
from checkouts import ROOT

from tl1bench import config, models, neurons
from tl1bench.errors import ConfigError


@pytest.mark.parametrize("name", [*models.names(), "torchvision/squeezenet1_1"])
def test_every_network_maps_images_to_class_scores(name: str) -> None:
    shape = (1, 64, 64) if name.startswith("torchvision/") else (1, 28, 28)
    model = models.build(name, shape, 7, seed=0).eval()
    assert model(torch.randn(2, *shape)).shape == (2, 7)


@pytest.mark.parametrize("name", models.names())
def test_initial_weights_depend_on_the_seed_alone(name: str) -> None:
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first, again, other = (models.build(name, (1, 28, 28), 10, seed=s) for s in (3, 3, 4))
    assert torch.equal(torch.get_rng_state(), before)
    pairs = list(zip(first.parameters(), again.parameters(), other.parameters(), strict=True))
    assert all(torch.equal(a, b) for a, b, _ in pairs)
    assert any(not torch.equal(a, c) for a, _, c in pairs)


def test_lenet5_is_the_caffe_variant() -> None:
    model = models.build("lenet5", (1, 28, 28), 10, seed=0)
    shapes = [tuple(p.shape) for n, p in model.named_parameters() if n.endswith("weight")]
    assert shapes == [(20, 1, 5, 5), (50, 20, 5, 5), (500, 800), (10, 500)]
    assert sum(p.numel() for n, p in model.named_parameters() if n.endswith("weight")) == 430500


def test_the_as_coded_network_is_that_of_the_script() -> None:
    model = models.build("mnist_cnn", (1, 28, 28), 10, seed=0)
    weights = {n: p for n, p in model.named_parameters() if n.endswith("weight")}
    shapes = [tuple(p.shape) for p in weights.values()]
    assert shapes == [(32, 1, 5, 5), (64, 32, 5, 5), (1024, 3136), (10, 1024)]
    assert model.conv2(model.pool1(model.conv1(torch.zeros(1, 1, 28, 28)))).shape[2:] == (14, 14)
    assert all(p.abs().max() <= 0.2 for p in weights.values())
    # A normal distribution cut off at 2σ has 0.88 of the deviation.
    assert weights["fc1.weight"].std().item() == pytest.approx(0.088, rel=0.01)
    assert all((p == 0.1).all() for n, p in model.named_parameters() if n.endswith("bias"))
    example = torch.rand(2, 1, 28, 28)
    assert not torch.equal(model(example), model(example))
    assert torch.equal(model.eval()(example), model(example))


def test_the_as_coded_groups_are_single_kernel_positions_and_inputs() -> None:
    problem = config.load(ROOT / "reports/as-coded/params.yaml").problems["mnist-cnn"]
    model = models.build("mnist_cnn", (1, 28, 28), 10, seed=0)
    found = neurons.groups(model, torch.zeros(2, 1, 28, 28), problem.groups)
    sizes = [(block.count, block.members) for block in found]
    assert sizes == [(25, 32), (32 * 25, 64), (3136, 1024), (1024, 10)]
    assert problem.layer_weights == pytest.approx((1, 1, 1 / 15, 1 / 144))


@pytest.mark.parametrize(
    ("name", "layers", "parameters"),
    # He et al. say 0.27 million; the common CIFAR ResNet-18 has 11,173,962, and the common VGG-16,
    # with 4,224 biases that its BatchNorm takes away again, 14,728,266.
    [("resnet20", 20, 272_474), ("resnet18", 18, 11_173_962), ("vgg16_bn", 14, 14_724_042)],
)
def test_the_networks_of_cifar_have_the_published_sizes(
    name: str, layers: int, parameters: int
) -> None:
    with torch.device("meta"):
        model = models.build(name, (3, 32, 32), 10, seed=0)
    weights = [p for n, p in model.named_parameters() if n.endswith("weight") and p.dim() > 1]
    assert sum(p.dim() == 2 or p.shape[-1] == 3 for p in weights) == layers
    assert sum(p.numel() for p in model.parameters()) == parameters


def test_unknown_names_and_options_are_refused() -> None:
    with pytest.raises(ConfigError, match="choose lenet5, mlp"):
        models.build("nonesuch", (1, 8, 8), 10, seed=0)
    with pytest.raises(ConfigError, match="does not take these options"):
        models.build("mlp", (1, 8, 8), 10, seed=0, depth=3)
    with pytest.raises(ConfigError, match="no classification network"):
        models.build("torchvision/nonesuch", (3, 8, 8), 10, seed=0)
