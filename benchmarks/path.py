"""What a path costs beside one dense run: `python -m benchmarks.path [PROBLEM …]`.

A path of at least eight points on MNIST against a dense run of 20 epochs, one after the other in
this process on one thread, in processor time, with where the path's time goes. The dense start
counts; the dense network's own branch does not, because it is the baseline, whatever the method.
Takes minutes; the data must be there (`tl1bench data`).
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import nn

    from tl1bench.training import Examples
    from tl1bench.training.points import Points

DENSE_EPOCHS = 20
POINTS = 8


@dataclass(frozen=True)
class Case:
    """A network, the settings of its paths, and the limit on path / dense of each penalty.

    γ is so large that a path has little more than the eight points that it must have.
    """

    network: str
    options: dict[str, list[int]]
    lr: float
    a: float
    mu: tuple[float, ...]
    groups: tuple[str, ...]
    layer_weights: tuple[float, ...]
    every: int
    branch_epochs: int
    growth: dict[str, float]
    limits: dict[str, float]


CASES = {
    "mnist-lenet300": Case(
        "mlp",
        {"hidden": [300, 100]},
        lr=1.0,
        a=0.01,
        mu=(0.5, 0.3, 0.1),
        groups=("outgoing",) * 3,
        layer_weights=(1.0,) * 3,
        every=430,
        branch_epochs=2,
        growth={"sparse_group_lasso": 1.15, "integrated_tl1": 1.45, "tl1": 2.1},
        limits={"sparse_group_lasso": 1.0, "integrated_tl1": 1.0, "tl1": 1.0},
    ),
    "mnist-lenet5": Case(
        "lenet5",
        {},
        lr=0.5,
        a=0.1,
        mu=(0.9, 0.9, 0.6, 0.8),
        groups=("incoming", "outgoing", "outgoing", "outgoing"),
        layer_weights=(10.0, 4.0, 1.2, 3.0),
        every=50,
        branch_epochs=5,
        growth={"sparse_group_lasso": 1.25, "integrated_tl1": 1.35, "tl1": 1.5},
        limits={"sparse_group_lasso": 1.0, "integrated_tl1": 1.0, "tl1": 1.6},
    ),
}


def data() -> tuple[Examples, Examples]:
    """Return training and validation examples of MNIST."""
    import torch

    from tl1bench import datasets
    from tl1bench.training import Examples

    mnist = datasets.read("mnist", Path("data"))
    split = datasets.split(mnist, 5000, 0)
    cpu = torch.device("cpu")
    return (
        Examples.of(split.x_train, split.y_train, mnist.scale, cpu),
        Examples.of(split.x_val, split.y_val, mnist.scale, cpu),
    )


def network(case: Case) -> nn.Module:
    """Return the case's network with the initial weights of seed 0."""
    import torch

    from tl1bench import models

    model = models.build(case.network, (1, 28, 28), 10, seed=0, **case.options)
    for parameter in model.parameters():
        if parameter.dim() == 4:
            parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)
    return model


def dense(case: Case, training: Examples) -> float:
    """Return the seconds of a dense run, its epochs being alike: a quarter of them is measured."""
    from tl1bench.training import Augmentation
    from tl1bench.training.epochs import Epochs
    from tl1bench.training.method import plain_optimizer
    from tl1bench.training.skipping import zeros_skipped

    model = network(case).train()
    epochs = Epochs(training, batch=128, augmentation=Augmentation(1))
    optimizer = plain_optimizer(model, case.lr)
    began, measured = time.process_time(), DENSE_EPOCHS // 4
    with zeros_skipped(model, optimizer):  # the layers of a path: what it gains is not theirs
        for _ in range(measured):
            epochs(model, optimizer)
    return (time.process_time() - began) * DENSE_EPOCHS / measured


def walk(case: Case, name: str, training: Examples, validation: Examples) -> Points:
    """Walk one path of penalty `name`."""
    import torch

    from tl1bench import neurons, penalties
    from tl1bench.methods.penalised import Penalised
    from tl1bench.training import Augmentation, error_pct
    from tl1bench.training.epochs import Epochs
    from tl1bench.training.path import Walk
    from tl1bench.training.plan import Plan

    model, inputs = network(case), (training.batch(torch.arange(4))[0],)
    hyper: dict[str, object] = {"a": case.a} if "tl1" in name else {}
    if name in ("sparse_group_lasso", "integrated_tl1"):
        hyper["mu"] = case.mu
    return Walk(
        model,
        Penalised(penalties.load(name, **hyper), layer_weights=case.layer_weights),
        train_epoch=Epochs(training, batch=128, augmentation=Augmentation(1), every=case.every),
        evaluate=lambda model: error_pct(model, validation),
        example_inputs=inputs,
        plan=Plan(
            lr=case.lr,
            growth=case.growth[name],
            epochs=1,
            branch_epochs=case.branch_epochs,
            branch_below=0.1,
            margin=1.5,
        ),
        anatomy=neurons.Anatomy.of(model, inputs, case.groups),
        clock=time.process_time,
    ).points()


def main() -> int:
    """Measure the problems named, or all; return 1 when a limit is exceeded, 2 without data."""
    from tl1bench.errors import DataError
    from tl1bench.training import prepare_process

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("problems", nargs="*", choices=[*CASES, []], default=[])
    parser.add_argument("--penalty", action="append", help="only this one; may be repeated")
    given = parser.parse_args()
    prepare_process(1)
    try:
        training, validation = data()
    except DataError as error:
        say(str(error))
        return 2
    failed = False
    for problem in given.problems or CASES:
        case = CASES[problem]
        whole = dense(case, training)
        say(f"{problem}: {DENSE_EPOCHS} dense epochs take {whole:.0f} s")
        for name, limit in case.limits.items():
            if given.penalty and name not in given.penalty:
                continue
            points = walk(case, name, training, validation)
            parts = {k: s for k, s in points.seconds.items() if k not in ("dense", "dense start")}
            start = points.seconds["dense start"]
            total = sum(parts.values()) + start
            ratio = total / whole
            failed |= ratio > limit or len(points) < POINTS
            say(f"  {name}: {len(points)} points, {total:.0f} s, {ratio:.2f} of dense "
                f"(limit {limit:g})")  # fmt: skip
            say("    " + ", ".join(f"{k} {s:.0f} s" for k, s in {"start": start, **parts}.items()))
            small = points.pick(within=1.0, by="nonzero_weights")
            say(f"    dense {points.dense_error:.2f} %, smallest within a point: "
                f"{small.nonzero_weights:,} non-zeros, {small.macs:,} MACs at {small.error:.2f} % "
                "(validation)")  # fmt: skip
    return int(failed)


def say(line: str) -> None:
    """Print at once."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
