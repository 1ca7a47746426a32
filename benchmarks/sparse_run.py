"""What training sparse costs beside training dense: `python -m benchmarks.sparse_run`.

LeNet-5 on MNIST: the same number of epochs, batches, order of examples and initial weights; the
sparse run compacts itself as it goes. Both run one after the other in this process on one thread.
Time is the processor's, which on an idle machine is the wall's, and leaves out reading the
validation split. Takes minutes; the data must be there (`tl1bench data`).
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from tl1bench.config import Budget

if TYPE_CHECKING:
    from tl1bench import datasets
    from tl1bench.penalties import Penalty

SIDES = ("incoming", "outgoing", "outgoing", "outgoing")
LAYER_WEIGHTS = (3.0, 2.0, 1.0, 1.0)
VALIDATION = 5000
LIMIT = 0.3


def budget(epochs: float, shrink_every: int) -> Budget:
    """Return the schedule of both runs: half of the epochs penalised, half debiasing."""
    return Budget(
        batch=128,
        epochs=epochs / 2,
        debias_epochs=epochs / 2,
        lr=0.5,
        debias_lr=0.3,
        hold=0.6,
        ramp=0.02,
        shrink_every=shrink_every,
        curve_points=12,
    )


def run(penalty: Penalty, plan: Budget, split: datasets.Split, scale: float) -> float:
    """Train, print the curve and the test error, and return the seconds that training took."""
    import torch

    from tl1bench import models, neurons, training
    from tl1bench.optimizers import ProximalSGD

    model = models.build("lenet5", (1, 28, 28), 10, seed=0)
    cpu = torch.device("cpu")
    trained = training.train(
        model,
        lambda network, found: ProximalSGD(
            network, penalty, lr=plan.lr, groups=found.groups, layer_weights=LAYER_WEIGHTS
        ),
        neurons.Anatomy.of(model, torch.zeros(2, 1, 28, 28), SIDES),
        training.Examples.of(split.x_train, split.y_train, scale, cpu),
        training.Examples.of(split.x_val, split.y_val, scale, cpu),
        plan,
        seed=0,
        clock=time.process_time,
    )
    for row in trained.history:
        say(
            f"  {row['phase']:6} epoch {row['epoch']:5.2f}  {row['seconds']:7.2f} s  "
            f"validation error {row['val_error_pct']:5.2f} %  {row['nonzero_weights']:7,} weights"
        )
    whole = models.build("lenet5", (1, 28, 28), 10, seed=0)
    whole.load_state_dict(trained.state)
    test = training.Examples.of(split.x_test, split.y_test, scale, cpu)
    say(f"  test error {training.error_pct(whole, test):.2f} %, {trained.seconds:.1f} s")
    return trained.seconds


def say(line: str) -> None:
    """Print at once."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def main() -> None:
    """Run both and print the ratio."""
    from tl1bench import datasets, penalties, training

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path("data"))
    parser.add_argument("--epochs", type=float, default=12)
    parser.add_argument("--shrink-every", type=int, default=10)
    parser.add_argument("--only", choices=("dense", "sparse"))
    chosen = parser.parse_args()
    training.prepare_process()
    whole = datasets.read("mnist", chosen.data)
    split = datasets.split(whole, VALIDATION, seed=0)
    sparse = penalties.load("integrated_tl1", lam=2.5e-4, a=0.1, mu=[0.9, 0.9, 0.6, 0.6])
    dense = penalties.load("l2", lam=1e-4)
    seconds = {}
    for name, penalty, every in (("sparse", sparse, chosen.shrink_every), ("dense", dense, 0)):
        if chosen.only in (None, name):
            say(f"{name}:")
            seconds[name] = run(penalty, budget(chosen.epochs, every), split, whole.scale)
    if len(seconds) == 2:
        ratio = seconds["sparse"] / seconds["dense"]
        say(f"sparse / dense = {ratio:.3f}, at most {LIMIT}: {'yes' if ratio <= LIMIT else 'NO'}")


if __name__ == "__main__":
    main()
