"""What a penalty costs, as ratios to what torch does anyway: `python -m benchmarks.cost`.

Every ratio is taken in one process on one thread: contestants take turns within a round, and the
median over rounds of contestant / reference is told, so that a machine that slows down slows both.
Time is the processor's, which on an idle machine is the wall's: neighbours cost nothing.
torchao's pruning-aware training and torch-pruning are measured beside ours where they can be
imported; nothing here needs them.
"""

from __future__ import annotations

import functools
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

Run: TypeAlias = Callable[[], Any]

NETWORKS: Mapping[str, tuple[str, tuple[int, ...]]] = {
    "lenet300": ("mlp", (1, 28, 28)),
    "lenet5": ("lenet5", (1, 28, 28)),
    "resnet18": ("torchvision/resnet18", (3, 32, 32)),
}
PENALTIES = ("l1", "group_lasso", "tl1", "sparse_group_lasso", "integrated_tl1")
STEP_LIMIT = {"lenet300": 4.0, "lenet5": 4.0, "resnet18": 1.5}
TRAINING_LIMIT = {"lenet300": 1.15, "lenet5": 1.05, "resnet18": 1.05}
SOFTSHRINK_LIMIT, COPY_LIMIT = 2.0, 8.0
COMPILE_LIMIT_S = 15.0
BATCH = 128
WEIGHTS = 11_000_000
LAM = 3e-4
LR = 0.1
ADAM_LR = 1e-3
RIVALS = {"torchao": "torchao PAT, group lasso", "torch_pruning": "torch-pruning, group norm"}

_FIRST_STEP = """
import time, torch
from tl1bench import ProximalSGD, models, penalties
x = torch.rand(2, 1, 28, 28)
model = models.build("lenet5", (1, 28, 28), 10, seed=0)
model(x).sum().backward()
optimizer = ProximalSGD(model, penalties.load("integrated_tl1"), lr=0.1, example_inputs=x)
began = time.perf_counter()
optimizer.step()
print(time.perf_counter() - began)
"""


def prepare() -> None:
    """Put torch on one thread, with denormals at zero as in training."""
    import torch

    torch.set_num_threads(1)
    torch.set_flush_denormal(True)


def ratios(contestants: Mapping[str, Run], rounds: int, repeats: int) -> dict[str, float]:
    """Return the median over rounds of each contestant's time over that of the first."""
    taken: dict[str, list[float]] = {name: [] for name in contestants}
    for turn in range(rounds + 1):
        for name, run in contestants.items():
            began = time.process_time()
            for _ in range(repeats):
                run()
            if turn:  # the first round warms up
                taken[name].append(time.process_time() - began)
    reference = next(iter(taken.values()))
    return {
        name: statistics.median(a / b for a, b in zip(own, reference, strict=True))
        for name, own in taken.items()
    }


def optimizer_steps(network: str, penalty: str, rivals: tuple[str, ...] = ()) -> dict[str, float]:
    """Return each contestant's whole optimiser step over torch's SGD step."""
    steps: dict[str, Run] = {}
    for name in ("SGD", penalty, *rivals):
        model, x, y = _fresh(network)
        steps[name] = _stepper(name, model, x)
        _differentiate(model, x, y)
    return ratios(steps, *((21, 2) if network == "resnet18" else (41, 20)))


def adam_step(network: str, penalty: str) -> float:
    """Return the whole step of ProximalAdam over torch's Adam step."""
    import torch

    from tl1bench import ProximalAdam, penalties

    steps: dict[str, Run] = {}
    for name in ("Adam", penalty):
        model, x, y = _fresh(network)
        optimizer: torch.optim.Optimizer = (
            torch.optim.Adam(model.parameters(), lr=ADAM_LR, foreach=True)
            if name == "Adam"
            else ProximalAdam(
                model, penalties.load(name, lam=LAM), lr=ADAM_LR, example_inputs=x[:2]
            )
        )
        steps[name] = optimizer.step
        _differentiate(model, x, y)
    return ratios(steps, *((11, 1) if network == "resnet18" else (21, 10)))[penalty]


def training_steps(network: str, penalty: str, rivals: tuple[str, ...] = ()) -> dict[str, float]:
    """Return each contestant's forward, backward and step over the same with torch's SGD."""
    steps: dict[str, Run] = {}
    for name in ("SGD", penalty, *rivals):
        model, x, y = _fresh(network)
        steps[name] = functools.partial(_train, model, x, y, _stepper(name, model, x))
    return ratios(steps, *{"lenet300": (61, 5), "lenet5": (41, 1), "resnet18": (15, 1)}[network])


def prox_alone(penalty: str) -> tuple[float, float]:
    """Return the in-place prox of `WEIGHTS` weights over torch's softshrink and over a copy."""
    import torch

    from tl1bench import penalties

    z = 0.05 * torch.randn(WEIGHTS, generator=torch.Generator().manual_seed(0))
    own, copied, shrunk = z.clone(), torch.empty_like(z), torch.empty_like(z)
    prox = penalties.load(penalty, lam=LAM)
    assert isinstance(prox, penalties.Elementwise)
    few = z[:1000].clone()
    torch.testing.assert_close(prox.prox_(few, LR).double(), prox.prox(z[:1000].double(), LR))

    def ours() -> None:
        prox.prox_(own, LR)

    def softshrink() -> None:
        torch.ops.aten.softshrink.out(z, LAM * LR, out=shrunk)

    def copy() -> None:
        copied.copy_(z)

    rounds = 21, 2
    return (
        ratios({"softshrink": softshrink, penalty: ours}, *rounds)[penalty],
        ratios({"copy": copy, penalty: ours}, *rounds)[penalty],
    )


def first_step_seconds() -> tuple[float, float]:
    """Return the first step of a process: with an empty cache of kernels, and with a full one."""
    with tempfile.TemporaryDirectory() as cache:
        found = [
            subprocess.run(
                [sys.executable, "-c", _FIRST_STEP],
                env={**os.environ, "TL1BENCH_CACHE": cache},
                check=True,
                capture_output=True,
                text=True,
            ).stdout
            for _ in range(2)
        ]
    return float(found[0]), float(found[1])


def assert_right(network: str, penalty: str) -> None:
    """Fail unless a step is a gradient step and then the prox of gathered groups and weights."""
    import torch

    from tl1bench import neurons, penalties

    model, x, y = _fresh(network)
    step = _stepper(penalty, model, x)
    _differentiate(model, x, y)
    parameters = dict(model.named_parameters())
    expected = {
        name: p.detach() - LR * 0.1 * p.grad  # the first averaged velocity is (1 − m) g
        for name, p in parameters.items()
        if p.grad is not None
    }
    whole = penalties.load(penalty, lam=LAM)
    names, blocks = neurons.weight_layers(model), neurons.groups(model, x[:2])
    of_layer = [whole.at_layer(i, len(names)).composition() for i in range(len(names))]
    for turn, stage in enumerate(of_layer[0]):
        if stage.elementwise:
            for name, stages in zip(names, of_layer, strict=True):
                expected[name] = stages[turn].prox(expected[name], LR)
        else:
            for block in blocks:
                z = block.gather(expected)
                block.scatter_(expected, of_layer[block.layer][turn].prox(z, LR))
    step()
    for name, p in parameters.items():
        torch.testing.assert_close(p.detach(), expected[name], rtol=1e-5, atol=1e-6)


def installed() -> tuple[str, ...]:
    """Return the rivals that can be imported."""
    return tuple(name for name in RIVALS if find_spec(name))


def _fresh(network: str) -> tuple[nn.Module, Tensor, Tensor]:
    """Return a network of `NETWORKS`, and a batch of inputs and labels for it."""
    import torch

    from tl1bench import models

    name, shape = NETWORKS[network]
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(BATCH, *shape, generator=generator)
    y = torch.randint(0, 10, (BATCH,), generator=generator)
    return models.build(name, shape, 10, seed=0), x, y


def _differentiate(model: nn.Module, x: Tensor, y: Tensor) -> None:
    import torch

    torch.nn.functional.cross_entropy(model(x), y).backward()


def _train(model: nn.Module, x: Tensor, y: Tensor, step: Run) -> None:
    model.zero_grad()
    _differentiate(model, x, y)
    step()


def _stepper(name: str, model: nn.Module, x: Tensor) -> Run:
    """Return the whole optimiser step of contestant `name`, gradients being there."""
    from tl1bench import ProximalSGD, penalties

    if name == "SGD":
        return _sgd(model.parameters()).step
    if name == "torchao":
        return _torchao(model)
    if name == "torch_pruning":
        return _torch_pruning(model, x)
    return ProximalSGD(model, penalties.load(name, lam=LAM), lr=LR, example_inputs=x[:2]).step


def _sgd(parameters: Any) -> torch.optim.Optimizer:
    """Return the reference: torch's fastest SGD with momentum on a CPU."""
    import torch

    return torch.optim.SGD(parameters, lr=LR, momentum=0.9, foreach=True)


def _torchao(model: nn.Module) -> Run:
    """Group lasso on filters and columns by torchao's optimiser around torch's SGD."""
    from torchao.prototype.pat.optim import PruneOptimizer

    from tl1bench import neurons

    sides: dict[str | None, list[Tensor]] = {None: [], "Dim0Grouper": [], "Dim1Grouper": []}
    penalised = set(neurons.weight_layers(model))
    for name, p in model.named_parameters():
        side = "Dim1Grouper" if p.dim() == 2 else "Dim0Grouper"
        sides[side if name in penalised else None].append(p)
    plain = {"params": sides.pop(None)}
    pruned = [
        {"params": params, "prox_type": "ProxGroupLasso", "group_type": side}
        for side, params in sides.items()
        if params
    ]
    optimizer: torch.optim.Optimizer = PruneOptimizer(_sgd([plain, *pruned]), reg_lambda=LAM)
    return optimizer.step


def _torch_pruning(model: nn.Module, x: Tensor) -> Run:
    """Add torch-pruning's group-norm regulariser to the gradients, then step as torch's SGD."""
    import torch_pruning

    pruner = torch_pruning.pruner.GroupNormPruner(
        model, x[:2], importance=torch_pruning.importance.GroupMagnitudeImportance(), reg=LAM
    )
    pruner.update_regularizer()
    sgd = _sgd(model.parameters())

    def step() -> None:
        pruner.regularize(model)
        sgd.step()

    return step


def _rows() -> Iterator[tuple[str, str, str, float, float | None]]:
    """Yield what is measured: subject, on what, by whom, the number and its limit."""
    for network in NETWORKS:
        for penalty in PENALTIES:
            assert_right(network, penalty)
            rivals = installed() if penalty == PENALTIES[-1] else ()
            for name, ratio in list(optimizer_steps(network, penalty, rivals).items())[1:]:
                limit = STEP_LIMIT[network] if name == penalty else None
                yield "optimizer step / SGD step", network, RIVALS.get(name, name), ratio, limit
    for network in NETWORKS:
        ratio = adam_step(network, PENALTIES[-1])
        yield "ProximalAdam / Adam step", network, PENALTIES[-1], ratio, None
    for network in NETWORKS:
        found = training_steps(network, PENALTIES[-1], installed())
        for name, ratio in list(found.items())[1:]:
            limit = TRAINING_LIMIT[network] if name in PENALTIES else None
            subject = "training step / with SGD"
            yield subject, f"{network}, batch {BATCH}", RIVALS.get(name, name), ratio, limit
    for penalty in ("l1", "tl1"):
        softshrink, copy = prox_alone(penalty)
        yield "prox / softshrink", f"{WEIGHTS:,} weights", penalty, softshrink, SOFTSHRINK_LIMIT
        yield "prox / copy", f"{WEIGHTS:,} weights", penalty, copy, COPY_LIMIT
    for when, seconds in zip(("cold", "kept"), first_step_seconds(), strict=True):
        subject = "seconds of a first step"
        yield subject, f"lenet5, {when} kernels", "integrated_tl1", seconds, COMPILE_LIMIT_S


def main() -> None:
    """Print the table, row by row as it is measured."""
    prepare()
    for subject, where, who, number, limit in _rows():
        verdict = (
            "" if limit is None else f"  at most {limit:<5g} {'yes' if number <= limit else 'NO'}"
        )
        sys.stdout.write(f"{subject:26} {where:22} {who:26} {number:7.3f}{verdict}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
