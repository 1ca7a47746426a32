"""The tables of the report: one a problem at the selected points, one of all operating points."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from tl1bench import metrics
from tl1bench.figures.accuracy_latency import measured_points
from tl1bench.figures.context import Context
from tl1bench.figures.panels import number, signed
from tl1bench.files import write_text
from tl1bench.report.as_logged import as_logged
from tl1bench.report.typeset import Table
from tl1bench.results import DENSE, run_name
from tl1bench.results.comparison import operating_points, summary
from tl1bench.results.statistics import hypervolume, pareto_front

NOTHING = "–"


def main_table(table: pd.DataFrame, problem: str, context: Context) -> Table:
    """Return the selected operating point of every method on `problem`; bold is best."""
    chosen = table[(table["problem"] == problem) & table["selected"]]
    frame = _main_frame(chosen, problem, context)
    looks = context.looks
    rows, ranks = [], []
    for r in frame.to_dict("records"):
        delta = _between(r["delta_pct"], r["delta_low_pct"], r["delta_high_pct"], signed)
        speed = _between(r["speed_up"], r["speed_up_low"], r["speed_up_high"], number)
        shown: dict[str, tuple[str, float]] = {
            "method": (looks[r["method"]].label, math.nan),
            "λ": (f"{r['lam']:g}", math.nan),
            "test error [%]": (
                _spread(r["test_error_pct"], r["test_error_sd_pct"]),
                r["test_error_pct"],
            ),
            "Δ to dense [points]": (NOTHING if r["method"] == DENSE else delta, math.nan),
            "non-zero weights": (_count(r["nonzero_weights"]), r["nonzero_weights"]),
            "weights": (_count(r["weights_compact"]), r["weights_compact"]),
            "compression [×]": (_number(r["compression"]), -r["compression"]),
            "MACs": (_count(r["macs_compact"]), r["macs_compact"]),
            "architecture": (r["architecture"] or NOTHING, math.nan),
            "ONNX [kB]": (_number(r["onnx_kb"]), r["onnx_kb"]),
            "p50 [µs]": (_number(r["p50_us"]), r["p50_us"]),
            "speed-up [×]": (speed, -r["speed_up"]),
            "training [s]": (_number(r["train_seconds"]), r["train_seconds"]),
        }
        rows.append(tuple(text for text, _ in shown.values()))
        ranks.append(tuple(rank for _, rank in shown.values()))
        header = tuple(shown)
    seeds = sorted(set(frame["seeds"]))
    return Table(
        name=problem,
        title=f"{problem}: the selected operating points",
        note=(
            f"{_sample(seeds)}. Weights exclude biases; the architecture is that of the first "
            "seed. p50: batch 1, one thread. Bold is best in its column"
            + ("." if context.trusted() else "; the machine was too busy, do not trust times.")
        ),
        header=header,
        rows=tuple(rows),
        bold=_best(ranks),
        frame=frame,
    )


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


def _main_frame(chosen: pd.DataFrame, problem: str, context: Context) -> pd.DataFrame:
    totals = summary(chosen).set_index("method")
    latency = measured_points(chosen, problem, context).set_index("method")
    dense_us = context.timings(problem).get(DENSE, {}).get("p50_us", math.nan)
    dense_bytes = chosen["onnx_bytes_dense"].astype("float64").mean()
    rows = []
    for method in (m for m in context.methods if m in totals.index):
        runs = chosen[chosen["method"] == method].sort_values("seed")
        own = runs[["latency_compact_us_p50", "onnx_bytes_compact"]].astype("float64").mean()
        is_dense = method == DENSE
        onnx_bytes = dense_bytes if is_dense else own["onnx_bytes_compact"]
        t, ratio = totals.loc[method], latency.loc[method]
        rows.append(
            {
                "method": method,
                "lam": t["lam"],
                "seeds": t["seeds"],
                "test_error_pct": t["test_error_mean"],
                "test_error_sd_pct": t["test_error_sd"],
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


_ALL = (
    "validation_error",
    "test_error",
    "nonzero_kept",
    "weights_kept",
    "macs_kept",
    "latency_ratio",
    "train_seconds",
)


def points_table(table: pd.DataFrame, context: Context) -> Table:
    """Return every operating point of every method on every problem."""
    frame = operating_points(table, _ALL)
    rows = tuple(
        (
            str(p["problem"]),
            context.looks[p["method"]].label,
            f"{p['lam']:g}",
            str(p["seeds"]),
            "✓" if p["selected"] else "",
            *(_metric(p, name) for name in _ALL),
        )
        for p in frame.to_dict("records")
    )
    labels = [metrics.axis_label(name) for name in _ALL]
    return Table(
        name="operating-points",
        title="All operating points",
        note="Mean ± standard deviation over seeds; ✓ marks the points selected on validation.",
        header=("problem", "method", "λ", "seeds", "selected", *labels),
        rows=rows,
        bold=frozenset(),
        frame=frame,
    )


def left_table(table: pd.DataFrame, context: Context) -> Table:
    """Return weights, operations, file and memory of every method's selected runs, side by side.

    Dense is the full network, theoretical what would be left if every zero cost nothing, compact
    what is really there.
    """
    chosen = table[table["selected"]]
    rows, numbers = [], []
    for problem in context.problems:
        for method in context.methods:
            runs = chosen[(chosen["problem"] == problem) & (chosen["method"] == method)]
            if not runs.empty:
                numbers.append(_left(runs, problem, method, context))
    for n in numbers:
        counts = [_count(n[name]) for name in _COUNTS]
        sizes = [_number(n[name]) for name in _SIZES]
        share = f"{n['conv_blocked']:.0f}/{n['conv_total']:.0f}"
        blocked = share if n["conv_total"] > 0 else NOTHING
        rows.append((n["problem"], context.looks[n["method"]].label, *counts, *sizes, blocked))
    return Table(
        name="what-is-left",
        title="What is left: weights, operations, file, memory",
        note=(
            "Mean over seeds at the selected points; MACs for one example. Theoretical counts are "
            "those of the weights that are not zero: what a runtime that skips zeros for free "
            "would need, not what onnxruntime does. File and memory are those of the first seed's "
            "compact network: gzip -6; unique memory of a fresh process at batch 1 and one thread, "
            "after loading, after running with the allocator's arena and without it, and peak "
            "resident size (VmHWM). Blocked: convolutions that ran in the NCHWc layout."
        ),
        header=("problem", "method", *_COUNTS.values(), *_SIZES.values(), "blocked"),
        rows=tuple(rows),
        bold=frozenset(),
        frame=pd.DataFrame(numbers),
    )


_COUNTS = {
    "weights_dense": "weights dense",
    "nonzero_weights": "theoretical",
    "weights_compact": "compact",
    "macs_dense": "MACs dense",
    "macs_nonzero": "theoretical",
    "macs_compact": "compact",
}
_SIZES = {
    "file_kb": "ONNX [kB]",
    "gzip_kb": "gzip [kB]",
    "uss_load_mib": "loaded [MiB]",
    "uss_run_mib": "run [MiB]",
    "uss_run_no_arena_mib": "run, no arena [MiB]",
    "hwm_mib": "peak [MiB]",
}


def _left(runs: pd.DataFrame, problem: str, method: str, context: Context) -> dict[str, Any]:
    first = runs.sort_values("seed").iloc[0]
    run = f"{method}/{run_name(first['lam'], first['seed'])}"
    model = DENSE if method == DENSE else run
    row = context.timings(problem).get(model, {})
    memory = context.memory(problem).get(model, {})
    return {
        "problem": problem,
        "method": method,
        **{name: float(runs[name].astype("float64").mean()) for name in _COUNTS},
        "file_kb": _get(row, "file_bytes") / 1e3,
        "gzip_kb": _get(row, "gzip_bytes") / 1e3,
        "uss_load_mib": _get(row, "uss_load_mib"),
        "uss_run_mib": _get(row, "uss_run_mib"),
        "uss_run_no_arena_mib": _get(memory, "uss_run_mib"),
        "hwm_mib": _get(row, "hwm_mib"),
        "conv_blocked": _get(row, "conv_blocked"),
        "conv_total": _get(row, "conv_total"),
    }


def _get(row: Mapping[str, Any], name: str) -> float:
    value = row.get(name)
    return math.nan if value is None else float(value)


def front_table(table: pd.DataFrame, context: Context) -> Table:
    """Return each method's points on the common Pareto front, and its hypervolume.

    Both for test error against weights kept and against the latency ratio; the reference is dense's
    size (or latency) and its error plus `_MARGIN` points.
    """
    points = operating_points(table, (*_FRONTS, "test_error"))
    rows, numbers = [], []
    for problem in context.problems:
        own = points[points["problem"] == problem]
        bar = own.loc[own["method"] == DENSE, "test_error_mean"].min() + _MARGIN
        fronts = {name: _front(own, name) for name in _FRONTS}
        for method in (m for m in context.methods if m in set(own["method"])):
            mine = own[own["method"] == method]
            found: dict[str, Any] = {"problem": problem, "method": method, "points": len(mine)}
            for name, (label, worst) in _FRONTS.items():
                pairs = mine[[f"{name}_mean", "test_error_mean"]].dropna()
                known = math.isfinite(bar) and not pairs.empty
                area = hypervolume(pairs, (worst, bar)) / (worst * _MARGIN) if known else math.nan
                found[f"front_{label}"] = int(fronts[name].isin(mine.index).sum())
                found[f"hypervolume_{label}"] = area
            numbers.append(found)
            texts = (_number(v) if isinstance(v, float) else str(v) for v in found.values())
            rows.append((problem, context.looks[method].label, *list(texts)[2:]))
    return Table(
        name="fronts",
        title="Pareto fronts and hypervolumes",
        note=(
            "How many of a method's operating points (means over seeds) no point of any method "
            "beats in both test error and size, or test error and measured latency, and the area "
            f"its points dominate up to dense's size or latency and its error plus {_MARGIN:g} "
            "points, in units of that reference: more is better, and a method with fewer points "
            "can hardly have more."
        ),
        header=(
            *("problem", "method", "points", "on the front (size)", "hypervolume (size)"),
            *("on the front (latency)", "hypervolume (latency)"),
        ),
        rows=tuple(rows),
        bold=frozenset(),
        frame=pd.DataFrame(numbers),
    )


_MARGIN = 3.0
# Label and dense's own value of what is traded against test error.
_FRONTS = {"weights_kept": ("size", 100.0), "latency_ratio": ("latency", 1.0)}


def _front(points: pd.DataFrame, name: str) -> pd.Index[Any]:
    pairs = points[[f"{name}_mean", "test_error_mean"]].dropna()
    return pairs.index[pareto_front(pairs)]


def every(table: pd.DataFrame, context: Context) -> tuple[Table, ...]:
    """Return all tables: one a problem, what a script logged, what is left, fronts, all points."""
    mains = tuple(main_table(table, problem, context) for problem in context.problems)
    logged = tuple(as_logged(table, problem, context) for problem in context.as_coded)
    rest = (left_table(table, context), front_table(table, context), points_table(table, context))
    return (*mains, *logged, *rest)


def write_all(tables: Sequence[Table], folder: Path) -> None:
    """Write each table as `<name>.csv`, `.md` and `.tex`."""
    for table in tables:
        write_text(folder / f"{table.name}.csv", table.csv())
        write_text(folder / f"{table.name}.md", table.markdown())
        write_text(folder / f"{table.name}.tex", table.latex())


def _best(ranks: Sequence[Sequence[float]]) -> frozenset[tuple[int, int]]:
    columns = list(zip(*ranks, strict=True))
    best = [min((v for v in c if math.isfinite(v)), default=math.nan) for c in columns]
    return frozenset(
        (i, j) for i, row in enumerate(ranks) for j, rank in enumerate(row) if rank == best[j]
    )


def _metric(point: Mapping[Any, Any], name: str) -> str:
    if name == "latency_ratio" or not math.isfinite(point[f"{name}_sd"]):
        return _number(point[f"{name}_mean"])
    return f"{_number(point[f'{name}_mean'])} ± {_number(point[f'{name}_sd'])}"


def _number(value: float) -> str:
    return number(value) if math.isfinite(value) else NOTHING


def _count(value: float) -> str:
    return f"{value:,.0f}" if math.isfinite(value) else NOTHING


def _spread(mean: float, sd: float) -> str:
    return f"{mean:.2f} ± {sd:.2f}" if math.isfinite(sd) else f"{mean:.2f}"


def _between(value: float, low: float, high: float, form: Callable[[float], str]) -> str:
    if not math.isfinite(value):
        return NOTHING
    known = math.isfinite(low) and math.isfinite(high)
    return f"{form(value)} [{form(low)}, {form(high)}]" if known else form(value)
