"""How much is measured: the two modes, and what one process does for its share of them."""

from __future__ import annotations

import math
from dataclasses import dataclass

from tl1bench.errors import MeasurementError
from tl1bench.runtime.timing import Plan


@dataclass(frozen=True)
class Mode:
    """What each model gets over all processes together, and what limits it."""

    calls: int  # at least so many timed calls a model
    seconds: float  # at least so long running a model
    budget_s: float  # rounds of one process, all models; more if `seconds` asks for more
    rounds: int  # at most so many rounds a process, unless `calls` asks for more


MODES = {
    "quick": Mode(calls=128, seconds=0.0, budget_s=0.6, rounds=64),
    "full": Mode(calls=1024, seconds=10.0, budget_s=0.0, rounds=128),
}


def make_plan(mode: str, models: int, processes: int, threads: int) -> Plan:
    """Return one process's share of a mode.

    With more than one thread each burst begins with 5 ms of untimed calls: the threads of the model
    before spin on for some milliseconds and would take the cores.

    Parameters
    ----------
    mode
        A key of `MODES`.
    models, processes, threads
        How many there are at the setting.

    Returns
    -------
    Plan
        For one process and one setting.

    Raises
    ------
    MeasurementError
        There is no such mode.
    """
    if mode not in MODES:
        raise MeasurementError(f"No mode {mode!r}: choose one of {', '.join(MODES)}.")
    chosen = MODES[mode]
    share_s = chosen.seconds / processes
    least = math.ceil(chosen.calls / (processes * Plan.calls))
    return Plan(
        rounds_min=least,
        rounds_max=max(least, chosen.rounds),
        budget_s=max(chosen.budget_s, share_s * models),
        share_s=share_s,
        settle_s=0.005 if threads > 1 else 0.0,
    )
