"""From timed calls to numbers: which calls count, each process by itself, all of them together."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from tl1bench.results import FLOOR
from tl1bench.results.statistics import Interval, bca

KEY = ["model", "batch", "threads"]
# A burst was disturbed when the probe took this much longer than the tenth fastest in a hundred.
DISTURBED = 1.25
PROBE_LEVEL = 0.1
# A process's number of a model rests on at least so many calls, a ratio on so many processes.
LEAST_CALLS, LEAST_PROCESSES = 16, 3
UNKNOWN = Interval(math.nan, math.nan, math.nan, 0)
QUANTILES = {"p50_us": 0.5, "p90_us": 0.9, "p99_us": 0.99}


def undisturbed(samples: pd.DataFrame) -> NDArray[np.bool_]:
    """Return which calls were made while nothing else slowed the machine down.

    The probes around a burst must stay within 25 % of their fast level (the tenth percentile) at
    that batch and thread count. It is a statement about the machine: the networks' own times take
    no part in it. Seen with a neighbour on the host: a small network took 1.6 times as long, a
    large one 1.2 times, and their ratio was off by a quarter.

    A process in which a model has fewer than 16 such calls says nothing about it: those calls do
    not count either. A model that fewer than three processes would speak for has all its calls
    counted, as nothing better is there.
    """
    probes = samples["probe_ns"]
    setting = samples.groupby(["batch", "threads"])["probe_ns"]
    level = setting.transform("quantile", PROBE_LEVEL)
    quiet = probes <= DISTURBED * level
    samples = samples.assign(quiet=quiet)
    own = samples.groupby([*KEY, "process"], observed=True)["quiet"]
    quiet &= own.transform("sum") >= LEAST_CALLS
    speaking = samples["process"].where(quiet)
    model = samples.assign(process=speaking).groupby(KEY, observed=True)["process"]
    every = samples.groupby(KEY, observed=True)["process"].transform("nunique")
    enough = model.transform("nunique") >= np.minimum(every, LEAST_PROCESSES)
    return (quiet | ~enough).to_numpy()


def by_process(samples: pd.DataFrame, first: pd.DataFrame, baseline: str) -> pd.DataFrame:
    """Summarise every process by itself.

    Parameters
    ----------
    samples, first
        Timed calls, with `quiet`, and first ones: model, batch, threads, process and ns.
    baseline
        The model that ratios refer to.

    Returns
    -------
    DataFrame
        model, batch, threads, process, first_us, p50_us (of quiet calls), ratio_p50 and calls.
        Where a process has no quiet calls of the model or of the baseline, its ratio is unknown.
    """
    key = [*KEY, "process"]
    quiet = samples[samples["quiet"]].groupby(key, observed=True)["ns"]
    calls = samples.groupby(key, observed=True).size()
    table = pd.DataFrame(
        {"p50_us": quiet.apply(lambda ns: nearest_rank_us(ns, 0.5)), "calls": calls}
    ).reset_index()
    table = table.astype({"model": str}).merge(first, on=key, validate="1:1")
    reference = table[table["model"] == baseline].set_index(key[1:])["p50_us"].rename("reference")
    table = table.join(reference, on=key[1:])
    return table.assign(first_us=table["ns"] / 1e3, ratio_p50=table["p50_us"] / table["reference"])[
        [*key, "first_us", "p50_us", "ratio_p50", "calls"]
    ]


def summarize(samples: pd.DataFrame, per_process: pd.DataFrame, seed: int) -> pd.DataFrame:
    """Summarise every model and setting over the processes.

    Parameters
    ----------
    samples
        Timed calls, with `quiet`; models are a category.
    per_process
        What `by_process` made of them.
    seed
        Of the intervals' resampling.

    Returns
    -------
    DataFrame
        The latency columns of `Measurement.table`, models in the order of the category.
    """
    processes = per_process.groupby(KEY)
    rows = []
    for at, calls in samples.groupby(KEY, observed=True):
        own, ns = processes.get_group(at), calls["ns"][calls["quiet"]]
        ratios = own["ratio_p50"].dropna()
        log_ratio = bca(np.log(ratios), seed=seed) if len(ratios) else UNKNOWN
        rows.append(
            {
                **dict(zip(KEY, at, strict=True)),
                "first_us": own["first_us"].median(),
                "min_us": ns.min() / 1e3,
                **{name: nearest_rank_us(ns, q) for name, q in QUANTILES.items()},
                "ratio_p50": math.exp(log_ratio.estimate),
                "ratio_low": math.exp(log_ratio.low),
                "ratio_high": math.exp(log_ratio.high),
                "calls": len(calls),
                "quiet_pct": 100 * len(ns) / len(calls),
                "processes": len(ratios),
            }
        )
    table = pd.DataFrame(rows)
    floor = table[table["model"] == FLOOR].set_index(KEY[1:])["p50_us"].rename("floor_us")
    return table.join(floor, on=KEY[1:])


def nearest_rank_us(ns: ArrayLike, quantile: float) -> float:
    """Return the ⌈q n⌉-th smallest of `ns` in µs: always a value that occurred."""
    return float(np.quantile(np.asarray(ns), quantile, method="inverted_cdf")) / 1e3
