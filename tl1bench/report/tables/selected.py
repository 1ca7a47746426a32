"""The selected operating points of every method: one table a problem."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pandas as pd

from tl1bench.report.typeset import Table
from tl1bench.results import DENSE
from tl1bench.results.comparison import summary
from tl1bench.results.evidence import Evidence
from tl1bench.results.points import measured_points
from tl1bench.results.printed import NOTHING, between, count, known, number, signed, spread


def make(table: pd.DataFrame, evidence: Evidence) -> tuple[Table, ...]:
    """Return the selected operating point of every method, a table a problem; bold is best."""
    return tuple(_of_problem(table, problem, evidence) for problem in evidence.problems)


def _of_problem(table: pd.DataFrame, problem: str, evidence: Evidence) -> Table:
    chosen = table[(table["problem"] == problem) & table["selected"]]
    frame = _frame(chosen, problem, evidence)
    task, rows, ranks = evidence.task(problem), [], []
    for r in frame.to_dict("records"):
        delta = between(r["delta_pct"], r["delta_low_pct"], r["delta_high_pct"], signed)
        speed = between(r["speed_up"], r["speed_up_low"], r["speed_up_high"], number)
        shown: dict[str, tuple[str, float]] = {
            "method": (evidence.name(problem, r["method"]), math.nan),
            "λ or share": (known(r["lam"]), math.nan),
            evidence.axis_label("test_error", problem): (
                spread(r["test_error_pct"], r["test_error_sd_pct"]),
                r["test_error_pct"],
            ),
            **{head: (known(r[c]), math.nan) for c, head in task.columns.items()},
            "Δ to dense [points]": (NOTHING if r["method"] == DENSE else delta, math.nan),
            "non-zero weights": (count(r["nonzero_weights"]), r["nonzero_weights"]),
            "weights": (count(r["weights_compact"]), r["weights_compact"]),
            "compression [×]": (known(r["compression"]), -r["compression"]),
            "MACs": (count(r["macs_compact"]), r["macs_compact"]),
            "architecture": (r["architecture"] or NOTHING, math.nan),
            "ONNX [kB]": (known(r["onnx_kb"]), r["onnx_kb"]),
            "p50 [µs]": (known(r["p50_us"]), r["p50_us"]),
            "speed-up [×]": (speed, -r["speed_up"]),
            "training [s]": (known(r["train_seconds"]), r["train_seconds"]),
        }
        rows.append(tuple(text for text, _ in shown.values()))
        able = evidence.learned(problem) and (problem, r["method"]) not in evidence.guesses
        ranks.append(tuple(rank if able else math.nan for _, rank in shown.values()))
        header = tuple(shown)
    seeds = sorted(set(frame["seeds"]))
    return Table(
        name=problem,
        title=f"{problem}: {_what(evidence.learned(problem))}",
        note=(
            f"{_sample(seeds)}. Weights exclude biases; the architecture is that of the first "
            "seed. p50: batch 1, one thread. "
            + ("Bold is best in its column" if evidence.learned(problem) else "None is the best")
            + ("." if evidence.trusted() else "; the machine was too busy, do not trust times.")
            + f" {task.note}".rstrip()
        ),
        header=header,
        rows=tuple(rows),
        bold=_best(ranks),
        frame=frame,
    )


def _what(learned: bool) -> str:
    return "the selected operating points" if learned else "nothing was learned"


def _sample(seeds: Sequence[int]) -> str:
    if seeds == [1]:
        return (
            "One seed: no spread, and no interval but that of the speed-up, in brackets (95 %, "
            "bootstrap over processes)"
        )
    return (
        f"Mean ± standard deviation over {' to '.join(str(s) for s in seeds)} seeds; in brackets "
        "95 % intervals (Δ: paired by seed, BCa; speed-up: bootstrap over processes, hull over "
        "seeds)"
    )


def _frame(chosen: pd.DataFrame, problem: str, evidence: Evidence) -> pd.DataFrame:
    totals = summary(chosen).set_index("method")
    latency = measured_points(chosen, evidence.timings(problem)).set_index("method")
    dense_us = evidence.timings(problem).get(DENSE, {}).get("p50_us", math.nan)
    dense_bytes = chosen["onnx_bytes_dense"].astype("float64").mean()
    rows = []
    for method in (m for m in evidence.methods if m in totals.index):
        runs = chosen[chosen["method"] == method].sort_values("seed")
        own = runs[["latency_compact_us_p50", "onnx_bytes_compact"]].astype("float64").mean()
        is_dense = method == DENSE
        onnx_bytes = dense_bytes if is_dense else own["onnx_bytes_compact"]
        t, ratio = totals.loc[method], latency.loc[method]
        rows.append(
            {
                "method": method,
                "step": t["step"],
                "lam": t["lam"],
                "seeds": t["seeds"],
                "test_error_pct": t["test_error_mean"],
                "test_error_sd_pct": t["test_error_sd"],
                **{c: runs[c].mean() for c in evidence.task(problem).columns},
                "delta_pct": t["delta"],
                "delta_low_pct": t["delta_low"],
                "delta_high_pct": t["delta_high"],
                "delta_p_holm": t["delta_p_holm"],
                "nonzero_weights": runs["nonzero_weights"].mean(),
                "weights_compact": runs["weights_compact"].mean(),
                "compression": t["compression_mean"],
                "macs_compact": runs["macs_compact"].mean(),
                "architecture": runs["architecture"].iloc[0],
                "onnx_kb": onnx_bytes / 1e3,
                "p50_us": dense_us if is_dense else own["latency_compact_us_p50"],
                "speed_up": 1.0 if is_dense else 1 / ratio["latency_ratio_mean"],
                "speed_up_low": math.nan if is_dense else 1 / ratio["latency_ratio_high"],
                "speed_up_high": math.nan if is_dense else 1 / ratio["latency_ratio_low"],
                "train_seconds": t["train_seconds_mean"],
            }
        )
    return pd.DataFrame(rows)


def _best(ranks: Sequence[Sequence[float]]) -> frozenset[tuple[int, int]]:
    columns = list(zip(*ranks, strict=True))
    best = [min((v for v in c if math.isfinite(v)), default=math.nan) for c in columns]
    return frozenset(
        (i, j) for i, row in enumerate(ranks) for j, rank in enumerate(row) if rank == best[j]
    )
