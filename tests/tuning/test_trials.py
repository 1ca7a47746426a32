"""Adapters: always the same function, never larger, and on only where a measurement says so."""

from functools import partial
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from torch import nn

from tl1bench import models
from tl1bench.errors import CompactionError
from tl1bench.tuning import Ratio, trials, tune
from tl1bench.tuning.adapters import PADDING, Adapters, Draft


@pytest.fixture(scope="module")
def network():
    """Residual, with dead filters, dead columns, and branches narrower than their sum."""
    torch.manual_seed(0)
    model = models.build("resnet", (1, 8, 8), 10, seed=0, widths=[8, 16, 16]).eval()
    for layer in model.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.running_mean.normal_()
            layer.running_var.uniform_(0.5, 2)
            nn.init.normal_(layer.weight)
            nn.init.normal_(layer.bias)
    with torch.no_grad():
        model[3].conv1.weight[:, 2:5] = 0
        for tensor in (model[4].conv1.weight, model[4].bn1.weight, model[4].bn1.bias):
            tensor[[1, 4, 7]] = 0
        # Constants c ≠ 0 behind the BatchNorm, which the sum still needs.
        model[4].conv2.weight[3:9] = 0
        model[5].conv2.weight[5:14] = 0
    return model


X = torch.randn(3, 1, 8, 8, generator=torch.Generator().manual_seed(1))
EVERY = Adapters(
    gather=frozenset({"3.conv1"}), expand=frozenset({"4.conv2", "5.conv2"}), align={"4.conv1": 16}
)


@pytest.fixture(scope="module")
def draft(network):
    wide = models.build("resnet", (1, 8, 8), 10, seed=0, widths=[8, 16, 16]).double().eval()
    wide.load_state_dict(network.state_dict())
    return wide, Draft(wide, (X.double(),))


def width(compacted, name):
    (layer,) = [x for x in compacted.report.layers if x.name == name]
    return layer.inputs_after, layer.units_after


def test_the_options_are_what_the_zeros_offer(draft):
    options = draft[1].options()
    assert dict(options.gather) == {"3.conv1": 36864 * 3 // 8}
    assert set(options.expand) == {"4.conv2", "5.conv2"}
    assert dict(options.widths) == {"4.conv1": (13, 16)}


@pytest.mark.parametrize(
    ("adapters", "layer", "expected"),
    [
        (Adapters(), "4.conv1", (8, 13)),
        (Adapters(gather=EVERY.gather), "3.conv1", (5, 8)),
        (Adapters(expand=EVERY.expand), "4.conv2", (13, 10)),
        (Adapters(expand=EVERY.expand), "5.conv2", (16, 7)),
        (Adapters(align={"4.conv1": 14}), "4.conv1", (8, 14)),
        (EVERY, "4.conv2", (16, 10)),
    ],
)
def test_every_adapter_is_the_same_function_with_the_expected_widths(
    draft, adapters, layer, expected
):
    wide, drawn = draft
    small = drawn.write(adapters)
    assert width(small, layer) == expected
    y = torch.randn(5, 1, 8, 8, dtype=torch.float64)
    with torch.no_grad():
        difference = (small.model(y) - wide(y)).abs().max().item()
    assert difference < 1e-12
    assert small.report.weights_after <= small.report.weights_before
    assert small.report.macs_after <= small.report.macs_before


def test_padding_is_called_by_its_name_and_never_beyond_the_dense_width(draft):
    small = draft[1].write(Adapters(align={"4.conv1": 1000}))
    assert width(small, "4.conv1") == (8, 16)
    (layer,) = [x for x in small.report.layers if x.name == "4.conv1"]
    assert PADDING in layer.kept_because
    assert small.report.weights_after <= small.report.weights_before


def test_unknown_layers_are_refused(draft):
    for wrong in (
        Adapters(gather=frozenset({"nonesuch"})),
        Adapters(expand=frozenset({"0"})),
        Adapters(align={"nonesuch": 8}),
    ):
        with pytest.raises(CompactionError, match="There is no"):
            draft[1].write(wrong)


def has(path: Path) -> tuple[bool, bool, bool]:
    """Whether the file gathers (a Gather whose input is no Pad), expands, has a 16-wide 4.conv1."""
    graph = onnx.load(path).graph
    makers = {n.output[0]: n.op_type for n in graph.node}
    gathers = [makers.get(n.input[0]) for n in graph.node if n.op_type == "Gather"]
    shapes = {t.name: list(t.dims) for t in graph.initializer}
    padded = shapes["4.conv1.weight"][0] == 16
    return any(g != "Pad" for g in gathers), "Pad" in gathers, padded


class Costs:
    """A made-up machine: what each adapter costs, how sure that is, and what was asked."""

    def __init__(self, gather=1.2, expand=1.2, align=1.2, spread=0.01, second=None):
        self.factors, self.spread, self.second = (gather, expand, align), spread, second
        self.asked = []

    def __call__(self, paths):
        factors = self.factors if not self.asked or self.second is None else self.second
        self.asked.append([has(path) for path in paths])
        assert self.asked[-1][0] == (False, False, False)
        ratios = [float(np.prod([f for f, on in zip(factors, flags, strict=True) if on]))
                  for flags in self.asked[-1]]  # fmt: skip
        return [Ratio(r, r - self.spread, r + self.spread) for r in ratios]


def test_nothing_is_switched_on_that_does_not_pay(network):
    tuned = tune(network, X, cost=Costs())
    assert tuned.adapters == Adapters()
    assert tuned.report == tuned.plain
    assert {t.round for t in tuned.trials} == {1}


def test_what_is_not_surely_faster_stays_off(network):
    tuned = tune(network, X, cost=Costs(gather=0.95, spread=0.06))
    assert tuned.adapters == Adapters()
    assert {t.round for t in tuned.trials} == {1}


def test_what_pays_is_combined_and_padding_is_counted_apart(network):
    costs = Costs(gather=0.9, align=0.8)
    tuned = tune(network, X, cost=costs)
    assert tuned.adapters == Adapters(gather=EVERY.gather, align=EVERY.align)
    assert len(costs.asked) == 2
    # Three more filters of 8 × 9 weights, three more columns of 16 × 9.
    assert tuned.padding_weights == 3 * 8 * 9 + 3 * 16 * 9
    assert tuned.report.weights_after == (
        tuned.plain.weights_after - 3 * 8 * 9 + tuned.padding_weights
    )
    assert "padding zeros" in str(tuned)
    assert "4.conv1 16 wide" in str(tuned)
    torch.testing.assert_close(tuned.model(X), network(X), atol=1e-5, rtol=1e-5)


def test_a_win_that_does_not_repeat_is_no_win(network):
    tuned = tune(network, X, cost=Costs(align=0.8, second=(1.0, 1.0, 1.1)))
    assert tuned.adapters == Adapters()
    assert {t.round for t in tuned.trials} == {1, 2}


def test_a_real_measurement_decides(network, monkeypatch):
    monkeypatch.setattr(trials, "measure", partial(trials.measure, processes=2))
    tuned = tune(network, X)
    assert all(0.05 < t.ratio.low <= t.ratio.estimate <= t.ratio.high < 20 for t in tuned.trials)
    confirmed = {str(t.adapters): t.ratio.high for t in tuned.trials if t.round == 2}
    if tuned.adapters != Adapters():
        assert confirmed[str(tuned.adapters)] < 1
    torch.testing.assert_close(tuned.model(X), network(X), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (nn.Conv1d(6, 4, 3, padding=1), (6, 9)),
        (nn.ConvTranspose2d(6, 4, 3, 2), (6, 5, 5)),
        (nn.Linear(6, 4), (6,)),
    ],
)
def test_any_layer_may_gather(layer, shape):
    with torch.no_grad():
        dead = (
            layer.weight if isinstance(layer, nn.ConvTranspose2d) else layer.weight.transpose(0, 1)
        )
        dead[[0, 3]] = 0
    layer = layer.double().eval()
    drawn = Draft(layer, (torch.randn(2, *shape).double(),))
    assert set(drawn.options().gather) == {"weight"}
    small = drawn.write(Adapters(gather=frozenset({"weight"})))
    assert width(small, "weight") == (4, 4)
    x = torch.randn(5, *shape).double()
    torch.testing.assert_close(small.model(x), layer(x), atol=1e-12, rtol=0)
