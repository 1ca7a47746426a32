import pytest
import torch

from tl1bench import models
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


def test_resnet20_has_the_published_size() -> None:
    model = models.build("resnet", (3, 32, 32), 10, seed=0, widths=[16, 32, 64], blocks=3)
    convolutions = [m for m in model.modules() if isinstance(m, torch.nn.Conv2d)]
    assert sum(m.kernel_size == (3, 3) for m in convolutions) == 19


def test_unknown_names_and_options_are_refused() -> None:
    with pytest.raises(ConfigError, match="choose lenet5, mlp"):
        models.build("nonesuch", (1, 8, 8), 10, seed=0)
    with pytest.raises(ConfigError, match="does not take these options"):
        models.build("mlp", (1, 8, 8), 10, seed=0, depth=3)
    with pytest.raises(ConfigError, match="no classification network"):
        models.build("torchvision/nonesuch", (3, 8, 8), 10, seed=0)
