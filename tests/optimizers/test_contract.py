"""What holds for every proximal optimiser: exact zeros, resuming, schedules, freezing, groups."""

from __future__ import annotations

import copy
import inspect
import io
from collections import defaultdict

import pytest
import torch
from torch import nn

from tl1bench import neurons, optimizers, penalties
from tl1bench.errors import ConfigError

pytestmark = pytest.mark.parametrize("name", optimizers.names())
# Adam moves every weight by its rate, dual averaging by the sum of all rates so far.
LR = defaultdict(lambda: 0.1, proximal_adam=0.01, rmda=0.05)


def build(name, model, example, penalty="integrated_tl1", lam=0.02, **options):
    kind = optimizers.kind(name)
    options = {"lr": LR[name], "example_inputs": example, **options}
    if options["example_inputs"] is not None:
        options.setdefault("groups", traced(model, example))
    return kind(model, penalties.load(penalty, lam=lam), **options)


FOUND: dict[tuple[torch.Size, ...], tuple[neurons.Groups, ...]] = {}


def traced(model: nn.Module, example: torch.Tensor) -> tuple[neurons.Groups, ...]:
    """Return the outgoing groups, found once for each shape: tracing outlasts all else here."""
    shapes = tuple(p.shape for p in model.parameters())
    if shapes not in FOUND:
        FOUND[shapes] = neurons.groups(model, example)
    return FOUND[shapes]


def zero_pattern(model: nn.Module) -> list[torch.Tensor]:
    return [model.get_parameter(n) == 0 for n in neurons.weight_layers(model)]


def test_zeros_are_exact_and_biases_are_never_penalised(name, make_model, example, train) -> None:
    model = make_model()
    optimizer = build(name, model, example, lam=0.2)
    train(model, optimizer, range(30))
    assert all(pattern.any() for pattern in zero_pattern(model))
    assert all((p != 0).any() for n, p in model.named_parameters() if n.endswith("bias"))
    assert all(torch.isfinite(p).all() for p in model.parameters())


@pytest.mark.parametrize("frozen", [False, True])
def test_a_reloaded_state_resumes_bit_for_bit(name, frozen, make_model, example, train) -> None:
    model = make_model()
    optimizer = build(name, model, example, weight_decay=1e-3)
    train(model, optimizer, range(8))
    optimizer.lam_scale = 0.7
    if frozen:
        optimizer.freeze_zeros()
        train(model, optimizer, range(8, 10))
    file = io.BytesIO()
    torch.save({"model": model.state_dict(), "optimizer": optimizer.state_dict()}, file)
    file.seek(0)
    kept = torch.load(file, weights_only=True)
    again = make_model()
    resumed = build(name, again, example, weight_decay=1e-3)
    again.load_state_dict(kept["model"])
    resumed.load_state_dict(kept["optimizer"])
    assert resumed.lam_scale == 0.7
    assert resumed.frozen is frozen
    for m, o in ((model, optimizer), (again, resumed)):
        train(m, o, range(10, 18))
    for p, q in zip(model.parameters(), again.parameters(), strict=True):
        assert torch.equal(p, q)


def test_frozen_zeros_stay_and_survivors_move(name, make_model, example, train) -> None:
    model = make_model()
    optimizer = build(name, model, example, lam=0.1)
    train(model, optimizer, range(20))
    before = zero_pattern(model)
    weights = [p.detach().clone() for p in model.parameters()]
    optimizer.freeze_zeros()
    train(model, optimizer, range(20, 30))
    assert all(map(torch.equal, before, zero_pattern(model)))
    assert any(not torch.equal(p, w) for p, w in zip(model.parameters(), weights, strict=True))


def test_debiasing_has_no_penalty(name, make_model, example, train) -> None:
    results = []
    for lam in (0.0, 5.0):
        model = make_model()
        optimizer = build(name, model, example, lam=lam)
        optimizer.freeze_zeros()
        train(model, optimizer, range(5))
        results.append(torch.cat([p.detach().flatten() for p in model.parameters()]))
    assert torch.equal(*results)


def test_the_threshold_follows_the_scheduled_rate(name, make_model, example, train) -> None:
    """A schedule is the same as setting the rate by hand, and at rate 0 nothing moves."""
    scheduled, by_hand = make_model(), make_model()
    one, other = (build(name, m, example) for m in (scheduled, by_hand))
    schedule = torch.optim.lr_scheduler.StepLR(one, step_size=3, gamma=0.3)
    for t in range(9):
        train(scheduled, one, range(t, t + 1))
        other.param_groups[0]["lr"] = LR[name] * 0.3 ** (t // 3)
        train(by_hand, other, range(t, t + 1))
        schedule.step()
    for p, q in zip(scheduled.parameters(), by_hand.parameters(), strict=True):
        torch.testing.assert_close(p, q, rtol=1e-4, atol=1e-6)
    still = make_model()
    train(still, build(name, still, example, lr=0.0, lam=1.0, momentum=0.0), range(3))
    for p, q in zip(still.parameters(), make_model().parameters(), strict=True):
        assert torch.equal(p, q)


@pytest.mark.parametrize("penalty", ["integrated_tl1", "mcp"])
def test_the_ramp_scales_lambda(name, penalty, make_model, example, train) -> None:
    ramped, fixed = make_model(), make_model()
    one = build(name, ramped, example, penalty, lam=0.08)
    one.lam_scale = 0.25
    other = build(name, fixed, example, penalty, lam=0.02)
    assert float(one.penalty_value()) == pytest.approx(float(other.penalty_value()), rel=1e-6)
    train(ramped, one, range(6))
    train(fixed, other, range(6))
    for p, q in zip(ramped.parameters(), fixed.parameters(), strict=True):
        torch.testing.assert_close(p, q, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("side", ["outgoing", "incoming", "as_coded"])
def test_a_step_without_gradient_is_the_prox_of_each_group(
    name, side, memory_format, make_model, example
) -> None:
    """Norms by reduction on views give what gathering every group would give."""
    if name == "proximal_adam":
        return  # its steps differ from weight to weight: see test_proximal_adam
    model, plain = make_model().to(memory_format=memory_format), make_model()
    optimizer = build(
        name, model, example, "sparse_group_lasso", lam=0.3, groups=side, momentum=0.0,
        layer_weights=[1.0, 0.5, 2.0],
    )  # fmt: skip
    for p in model.parameters():
        p.grad = torch.zeros_like(p)
    optimizer.step()
    parameters = dict(plain.named_parameters())
    penalty = penalties.load("sparse_group_lasso", lam=0.3)
    weights = (1.0, 0.5, 2.0)
    for block in neurons.groups(plain, example, side):
        here = penalty.at_layer(block.layer, block.layers)
        z = block.gather(parameters).detach()
        block.scatter_(parameters, here.prox(z, LR[name] * weights[block.layer]))
    for n, p in model.named_parameters():
        torch.testing.assert_close(p, parameters[n], rtol=1e-5, atol=1e-7)


def test_dead_units_stay_consistent(name, make_model, example, train) -> None:
    """A unit is dead as a whole: all weights that leave it are zero, with any flatten between."""
    model = make_model()
    optimizer = build(name, model, example, "group_lasso", lam=0.2)
    train(model, optimizer, range(40))
    into_linear = model[4].weight.detach().view(8, 6, 9)
    dead = (into_linear == 0).all(2).all(0)
    assert ((into_linear == 0).any(2).any(0) == dead).all()
    assert (model[6].weight == 0).any()
    assert (((model[6].weight == 0).all(0)) == (model[6].weight == 0).any(0)).all()


def test_penalty_value_is_the_weighted_sum_over_layers(name, make_model, example) -> None:
    model = make_model()
    optimizer = build(
        name, model, example, "sparse_group_lasso", lam=0.5, layer_weights=[1.0, 2.0, 0.0]
    )
    parameters = dict(model.named_parameters())
    expected = 0.0
    for block in neurons.groups(model, example):
        here = penalties.load("sparse_group_lasso", lam=0.5).at_layer(block.layer, block.layers)
        value = here.value(block.gather(parameters).detach()).sum().item()
        expected += (1.0, 2.0, 0.0)[block.layer] * value
    assert float(optimizer.penalty_value()) == pytest.approx(expected, rel=1e-5)


def test_shrinking_in_place_keeps_the_original_scale(name, make_model, example) -> None:
    """Units removed, parameters and state sliced: s_g, μ and layer weights stay."""
    model = make_model()
    optimizer = build(name, model, example, "group_lasso", lam=0.1)
    for p in model.parameters():
        p.grad = torch.ones_like(p)
    optimizer.step()
    with torch.no_grad():  # the last three hidden units die and go
        keep = torch.arange(5)
        for module, dim in ((model[4], 0), (model[6], 1)):
            for p in (module.weight, module.bias) if dim == 0 else (module.weight,):
                state = {k: v.index_select(dim, keep) for k, v in optimizer.state[p].items()}
                p.grad = None
                p.data = p.data.index_select(dim, keep)
                optimizer.state[p] = state
    optimizer.regroup(neurons.groups(model, example))
    sizes = {places.groups.layer: places.members for _, _, places in optimizer._operations}
    assert sizes == {0: 6 * 9, 1: 8 * 9, 2: 3}
    assert [g.members for g in optimizer.groups] == [6 * 9, 5 * 9, 3]
    for p in model.parameters():
        p.grad = torch.ones_like(p)
    optimizer.step()
    again = copy.deepcopy(optimizer.state_dict())
    smaller = build(name, copy.deepcopy(model), example, "group_lasso", lam=0.1)
    smaller.load_state_dict(again)
    sizes = {places.groups.layer: places.members for _, _, places in smaller._operations}
    assert sizes == {0: 6 * 9, 1: 8 * 9, 2: 3}


def test_elementwise_penalties_need_no_tracing_and_take_parameters(name, make_model) -> None:
    by_model, by_parameters = make_model(), make_model()
    kind = optimizers.kind(name)
    one = kind(by_model, penalties.load("tl1", lam=0.1), lr=0.1)
    other = kind(
        [{"params": list(by_parameters.parameters())[:2]},
         {"params": list(by_parameters.parameters())[2:]}],
        penalties.load("tl1", lam=0.1), lr=0.1,
    )  # fmt: skip
    for model, optimizer in ((by_model, one), (by_parameters, other)):
        for p in model.parameters():
            p.grad = torch.ones_like(p)
        optimizer.step()
    for p, q in zip(by_model.parameters(), by_parameters.parameters(), strict=True):
        assert torch.equal(p, q)


def test_weights_without_gradient_rest(name, make_model, example, train) -> None:
    model = make_model()
    model[4].weight.requires_grad_(False)
    before = model[4].weight.clone()
    optimizer = build(name, model, example, "tl1", lam=0.1)
    train(model, optimizer, range(3))
    optimizer.freeze_zeros()
    train(model, optimizer, range(3, 5))
    assert torch.equal(model[4].weight, before)
    assert (model[6].weight != make_model()[6].weight).any()
    optimizer.load_state_dict(optimizer.state_dict())


def test_a_closure_is_evaluated_with_gradients(name, make_model, example) -> None:
    model = make_model()
    optimizer = build(name, model, example)

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss = model(example).square().mean()
        loss.backward()
        return loss

    first = optimizer.step(closure).item()
    for _ in range(20):
        last = optimizer.step(closure).item()
    assert last < first


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"lr": -1.0}, "lr is -1.0"),
        ({"momentum": 1.0}, "momentum is 1.0"),
        ({"weight_decay": -0.1}, "weight_decay is -0.1"),
        ({"layer_weights": [1.0]}, "give 3 numbers"),
        ({"groups": "sideways"}, "groups is 'sideways'"),
        ({"groups": ["incoming"]}, "groups is"),
        ({"example_inputs": None}, "example_inputs=x"),
    ],
)
def test_impossible_requests_say_how_to_mend_them(name, options, told, make_model, example) -> None:
    with pytest.raises(ConfigError) as error:
        build(name, make_model(), example, **options)
    assert told in str(error.value)


def test_a_negative_ramp_is_refused(name, make_model, example) -> None:
    with pytest.raises(ConfigError, match="lam_scale"):
        build(name, make_model(), example).lam_scale = -1.0


def test_every_argument_has_a_name(name) -> None:
    arguments = inspect.signature(optimizers.kind(name)).parameters.values()
    assert all(a.kind is a.POSITIONAL_OR_KEYWORD or a.kind is a.KEYWORD_ONLY for a in arguments)
    assert {"model", "penalty", "lr", "example_inputs", "groups"} <= {a.name for a in arguments}
