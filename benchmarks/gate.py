"""Is our code slower than it was? Ratios to a reference that runs beside it, against recorded ones.

`python -m benchmarks.gate` ends with status 1 where a ratio exceeds that in `gate.json` by more
than its margin; `--write` records the ratios of now. Both sides of a ratio run in turn in one
process, and each counts as the least CPU time of any of its rounds: what else runs on the machine
lengthens a round now and then, but hardly the best one, and both sides alike. A ratio that is too
high is measured again; a regression stays.

Ratios are recorded by processor. On one that is not recorded the highest recorded ratio counts and
the margin is squared, since ratios carry over only roughly.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks._networks import assert_same, dense, example, half_dead, one_thread
from benchmarks.startup import children_seconds
from tl1bench import files
from tl1bench.measuring import machine

RECORDED = Path(__file__).with_suffix(".json")
ATTEMPTS = 3
WEIGHTS = 1 << 16

Work = Callable[[], Any]


@dataclass(frozen=True)
class Pair:
    """Our work and what it is held against; `margin` is the factor by which it may get slower.

    A slowdown of three must show and a noisy machine must not: 1.7 is near the geometric middle.
    Where the reference is most of the work, less than that is a slowdown of our share.
    """

    ours: Work
    reference: Work
    margin: float = 1.7
    calls: int = 1
    rounds: int = 5
    clock: Callable[[], float] = time.thread_time


@contextmanager
def _compile_mode(mode: str) -> Iterator[None]:
    before = os.environ.get("TL1BENCH_COMPILE")
    os.environ["TL1BENCH_COMPILE"] = mode
    try:
        yield
    finally:
        del os.environ["TL1BENCH_COMPILE"]
        if before is not None:
            os.environ["TL1BENCH_COMPILE"] = before


def _prox(name: str, mode: str) -> Pair:
    """Hold a prox against torch's soft threshold on as many weights, both in cache."""
    import torch

    from tl1bench import penalties
    from tl1bench.errors import ConfigError

    one_thread()
    z = torch.randn(WEIGHTS // 64, 64, generator=torch.Generator().manual_seed(0)) * 0.05
    penalty = penalties.load(name, lam=0.1)

    def ours() -> torch.Tensor:
        with _compile_mode(mode):
            return penalty.prox(z, 0.01)

    try:
        x = ours()
    except ConfigError as error:
        raise NotImplementedError(str(error)) from error
    torch.testing.assert_close(x, penalty.prox(z.double(), 0.01).float(), rtol=1e-4, atol=1e-7)
    return Pair(ours, lambda: torch.nn.functional.softshrink(z, 0.01), calls=20, rounds=40)


def _step() -> Pair:
    """Hold the whole optimiser step against torch.optim.SGD's on the same network."""
    import torch

    from tl1bench import ProximalSGD, penalties

    steps = []
    for ours in (True, False):
        model, x = dense("mlp"), example("mlp")
        torch.nn.functional.cross_entropy(model(x), torch.arange(len(x))).backward()
        penalty = penalties.load("integrated_tl1", lam=1e-6)
        optimizer: torch.optim.Optimizer = (
            ProximalSGD(model, penalty, lr=0.1, momentum=0.9, example_inputs=x)
            if ours
            else torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, foreach=True)
        )
        steps.append(optimizer.step)
    return Pair(*steps, calls=10, rounds=40)


def _traced(work: str) -> Pair:
    """Hold what starts with torch.export.export against that alone, on LeNet-5, half of it dead."""
    import torch

    from tl1bench import compact, export_onnx, neurons

    model, x = half_dead("lenet5"), example("lenet5")
    small = compact(model, x)
    assert_same(small.model, model, x)
    assert small.report.weights_after < small.report.weights_before / 2
    shapes = ({0: torch.export.Dim("batch")},)
    ours: Mapping[str, Work] = {
        "compact": lambda: compact(model, x),
        "groups": lambda: neurons.Anatomy.of(model, x, "outgoing"),
        "onnx": lambda: export_onnx(model, x, os.devnull, writer="direct"),
    }
    return Pair(
        ours[work], lambda: torch.export.export(model, (x,), dynamic_shapes=shapes), margin=1.4
    )


def _process(*arguments: str) -> Pair:
    """Hold a fresh process against an empty one."""

    def run(*command: str) -> None:
        subprocess.run([sys.executable, *command], check=True, capture_output=True)

    return Pair(
        lambda: run(*arguments),
        lambda: run("-c", "pass"),
        margin=1.4,
        rounds=10,
        clock=children_seconds,
    )


PAIRS: Mapping[str, Callable[[], Pair]] = {
    "prox tl1 / softshrink": lambda: _prox("tl1", "always"),
    "prox tl1 without a compiler / softshrink": lambda: _prox("tl1", "never"),
    "prox integrated_tl1 / softshrink": lambda: _prox("integrated_tl1", "always"),
    "prox group_lasso / softshrink": lambda: _prox("group_lasso", "always"),
    "optimiser step / torch.optim.SGD": _step,
    "groups / torch.export": lambda: _traced("groups"),
    "compact / torch.export": lambda: _traced("compact"),
    "export_onnx / torch.export": lambda: _traced("onnx"),
    "import tl1bench / python": lambda: _process("-c", "import tl1bench"),
    "tl1bench --help / python": lambda: _process("-m", "tl1bench", "--help"),
}


def ratio(pair: Pair) -> float:
    """Return the least CPU time of our rounds / that of the reference's, taken in turn."""
    least = [float("inf"), float("inf")]
    for work in (pair.ours, pair.reference):
        work()
    for _ in range(pair.rounds):
        for side, work in enumerate((pair.ours, pair.reference)):
            began = pair.clock()
            for _ in range(pair.calls):
                work()
            least[side] = min(least[side], pair.clock() - began)
    return least[0] / least[1]


def limits(recorded: Mapping[str, Mapping[str, float]], cpu: str) -> dict[str, tuple[float, int]]:
    """Return for each name the ratio to hold to on `cpu` and the power of its margin."""
    if cpu in recorded:
        return {name: (before, 1) for name, before in recorded[cpu].items()}
    return {
        name: (max(ratios[name] for ratios in recorded.values() if name in ratios), 2)
        for name in sorted(set().union(*recorded.values()))
    }


def slower(recorded: Mapping[str, tuple[float, int]]) -> list[str]:
    """Print each ratio beside what it may be; return the names of those that are too high."""
    found = []
    for name, (before, power) in recorded.items():
        try:
            pair = PAIRS[name]()
        except NotImplementedError as reason:
            sys.stdout.write(f"{name:42} not measured: {reason}\n")
            continue
        limit = before * pair.margin**power
        now = ratio(pair)
        for _ in range(ATTEMPTS - 1):
            now = now if now <= limit else min(now, ratio(pair))
        verdict = "ok" if now <= limit else "SLOWER"
        sys.stdout.write(f"{name:42} {now:7.2f}  (at most {limit:7.2f})  {verdict}\n")
        found += [name] if now > limit else []
    return found


class Gate:
    """The gate's ratios, tracked."""

    params = (list(PAIRS),)
    param_names = ("ratio",)
    version = "1"
    unit = "ratio"
    timeout = 120

    def setup(self, name: str) -> None:
        self.pair = PAIRS[name]()

    def track_ratio(self, name: str) -> float:  # noqa: ARG002
        return ratio(self.pair)


def main(arguments: Sequence[str] | None = None) -> int:
    """Check the ratios, or record them; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help="record the ratios of now")
    parser.add_argument("--only", default="", help="the ratios whose names contain this")
    parser.add_argument("--file", type=Path, default=RECORDED, help="where they are recorded")
    chosen = parser.parse_args(arguments)
    cpu = machine.record()["cpu"]
    recorded = files.read_json(chosen.file) if chosen.file.is_file() else {}
    if chosen.write:
        names = [name for name in PAIRS if chosen.only in name]
        measured = {name: round(ratio(PAIRS[name]()), 3) for name in names}
        files.write_json(chosen.file, {**recorded, cpu: measured})
        return 0
    if cpu not in recorded:
        sys.stdout.write(f"{cpu} is not recorded: margins are squared.\n")
    held = {n: limit for n, limit in limits(recorded, cpu).items() if chosen.only in n}
    return 1 if slower(held) else 0


if __name__ == "__main__":
    raise SystemExit(main())
