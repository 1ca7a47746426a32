"""The timing loop: interleaved, shuffled rounds of short bursts. Knows nothing of onnxruntime."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Call = Callable[[], object]
Clock = Callable[[], int]


@dataclass(frozen=True)
class Plan:
    """How one process times its models; every model gets the same number of rounds.

    A process makes one first call and `warmup` more of each model, then between `rounds_min` and
    `rounds_max` rounds: as many as fit into `budget_s` for all models together. In a round a model
    makes at least `settle` untimed calls (the model before it had the caches) lasting at least
    `settle_s`, then a burst of `calls` timed ones between two probes. With `share_s` the untimed
    part is stretched so that each model runs that long in this process, its timed calls spread
    over that time.

    A probe is the fastest of `probes` calls of one tiny model, always the same. It costs almost
    nothing and slows down with the machine: it tells at which bursts something else was going on.
    """

    rounds_min: int
    rounds_max: int
    budget_s: float
    share_s: float = 0.0
    calls: int = 8
    settle: int = 2
    settle_s: float = 0.0
    warmup: int = 50
    probes: int = 5

    def rounds(self, cost_s: Sequence[float]) -> int:
        """Return the number of rounds for models that cost `cost_s` seconds a call."""
        a_round = sum(max(self.settle * c, self.settle_s) + self.calls * c for c in cost_s)
        fitting = int(self.budget_s / a_round) if a_round > 0 else self.rounds_max
        return min(self.rounds_max, max(self.rounds_min, fitting))


@dataclass(frozen=True, eq=False)
class Timing:
    """First calls (model,), timed calls (model, round, call) and probes, in nanoseconds.

    `probe_ns` (model, round) is the slower of the two probes around each burst.
    """

    first_ns: NDArray[np.int64]
    samples_ns: NDArray[np.int64]
    probe_ns: NDArray[np.int64]


def time_models(
    calls: Sequence[Call],
    probe: Call,
    plan: Plan,
    rng: np.random.Generator,
    clock: Clock = time.perf_counter_ns,
) -> Timing:
    """Time `calls` interleaved: every round visits all of them, in an order drawn from `rng`.

    The garbage collector is off meanwhile.

    Parameters
    ----------
    calls
        One inference of each model.
    probe
        One of the tiny model; called around each burst.
    plan
        How many rounds and calls.
    rng
        Of the rounds' order.
    clock
        Counts nanoseconds.

    Returns
    -------
    Timing
        Models in the order of `calls`.
    """
    collecting = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        first_ns, cost_s = _warm_up(calls, plan.warmup, clock)
        rounds = plan.rounds(cost_s)
        settle_ns = int(1e9 * max(plan.settle_s, plan.share_s / rounds))
        samples_ns = np.zeros((len(calls), rounds, plan.calls), dtype=np.int64)
        probe_ns = np.zeros((len(calls), rounds), dtype=np.int64)
        for turn in range(rounds):
            for model in rng.permutation(len(calls)):
                call, row = calls[model], samples_ns[model, turn]
                _settle(call, plan.settle, settle_ns, clock)
                before = _fastest(probe, plan.probes, clock)
                for k in range(plan.calls):
                    start = clock()
                    call()
                    row[k] = clock() - start
                probe_ns[model, turn] = max(before, _fastest(probe, plan.probes, clock))
    finally:
        if collecting:
            gc.enable()
    return Timing(np.array(first_ns, dtype=np.int64), samples_ns, probe_ns)


def _warm_up(calls: Sequence[Call], count: int, clock: Clock) -> tuple[list[int], list[float]]:
    first_ns, cost_s = [], []
    for call in calls:
        start = clock()
        call()
        warm = clock()
        for _ in range(count):
            call()
        first_ns.append(warm - start)
        cost_s.append((clock() - warm) / count / 1e9)
    return first_ns, cost_s


def _settle(call: Call, count: int, duration_ns: int, clock: Clock) -> None:
    end = clock() + duration_ns
    for _ in range(count):
        call()
    while clock() < end:
        call()


def _fastest(call: Call, count: int, clock: Clock) -> int:
    # The first calls find the caches full of another network: only the fastest tells the state.
    spent = []
    for _ in range(count):
        start = clock()
        call()
        spent.append(clock() - start)
    return min(spent)
