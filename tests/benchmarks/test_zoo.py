"""The zoo's mechanics on two small networks; the page in docs/ has all of them."""

import importlib.util

import pytest
import torch
from torch import nn

from benchmarks.zoo import __main__ as zoo
from benchmarks.zoo import _killing, _page, _trial

# Some seconds each.
SLOW = [
    *(f"torchvision/{name}" for name in (
        "alexnet", "convnext_tiny", "densenet121", "efficientnet_b0", "efficientnet_v2_s",
        "googlenet", "inception_v3", "maxvit_t", "mnasnet0_5", "mobilenet_v3_small",
        "regnet_y_400mf", "resnet50", "shufflenet_v2_x0_5", "swin_t", "swin_v2_t", "vit_b_32",
    )),
    *(f"timm/{name}" for name in ("levit_128s", "efficientvit_m0", "ghostnet_050")),
    *(f"transformers/{name}" for name in ("bert", "gpt2", "llama", "whisper_encoder")),
]  # fmt: skip


def test_the_zoo_holds_all_of_torchvision_sixty_of_timm_and_tiny_transformers():
    names = zoo.names()
    counts = {p: sum(n.startswith(p) for n in names) for p in ("torchvision", "timm", "transf")}
    assert counts["torchvision"] >= 80
    assert counts["timm"] >= 60
    assert counts["transf"] >= 20
    assert set(SLOW) <= set(names)


@pytest.mark.parametrize("name", ["torchvision/squeezenet1_1"])
def test_a_network_is_exact_smaller_and_its_row_is_kept(name):
    row = zoo.tried(name, seconds=300, gigabytes=16)
    check(row)
    assert row.onnx_kept < 0.9
    text = _page.page([row], 2)
    assert "1 of 2 networks tried: 1 compacted, of which 0 wrong and 0 larger" in text
    assert f"| {name} |" in text


def test_a_network_that_fails_or_takes_too_long_is_refused_in_one_sentence():
    assert zoo.tried("torchvision/no_such", 300, 16).refused.startswith("Failed: ")
    assert "more than 0.1 seconds" in zoo.tried("torchvision/vgg11", 0.1, 16).refused


def test_units_constants_and_readers_die_in_turn():
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(3, 20, 3), nn.BatchNorm2d(20), nn.Conv2d(20, 20, 3), nn.Conv2d(20, 20, 3),
        nn.Conv2d(20, 5, 1),
    )  # fmt: skip
    _killing.randomise(network, (torch.randn(2, 3, 8, 8),))
    _killing.kill(network)
    first, norm, second, third, last = network
    dead = (first.weight == 0).flatten(1).all(1)
    assert 2 < dead.sum() < 15
    assert torch.equal(norm.weight == 0, dead)
    assert torch.equal(norm.bias == 0, dead)
    assert (second.weight == 0).flatten(1).all(1).any()
    assert (second.bias != 0).all()
    assert (third.weight == 0).transpose(0, 1).flatten(1).all(1).any()
    assert (last.weight != 0).all()


def test_a_wrong_or_grown_network_is_told():
    wrong = _trial.Row("a/b", 10, error=1e-3, allowed=1e-10, precision="float64")
    grown = _trial.Row("a/c", 10, allowed=1e-10, precision="float64", grown=("bytes",))
    assert _page.is_wrong(wrong)
    assert _page.is_wrong(grown)
    text = _page.page([wrong, grown], 2)
    assert "1 wrong and 1 larger" in text
    assert "WRONG" in text
    assert "LARGER: bytes" in text


@pytest.mark.slow
@pytest.mark.parametrize("name", SLOW)
def test_networks_of_others_are_exact_and_none_grows(name):
    package = name.split("/")[0]
    if importlib.util.find_spec(package) is None:
        pytest.skip(f"{package} is not installed")
    check(zoo.tried(name, seconds=900, gigabytes=16))


def check(row):
    assert not row.refused
    assert row.exact
    assert row.grown == ()
    assert row.weights_ideal <= row.weights_kept <= 1
