"""A made-up but consistent tree of result files, in the formats that the stages write."""

from __future__ import annotations

import csv
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import save_file

from tl1bench import results
from tl1bench.files import write_json
from tl1bench.report import tables
from tl1bench.report.typeset import Table
from tl1bench.results import Run, layout
from tl1bench.results.evidence import Evidence

PROFILE = "made-up"
METHODS = ("dense", "l1", "group_lasso", "sparse_group_lasso", "tl1", "integrated_tl1")
HISTORY = (
    "iteration",
    "epoch",
    "phase",
    "train_loss",
    "penalty_value",
    "val_error_pct",
    "nonzero_weights",
    "seconds",
)
LAMS = (1e-5, 3e-5, 1e-4, 3e-4, 1e-3)


@dataclass(frozen=True)
class Layer:
    name: str
    kind: str
    units: int
    kernel: int = 1
    # Positions of the next layer's input that one unit fills.
    spread: int = 1


@dataclass(frozen=True)
class Net:
    inputs: int
    layers: tuple[Layer, ...]
    error: float


def _mlp(inputs: int, widths: tuple[int, ...], error: float) -> Net:
    layers = tuple(Layer(str(2 * i + 1), "Linear", w) for i, w in enumerate(widths))
    return Net(inputs, layers, error)


def _lenet5(error: float) -> Net:
    return Net(
        1,
        (
            Layer("conv1", "Conv2d", 20, 25),
            Layer("conv2", "Conv2d", 50, 25, 16),
            Layer("fc1", "Linear", 500),
            Layer("fc2", "Linear", 10),
        ),
        error,
    )


NETS = {
    "digits-mlp": _mlp(64, (40, 20, 10), 3.1),
    "digits-resnet": Net(
        1,
        (
            *(Layer(f"block{i}.conv", "Conv2d", 16, 9) for i in range(5)),
            Layer("head", "Linear", 10),
        ),
        2.2,
    ),
    "mnist-lenet300": _mlp(784, (300, 100, 10), 1.66),
    "mnist-lenet5": _lenet5(0.9),
    "fashion-lenet5": _lenet5(9.1),
}
# (share of units kept at strength 1, share of weights in them not zero, error added)
_HABITS = {
    "l1": (0.75, 0.25, 0.5),
    "group_lasso": (0.45, 0.97, 0.35),
    "sparse_group_lasso": (0.4, 0.6, 0.2),
    "tl1": (0.7, 0.12, 0.15),
    "integrated_tl1": (0.36, 0.45, 0.12),
}


@dataclass(frozen=True)
class Tree:
    """Where the files are and what they speak of."""

    root: Path
    problems: tuple[str, ...]
    methods: tuple[str, ...]

    def collect(self) -> pd.DataFrame:
        return results.collect(
            self.evidence.build, self.evidence.reports, PROFILE, self.problems, self.methods
        )

    @property
    def evidence(self) -> Evidence:
        return Evidence(
            self.root / "build" / PROFILE,
            self.root / "reports" / PROFILE,
            PROFILE,
            self.problems,
            self.methods,
        )


def write_tree(
    root: Path,
    problems: tuple[str, ...] = ("digits-mlp", "mnist-lenet5"),
    methods: tuple[str, ...] = METHODS,
    lams: tuple[float, ...] = LAMS,
    seeds: tuple[int, ...] = (0, 1, 2),
    measured: bool = True,
    trusted: bool = True,
) -> Tree:
    """Write every file of the documented formats but the models themselves.

    Weights hold the first layer alone; all else would be megabytes that nothing here reads.
    """
    tree = Tree(root, problems, methods)
    for problem in problems:
        timed = {}
        for method in methods:
            for lam in (0.0,) if method == "dense" else lams:
                for seed in seeds:
                    exported = seed == seeds[0] or lam == lams[len(lams) // 2]
                    macs = _write_run(tree.evidence, problem, method, lam, seed, exported)
                    if exported and method != "dense":
                        timed[Run(problem, method, step_of(lam), seed).model] = macs
        if measured:
            _write_measurement(tree.evidence, problem, timed, trusted)
    return tree


def step_of(lam: float) -> int:
    """Return the step that stands for a made-up λ: 0 for none, else its place on a scale."""
    return 0 if not lam else round(4 * math.log10(lam / 1e-6))


def _layers(net: Net, method: str, lam: float, rng: np.random.Generator) -> list[dict]:
    share, dense_within, _ = _HABITS.get(method, (1.0, 1.0, 0.0))
    strength = 0.0 if method == "dense" else 1.5 * math.log10(lam / 1e-5) + 0.7
    keep = share**strength if strength else 1.0
    reports, before, after = [], net.inputs, net.inputs
    if net.inputs > 1 and strength:
        after = max(8, round(net.inputs * min(1, 1.3 * keep**0.5)))
    for i, layer in enumerate(net.layers):
        last = i == len(net.layers) - 1
        wobble = 1 + 0.06 * rng.standard_normal()
        alive = layer.units if last or not strength else round(layer.units * keep * wobble)
        alive = min(layer.units, max(2, alive))
        weights = alive * after * layer.kernel
        places = {"conv1": 576, "conv2": 64}.get(layer.name, 36 if layer.kernel > 1 else 1)
        full = layer.units * before * layer.kernel
        reports.append(
            {
                "name": layer.name,
                "kind": layer.kind,
                "units_before": layer.units,
                "units_after": alive,
                "inputs_before": before,
                "inputs_after": after,
                "weights_before": full,
                "weights_nonzero": max(1, round(weights * (dense_within if strength else 1))),
                "weights_after": weights,
                "macs_before": full * places,
                "macs_nonzero": round(weights * (dense_within if strength else 1)) * places,
                "macs_after": weights * places,
                "kept_because": "output" if last else "",
            }
        )
        before, after = layer.units * layer.spread, alive * layer.spread
    return reports


def _write_run(
    evidence: Evidence, problem: str, method: str, lam: float, seed: int, exported: bool
) -> int:
    rng = np.random.default_rng([seed, *map(ord, problem + method), round(lam * 1e7)])
    net = NETS[problem]
    layers = _layers(net, method, lam, rng)
    total = {
        key: sum(layer[key] for layer in layers)
        for key in ("weights_before", "weights_nonzero", "weights_after", "macs_before")
    }
    macs = sum(layer["macs_after"] for layer in layers)
    lost = math.log10(total["weights_before"] / total["weights_after"])
    base = net.error * (1 + 0.04 * np.random.default_rng([seed, len(problem)]).standard_normal())
    harm = _HABITS.get(method, (0, 0, 0))[2] * lost**2 * (0.4 + 0.25 * net.error)
    error = base + harm + 0.03 * net.error * rng.standard_normal()
    if method == "l1" and lam == LAMS[-1]:
        error = 88.65
    cell = Run(problem, method, step_of(lam), seed).folder
    write_json(
        evidence.build / "train" / cell / "run.json",
        {
            "problem": problem,
            "method": method,
            "step": step_of(lam),
            "lam": lam,
            "seed": seed,
            "profile": PROFILE,
            "val_error_pct": round(error * 1.04, 3),
            "nonzero_weights": total["weights_nonzero"],
            "weights_dense": total["weights_before"],
            "train_seconds": round(40 / (1 + lost) + rng.random(), 2),
            "iterations": 4000,
            "device": "cpu",
        },
    )
    write_json(
        evidence.build / "compact" / cell / "compact.json",
        {
            "test_error_pct": round(error, 3),
            "weights_dense": total["weights_before"],
            "weights_compact": total["weights_after"],
            "macs_dense": total["macs_before"],
            "macs_nonzero": sum(layer["macs_nonzero"] for layer in layers),
            "macs_compact": macs,
            "architecture": "-".join(str(layer["units_after"]) for layer in layers[:-1]),
            "max_abs_difference": 3e-15,
            "changed_predictions": 0,
            "layers": layers,
        },
    )
    _write_history(evidence.build / "train" / cell / "history.csv", error, total, method)
    _write_weights(evidence.build / "train" / cell / "weights.safetensors", net, layers[0], seed)
    if exported:
        write_json(
            evidence.build / "export" / cell / "export.json",
            {"onnx_bytes": 4 * total["weights_after"] + 1500, "opset": 20},
        )
        write_json(
            evidence.build / "export" / problem / "dense" / "export.json",
            {"onnx_bytes": 4 * total["weights_before"] + 1500, "opset": 20},
        )
    return macs


def _write_history(path: Path, error: float, total: dict[str, int], method: str) -> None:
    epochs = np.arange(1, 25)
    with path.open("w", newline="") as stream:
        rows = csv.writer(stream)
        rows.writerow(HISTORY)
        for epoch in epochs:
            debias = epoch > 14
            fall = math.exp(-min(epoch, 14) / 4)
            nonzero = total["weights_nonzero"]
            nonzero += round((total["weights_before"] - nonzero) * fall * (not debias))
            bump = 0.0 if debias or method == "dense" else 1.4
            value = error * (1 + fall * 3 + bump * math.sin(epoch) ** 2 * epoch / 14)
            loss = 0.002 * error + 2 * math.exp(-epoch / 5) + 0.02 * bump * (epoch % 3)
            phase = "debias" if debias else "train"
            rows.writerow(
                [430 * epoch, epoch, phase, loss, 3.1 * fall, value, nonzero, 1.7 * epoch]
            )


def _write_weights(path: Path, net: Net, report: dict, seed: int) -> None:
    layer = net.layers[0]
    side = math.isqrt(layer.kernel)
    shape = (layer.units, net.inputs, side, side) if side > 1 else (layer.units, net.inputs)
    weight = np.random.default_rng(seed).standard_normal(shape).astype(np.float32)
    weight[report["units_after"] :] = 0
    if side == 1 and report["inputs_after"] < net.inputs:
        width = math.isqrt(net.inputs)
        y, x = np.divmod(np.arange(net.inputs), width)
        distance = np.hypot(y - width / 2 + 0.5, x - width / 2 + 0.5)
        weight[:, np.argsort(distance, kind="stable")[report["inputs_after"] :]] = 0
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file({f"{layer.name}.weight": weight, f"{layer.name}.bias": weight[:, 0].copy()}, path)


def _memory_row(row: dict, arena: bool) -> dict:
    """Return what fresh processes took; without the arena it is two MiB more after running."""
    found = {k: row[k] for k in ("model", "batch", "threads", "uss_load_mib", "hwm_mib")}
    found |= {"arena": arena, "processes": 3, "uss_empty_mib": 20.0}
    found["uss_run_mib"] = row["uss_run_mib"] + 2 * (not arena)
    for state in ("load", "peak"):
        mib, ratio = row[f"added_{state}_mib"], row[f"added_{state}_ratio"]
        mib += (state == "peak") * (not arena) * 0.2
        names = {"": 0.0, "_low": -0.004, "_high": 0.008}
        found |= {f"added_{state}{name}_mib": mib + off for name, off in names.items()}
        found |= {f"added_{state}_ratio{name}": ratio + off for name, off in names.items()}
    return found


def _write_measurement(
    evidence: Evidence, problem: str, timed: dict[str, int], trusted: bool
) -> None:
    layers = _layers(NETS[problem], "dense", 0.0, np.random.default_rng(0))
    macs = sum(layer["macs_before"] for layer in layers)
    weights = sum(layer["weights_before"] for layer in layers)
    convolutions = sum(layer["kind"] == "Conv2d" for layer in layers)
    models = {"dense": macs, "masked": round(macs * 0.995), "floor": 0} | timed
    rows = []
    for batch in (1, 64):
        for threads in (1, 2):
            dense = 4.0 + batch * macs / 8e3 / threads
            for name, count in models.items():
                p50 = 4.0 + batch * count / 8e3 / threads
                share = count / macs
                added = weights * 4e-6 * share
                peak = 1.2 * added + 0.1 * (batch if count else 0)
                rows.append(
                    {
                        "model": name,
                        "batch": batch,
                        "threads": threads,
                        "first_us": 6 * p50,
                        "min_us": 0.97 * p50,
                        "p50_us": p50,
                        "p90_us": 1.1 * p50,
                        "p99_us": 1.6 * p50,
                        "ratio_p50": p50 / dense,
                        "ratio_low": 0.96 * p50 / dense,
                        "ratio_high": 1.05 * p50 / dense,
                        "uss_load_mib": 21.0 + added,
                        "uss_run_mib": 24.0 + added,
                        "hwm_mib": 60.0,
                        "added_load_mib": added,
                        "added_load_ratio": share,
                        "added_peak_mib": peak,
                        "added_peak_ratio": peak / (1.2 * weights * 4e-6 + 0.1 * batch),
                        "file_bytes": round(4 * weights * share) + 1500,
                        "gzip_bytes": round(3.6 * weights * share) + 700,
                        "conv_total": convolutions if count else 0,
                        "conv_blocked": convolutions // 2 if count else 0,
                        "conv_channels": "20-50" if convolutions and count else "",
                    }
                )
    memory = [_memory_row(row, arena) for row in rows for arena in (True, False)]
    hero = next((name for name in timed if name.startswith("integrated_tl1/")), "dense")
    operators = [
        {"model": m, "batch": b, "threads": 1, "node": f"{kind}{b}", "operator": kind}
        | {"blocked": kind == "Conv", "calls": 50, "mean_us": us * b / (1 + 3 * (m == hero))}
        for m in dict.fromkeys(("dense", "masked", hero))
        for b in (1, 64)
        for kind, us in (("Conv", 8.0), ("ReorderOutput", 1.0), ("FusedGemm", 4.0), ("Relu", 0.5))
    ]
    machine = {
        "cpu": "a made-up processor",
        "cpu_flags": ["avx2", "fma"],
        "cores": 2,
        "governor": "performance",
        "memory_gib": 16.0,
        "system": "Linux",
        "versions": {"python": "3.11.0", "onnxruntime": "1.32.0"},
        "trusted": trusted,
        "reason": "" if trusted else "other processes kept 1.31 of 2 cores busy",
    }
    write_json(
        layout.measurement_file(evidence.reports, problem),
        {"machine": machine, "rows": rows, "memory": memory, "operators": operators},
    )


@pytest.fixture(scope="session")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Tree:
    return write_tree(tmp_path_factory.mktemp("tree"), lams=(3e-5, 1e-4, 1e-3))


@pytest.fixture(scope="session")
def table(tree: Tree) -> pd.DataFrame:
    return tree.collect()


@pytest.fixture(scope="session")
def every(table: pd.DataFrame, tree: Tree) -> tuple[Table, ...]:
    return tables.every(table, tree.evidence)


@pytest.fixture(scope="session")
def make_tree():
    """The generator itself, for a test that needs a tree of its own."""
    return write_tree
