"""The contract of torch.optim, for every optimiser: loops that people bring go right here too."""

from __future__ import annotations

import copy
import io
import json
import pickle
import subprocess
import sys
import warnings
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import lr_scheduler

from tl1bench import neurons, optimizers, penalties
from tl1bench.errors import ConfigError

pytestmark = pytest.mark.parametrize("name", optimizers.names())
RATES = defaultdict(lambda: 0.1, proximal_adam=0.01, rmda=0.05)
LABELS = torch.arange(64) % 3
X = torch.randn(64, 20, generator=torch.Generator().manual_seed(1))


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Linear(20, 24), nn.ReLU(), nn.Linear(24, 16), nn.ReLU(), nn.Linear(16, 3)
    )


GROUPS = neurons.groups(network(), X[:2])


def build(name: str, model: Any, lam: float = 0.02, **options: Any) -> Any:
    penalty = penalties.load(options.pop("penalty", "integrated_tl1"), lam=lam)
    if isinstance(model, nn.Module) and "example_inputs" not in options:
        options.setdefault("groups", GROUPS)
    options.setdefault("lr", RATES[name])
    return optimizers.kind(name)(model, penalty, **options)


def train(
    model: Callable[[Tensor], Tensor],
    optimizer: torch.optim.Optimizer,
    steps: int = 12,
    after: Callable[[], Any] | None = None,
) -> None:
    for _ in range(steps):
        optimizer.zero_grad()
        functional.cross_entropy(model(X), LABELS).backward()
        optimizer.step()
        if after:
            after()


def zeros(model: nn.Module) -> int:
    return sum(int((p == 0).sum()) for p in model.parameters() if p.dim() > 1)


def assert_same(one: nn.Module, other: nn.Module, **tolerance: float) -> None:
    for p, q in zip(one.parameters(), other.parameters(), strict=True):
        if tolerance:
            torch.testing.assert_close(p, q, **tolerance)
        else:
            assert torch.equal(p, q)


S = lr_scheduler
SCHEDULERS: dict[str, Callable[[Any, float], Any]] = {
    "LambdaLR": lambda o, lr: S.LambdaLR(o, lambda t: 0.0 if t < 2 else 1.0),
    "MultiplicativeLR": lambda o, lr: S.MultiplicativeLR(o, lambda t: 0.95),
    "StepLR": lambda o, lr: S.StepLR(o, 5),
    "MultiStepLR": lambda o, lr: S.MultiStepLR(o, [4, 8]),
    "ConstantLR": lambda o, lr: S.ConstantLR(o),
    "LinearLR": lambda o, lr: S.LinearLR(o, 1e-3, 1, 5),
    "ExponentialLR": lambda o, lr: S.ExponentialLR(o, 0.9),
    "PolynomialLR": lambda o, lr: S.PolynomialLR(o, 20),
    "CosineAnnealingLR": lambda o, lr: S.CosineAnnealingLR(o, 20),
    "CosineAnnealingWarmRestarts": lambda o, lr: S.CosineAnnealingWarmRestarts(o, 5),
    "CyclicLR": lambda o, lr: S.CyclicLR(o, lr / 10, lr),
    "OneCycleLR": lambda o, lr: S.OneCycleLR(o, lr, total_steps=20),
    "SequentialLR": lambda o, lr: S.SequentialLR(o, [S.LinearLR(o), S.ConstantLR(o)], [4]),
    "ChainedScheduler": lambda o, lr: S.ChainedScheduler([S.LinearLR(o), S.ExponentialLR(o, 0.9)]),
    "ReduceLROnPlateau": lambda o, lr: S.ReduceLROnPlateau(o, patience=2),
    "SWALR": lambda o, lr: torch.optim.swa_utils.SWALR(o, swa_lr=lr / 2),
}


def test_every_scheduler_of_torch_is_tried(name: str) -> None:
    kinds = {n for n in lr_scheduler.__all__ if n != "LRScheduler"}
    assert kinds <= SCHEDULERS.keys(), name


@pytest.mark.parametrize("kind", SCHEDULERS)
def test_every_scheduler_ends_with_zeros(name: str, kind: str) -> None:
    model = network()
    optimizer = build(name, model, lam=0.05)
    schedule = SCHEDULERS[kind](optimizer, RATES[name])
    rates = set()

    def after() -> None:
        schedule.step(*([1.0] if kind == "ReduceLROnPlateau" else []))
        rates.add(optimizer.param_groups[0]["lr"])

    train(model, optimizer, 12, after)
    assert len(rates) > 1
    assert zeros(model) > 0
    assert all(p.isfinite().all() for p in model.parameters())


def in_two_rates(model: nn.Sequential, name: str) -> list[dict[str, Any]]:
    return [
        {"params": model[0].parameters(), "lr": 0.1 * RATES[name]},
        {"params": [*model[2].parameters(), *model[4].parameters()]},
    ]


def test_parameter_groups_have_rates_of_their_own_together_with_groups_of_weights(
    name: str,
) -> None:
    """Backbone at a tenth of the rate, head at all of it: with the network, or without it."""
    traced, alone = network(), network()
    train(traced, build(name, traced, param_groups=in_two_rates(traced, name)))
    train(alone, build(name, in_two_rates(alone, name), example_inputs=X[:2]))
    assert_same(traced, alone)  # one after the other, units are columns
    assert zeros(traced) > 0
    slow, fast = network(), network()
    train(slow, build(name, slow, lam=0.0, param_groups=in_two_rates(slow, name)))
    train(fast, build(name, fast, lam=0.0))
    moved = [(m[0].weight - network()[0].weight).norm() for m in (slow, fast)]
    assert moved[0] < 0.5 * moved[1]


class Residual(nn.Module):
    """A stream that two layers read: groups of weights lie in both."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.inner = nn.Linear(20, 6), nn.Linear(6, 6)
        self.last = nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        stream = torch.relu(self.first(x))
        return self.last(stream + torch.relu(self.inner(stream)))


def test_groups_that_lie_in_parameter_groups_of_different_rates_have_their_exact_prox(
    name: str,
) -> None:
    model = Residual()
    with torch.no_grad():
        model.inner.weight[:, 1] = 1e-3
        model.last.weight[:, 1] = 1e-3
    before = copy.deepcopy(model)
    optimizer = build(
        name, model, lam=0.5, penalty="group_lasso", example_inputs=X[:2], momentum=0.0,
        param_groups=[
            {"params": [*model.first.parameters(), *model.inner.parameters()], "lr": 0.01},
            {"params": model.last.parameters(), "lr": 0.1},
        ],
    )  # fmt: skip
    for p in model.parameters():
        p.grad = torch.zeros_like(p)
    optimizer.step()
    if name == "proximal_adam":  # without a gradient its steps are lr/ε: all goes to zero
        assert zeros(model) > 0
        return
    z = torch.cat([before.inner.weight, before.last.weight]).t().double()
    step = torch.tensor([0.01] * 6 + [0.1] * 3, dtype=torch.float64).expand(6, 9)
    x = penalties.load("group_lasso", lam=0.5).prox(z, step)
    found = torch.cat([model.inner.weight, model.last.weight]).t()
    torch.testing.assert_close(found.double(), x, rtol=1e-4, atol=1e-6)
    assert (found[1] == 0).all()
    assert (found[0] != 0).all()


def test_what_has_no_prox_in_two_rates_says_so(name: str) -> None:
    model = Residual()
    groups = [
        {"params": [*model.first.parameters(), *model.inner.parameters()], "lr": 0.01},
        {"params": model.last.parameters(), "lr": 0.1},
    ]

    def steps() -> None:
        optimizer = build(
            name, model, penalty="group_mcp", example_inputs=X[:2], param_groups=groups
        )
        train(model, optimizer, 1)

    with pytest.raises(ConfigError, match="diagonal metric"):
        steps()


def test_a_parameter_that_is_not_the_networks_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match="not the network's"):
        build(name, network(), param_groups=[{"params": network().parameters()}])
    with pytest.raises(ConfigError, match="give the network first"):
        build(name, network().parameters(), param_groups=[])


def test_parameters_come_with_their_names(name: str) -> None:
    model, plain = network(), network()
    optimizer = build(name, list(model.named_parameters()))
    assert optimizer.param_groups[0]["param_names"] == [n for n, _ in model.named_parameters()]
    assert [row.name for row in optimizer.table()] == [n for n, _ in model.named_parameters()]
    train(model, optimizer)
    train(plain, build(name, plain))
    assert_same(model, plain)
    named = network()
    train(named, build(name, [{"params": named.named_parameters(), "lr": RATES[name]}]))
    assert_same(named, plain)


def test_layers_unfrozen_later_are_trained_and_penalised(name: str) -> None:
    model = network()
    model[0].requires_grad_(False)
    optimizer = build(name, model, lam=0.1)
    before = model[0].weight.clone()
    train(model, optimizer, 3)
    assert torch.equal(model[0].weight, before)
    assert not optimizer.table()[0].trained
    model[0].requires_grad_(True)
    train(model, optimizer)
    assert (model[0].weight == 0).any()
    assert optimizer.table()[0].trained


def test_a_step_without_any_gradient_changes_nothing(name: str) -> None:
    model = network()
    optimizer = build(name, model, param_groups=in_two_rates(model, name))
    optimizer.step()
    assert_same(model, network())
    model[0].requires_grad_(False)  # one group has gradients, the other none
    train(model, optimizer, 2)
    assert torch.equal(model[0].weight, network()[0].weight)


@pytest.mark.parametrize("penalty", ["tl1", "integrated_tl1"])
def test_a_gradient_that_is_no_number_stays_visible(name: str, penalty: str) -> None:
    model = network()
    optimizer = build(name, model, penalty=penalty)
    train(model, optimizer, 1)
    model[0].weight.grad[0, 0] = torch.nan
    optimizer.step()
    assert model[0].weight[0, 0].isnan()


@pytest.mark.parametrize("penalty", ["tl1", "group_lasso"])
def test_parameters_without_elements_are_no_obstacle(name: str, penalty: str) -> None:
    shapes = [(), (0, 3), (3, 0), (4, 3)]
    given = [nn.Parameter(torch.ones(shape)) for shape in shapes]
    optimizer = build(name, given, penalty=penalty)
    for p in given:
        p.grad = torch.zeros_like(p)
    optimizer.step()
    assert optimizer.penalty_value().isfinite()
    reasons = [row.reason for row in optimizer.table()]
    assert reasons == ["a vector", "no elements", "no elements", ""]


def test_complex_weights_are_refused(name: str) -> None:
    weight = nn.Parameter(torch.ones(3, 2, dtype=torch.complex64))
    with pytest.raises(ConfigError, match="0 is complex, and penalties are of real weights"):
        build(name, [weight])
    optimizer = build(name, network())
    with pytest.raises(ConfigError, match="w is complex"):
        optimizer.add_param_group({"params": [("w", weight)]})


def test_layers_unfrozen_once_zeros_are_kept_keep_theirs(name: str) -> None:
    model = network()
    optimizer = build(name, model, lam=0.1)
    train(model, optimizer)
    model[0].requires_grad_(False)
    optimizer.freeze_zeros()
    train(model, optimizer, 2)
    model[0].requires_grad_(True)
    pattern = model[0].weight == 0
    train(model, optimizer, 3)
    assert torch.equal(model[0].weight == 0, pattern)


def test_parameters_added_later_are_as_if_given_first(name: str) -> None:
    later, first = network(), network()
    optimizer = build(name, [{"params": later[0].parameters()}], momentum=0.0)
    optimizer.add_param_group({"params": later[2].parameters()})
    optimizer.add_param_group({"params": [*later[4].parameters()], "lr": 0.5 * RATES[name]})
    groups = [
        {"params": first[0].parameters()},
        {"params": first[2].parameters()},
        {"params": first[4].parameters(), "lr": 0.5 * RATES[name]},
    ]
    train(later, optimizer)
    train(first, build(name, groups, momentum=0.0))
    assert_same(later, first)
    assert zeros(later) > 0


def test_a_new_head_joins_a_network_and_freezing_holds_it(name: str) -> None:
    model = network()
    optimizer = build(name, model, lam=0.1)
    train(model, optimizer)
    head = nn.Linear(3, 3)
    both = nn.Sequential(model, head)
    optimizer.lam_scale = 0.5
    optimizer.freeze_zeros()
    optimizer.add_param_group({"params": head.named_parameters()})
    assert optimizer.table()[-2].penalty
    pattern = [p == 0 for p in model.parameters() if p.dim() > 1]
    train(both, optimizer, 3)
    assert all(
        torch.equal(p == 0, z)
        for p, z in zip((p for p in model.parameters() if p.dim() > 1), pattern, strict=True)
    )
    with pytest.raises(ConfigError, match="already"):
        optimizer.add_param_group({"params": [("weight", nn.Parameter(torch.ones(2, 2)))]})


def test_a_copy_goes_on_alike(name: str) -> None:
    model = network()
    optimizer = build(name, model)
    schedule = lr_scheduler.ExponentialLR(optimizer, 0.99)
    train(model, optimizer, 3, schedule.step)
    twin, copied = copy.deepcopy((model, optimizer))
    stored, restored = pickle.loads(pickle.dumps((model, optimizer)))
    for m, o in ((model, optimizer), (twin, copied), (stored, restored)):
        train(m, o, 4)
        o.freeze_zeros()
        train(m, o, 2)
    assert_same(model, twin)
    assert_same(model, stored)
    assert zeros(twin) > 0
    assert repr(copied) == repr(optimizer)


def test_a_state_dict_is_read_with_weights_only(name: str) -> None:
    model, again = network(), network()
    optimizer = build(name, list(model.named_parameters()))
    train(model, optimizer, 3)
    file = io.BytesIO()
    torch.save([model.state_dict(), optimizer.state_dict()], file)
    file.seek(0)
    weights, state = torch.load(file, weights_only=True)
    again.load_state_dict(weights)
    resumed = build(name, list(again.named_parameters()))
    resumed.load_state_dict(state)
    train(model, optimizer, 3)
    train(again, resumed, 3)
    assert_same(model, again)


def test_a_closure_takes_the_same_step(name: str) -> None:
    model, plain = network(), network()
    optimizer = build(name, model)

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = functional.cross_entropy(model(X), LABELS)
        loss.backward()
        return loss

    assert optimizer.step(closure).item() > 0
    train(plain, build(name, plain), 1)
    assert_same(model, plain)


def test_scaled_gradients_and_autocast(name: str) -> None:
    scaled, plain = network(), network()
    optimizer = build(name, scaled)
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    for _ in range(8):
        optimizer.zero_grad()
        scaler.scale(functional.cross_entropy(scaled(X), LABELS)).backward()
        scaler.step(optimizer)
        scaler.update()
    train(plain, build(name, plain), 8)
    assert_same(scaled, plain)
    before = [p.detach().clone() for p in scaled.parameters()]
    scaler.scale(functional.cross_entropy(scaled(X) * torch.inf, LABELS)).backward()
    scaler.step(optimizer)  # not finite: the step is left out, and nothing is penalised
    assert all(map(torch.equal, before, scaled.parameters()))
    mixed = network()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        train(mixed, build(name, mixed))
    assert zeros(mixed) > 0
    assert all(p.dtype == torch.float32 for p in mixed.parameters())


def test_a_compiled_network_and_a_compiled_step(name: str) -> None:
    model, plain = network(), network()
    compiled = torch.compile(model, backend="eager")
    optimizer = build(name, compiled)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's own, of its profiler
        step = torch.compile(optimizer.step, backend="eager")
        for _ in range(5):
            optimizer.zero_grad()
            functional.cross_entropy(compiled(X), LABELS).backward()
            step()
    train(plain, build(name, plain), 5)
    assert_same(model, plain)
    assert [row.name for row in optimizer.table()] == [n for n, _ in model.named_parameters()]


@pytest.fixture(scope="module")
def together(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """Train in two processes over gloo; return what each found, by optimiser."""
    script = Path(__file__).with_name("two_processes.py")
    meeting = tmp_path_factory.mktemp("gloo") / "meeting"
    workers = [
        subprocess.Popen(
            [sys.executable, str(script), str(rank), str(meeting)],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        for rank in range(2)
    ]  # fmt: skip
    told = [worker.communicate(timeout=180) for worker in workers]
    assert [w.returncode for w in workers] == [0, 0], told[0][1][-2000:]
    return [json.loads(out.splitlines()[-1]) for out, _ in told]


def test_data_parallel_processes_have_the_same_zeros(
    name: str, together: list[dict[str, Any]]
) -> None:
    first, second = (found[name]["weights"] for found in together)
    assert first == second
    weights = torch.frombuffer(bytearray.fromhex(first[0]), dtype=torch.float32)
    assert (weights == 0).any()


def test_sharded_weights_are_trained_right_or_refused(
    name: str, together: list[dict[str, Any]]
) -> None:
    for found in together:
        assert found[name]["apart"] < 1e-5
        assert "sharded over several processes" in found[name]["refused"]


def test_sparse_gradients_are_taken_as_dense_ones(name: str) -> None:
    words = torch.randint(0, 30, (16, 5), generator=torch.Generator().manual_seed(0))
    models = []
    for sparse in (True, False):
        torch.manual_seed(0)
        model = nn.Sequential(nn.EmbeddingBag(30, 8, sparse=sparse, mode="mean"), nn.Linear(8, 3))
        optimizer = build(name, list(model.parameters()), penalty="tl1")
        for _ in range(5):
            optimizer.zero_grad()
            functional.cross_entropy(model(words), LABELS[:16]).backward()
            optimizer.step()
        models.append(model)
    assert_same(*models, rtol=1e-5, atol=1e-7)
    assert (models[0][0].weight == 0).any()


def test_a_rate_may_be_a_tensor(name: str) -> None:
    model, plain = network(), network()
    optimizer = build(name, model, lr=torch.tensor(RATES[name], dtype=torch.float64))
    schedule = lr_scheduler.ExponentialLR(optimizer, 0.9)
    train(model, optimizer, 6, schedule.step)
    other = build(name, plain)
    train(plain, other, 6, lr_scheduler.ExponentialLR(other, 0.9).step)
    assert_same(model, plain, rtol=1e-5, atol=1e-7)


def test_hooks_are_called_in_turn(name: str) -> None:
    model = network()
    optimizer = build(name, model)
    told: list[str] = []
    optimizer.register_step_pre_hook(lambda *_: told.append("before"))
    optimizer.register_step_post_hook(lambda *_: told.append(f"after {zeros(model) > 0}"))
    optimizer.register_state_dict_post_hook(lambda *_: told.append("saved"))
    optimizer.register_load_state_dict_post_hook(lambda *_: told.append("loaded"))
    train(model, optimizer, 1)
    optimizer.load_state_dict(optimizer.state_dict())
    assert told[0] == "before"
    assert told[1].startswith("after")
    assert told[2:] == ["saved", "loaded"]


def test_clipping_accumulating_and_averaging_beside_it(name: str) -> None:
    model = network()
    optimizer = build(name, model)
    averaged = torch.optim.swa_utils.AveragedModel(model)
    for _ in range(6):
        optimizer.zero_grad()
        for half in (slice(0, 32), slice(32, 64)):
            (functional.cross_entropy(model(X[half]), LABELS[half]) / 2).backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        averaged.update_parameters(model)
    assert zeros(model) > 0
    assert all(p.isfinite().all() for p in averaged.parameters())
