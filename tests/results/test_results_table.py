"""The results table: read from files, written and read back."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tl1bench import results
from tl1bench.files import write_json

STEPS = {0.0: 0, 1e-5: 1, 3e-4: 2, 1.0: 3}


def write_run(build: Path, method: str, lam: float, seed: int, **changes: float) -> None:
    cell = Path("toy") / method / results.run_name(STEPS[lam], seed)
    trained = {
        "problem": "toy",
        "method": method,
        "step": STEPS[lam],
        "lam": lam,
        "seed": seed,
        "profile": "p",
        "val_error_pct": 2.5,
        "nonzero_weights": 7,
        "weights_dense": 100,
        "train_seconds": 1.25,
        "iterations": 10,
        "device": "cpu",
    }
    write_json(build / "train" / cell / "run.json", trained | changes)
    write_json(
        build / "compact" / cell / "compact.json",
        {
            "test_error_pct": 3.5,
            "test_rmse": 0.7,
            "test_r2": 0.99,
            "guess_error_pct": 60.0,
            "guess_p": 1e-9,
            "weights_dense": 100,
            "weights_compact": 12,
            "macs_dense": 400,
            "macs_nonzero": 70,
            "macs_compact": 40,
            "architecture": "4-2",
            "layers": [],
        },
    )


@pytest.fixture
def tree(tmp_path: Path) -> tuple[Path, Path]:
    build, reports = tmp_path / "build", tmp_path / "reports"
    for method, lam in (("dense", 0.0), ("l1", 1e-5), ("l1", 3e-4)):
        for seed in (1, 0):
            write_run(build, method, lam, seed)
    write_json(
        build / "export/toy/l1/step-02-seed-0/export.json",
        {"onnx_bytes": 300, "opset": 20},
    )
    write_json(build / "export/toy/dense/export.json", {"onnx_bytes": 2000, "opset": 20})
    rows = [
        {"model": model, "batch": batch, "threads": threads}
        | {"p50_us": us * batch * threads, "ratio_p50": us / 8, "uss_run_mib": us + 20}
        | {"added_load_mib": us / 2, "added_peak_mib": us / 4}
        for model, us in (("dense", 8.0), ("l1/step-02-seed-0", 2.0))
        for batch in (64, 1)
        for threads in (2, 1)
    ]
    write_json(reports / "measure/toy.json", {"machine": {}, "rows": rows})
    return build, reports


def gather(tree: tuple[Path, Path], methods: tuple[str, ...] = ("dense", "l1")) -> pd.DataFrame:
    return results.collect(*tree, "p", ("toy",), methods)


def test_a_row_holds_what_the_files_of_its_run_say(tree):
    table = gather(tree)
    row = table[(table.lam == 3e-4) & (table.seed == 0)].iloc[0].to_dict()
    assert row == {
        "problem": "toy",
        "method": "l1",
        "step": 2,
        "lam": 3e-4,
        "seed": 0,
        "profile": "p",
        "val_error_pct": 2.5,
        "test_error_pct": 3.5,
        "test_rmse": 0.7,
        "test_r2": 0.99,
        "guess_error_pct": 60.0,
        "guess_p": 1e-9,
        "nonzero_weights": 7,
        "weights_dense": 100,
        "weights_compact": 12,
        "macs_dense": 400,
        "macs_nonzero": 70,
        "macs_compact": 40,
        "architecture": "4-2",
        "onnx_bytes_dense": 2000,
        "onnx_bytes_compact": 300,
        "latency_ratio_p50": 0.25,
        "latency_dense_us_p50": 8.0,
        "latency_compact_us_p50": 2.0,
        "uss_dense_mib": 28.0,
        "uss_compact_mib": 22.0,
        "added_load_dense_mib": 4.0,
        "added_load_compact_mib": 1.0,
        "added_peak_dense_mib": 2.0,
        "added_peak_compact_mib": 0.5,
        "train_seconds": 1.25,
        "selected": False,
    }


def test_rows_and_columns_come_in_a_fixed_order(tree):
    table = gather(tree, ("l1", "dense"))
    assert tuple(table.columns) == results.COLUMNS
    assert list(zip(table.method, table.lam, table.seed, strict=True)) == [
        ("l1", 1e-5, 0),
        ("l1", 1e-5, 1),
        ("l1", 3e-4, 0),
        ("l1", 3e-4, 1),
        ("dense", 0.0, 0),
        ("dense", 0.0, 1),
    ]


def test_methods_that_are_not_listed_are_not_read(tree):
    write_run(tree[0], "abandoned", 1.0, 0)
    assert set(gather(tree).method) == {"dense", "l1"}


def test_what_was_not_measured_is_empty(tree):
    table = gather(tree)
    unmeasured = table[~((table.lam == 3e-4) & (table.seed == 0))]
    measured = [c for c in results.OPTIONAL if c.startswith(("onnx", "latency", "uss", "added"))]
    assert unmeasured[measured].isna().all(axis=None)
    (tree[1] / "measure/toy.json").unlink()
    assert gather(tree).latency_ratio_p50.isna().all()


def test_a_method_without_runs_is_an_error_that_says_what_to_do(tree):
    with pytest.raises(results.ResultsError, match=r"no run of tl1 on toy .* `tl1bench train`"):
        gather(tree, ("dense", "tl1"))


def test_a_run_that_was_not_compacted_is_an_error(tree):
    (tree[0] / "compact/toy/l1/step-01-seed-1/compact.json").unlink()
    with pytest.raises(results.ResultsError, match=r"step-01-seed-1.*`tl1bench compact`"):
        gather(tree)


@pytest.mark.parametrize("value", [math.nan, math.inf, None])
def test_a_number_that_is_not_finite_is_an_error_that_names_it(tree, value):
    path = tree[0] / "train/toy/l1/step-01-seed-1/run.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"val_error_pct": value}))
    with pytest.raises(results.ResultsError, match=r"val_error_pct of l1 on toy \(step-01-seed-1"):
        gather(tree)


def test_a_run_in_the_wrong_folder_is_an_error(tree):
    path = tree[0] / "train/toy/l1/step-01-seed-0/run.json"
    path.write_text(path.read_text().replace('"l1"', '"tl1"'))
    with pytest.raises(results.ResultsError, match="speaks of tl1 on toy"):
        gather(tree)


def test_the_table_comes_back_from_its_file_bit_for_bit(tree, tmp_path):
    table = gather(tree)
    table.loc[0, "val_error_pct"] = 0.1 + 0.2
    table.loc[1, "train_seconds"] = 1 / 3
    table.loc[2, "lam"] = np.nextafter(1e-5, 1)
    table.loc[3, "architecture"] = "NA"
    table.loc[4, "architecture"] = ""
    results.write(tmp_path / "runs.csv", table)
    again = results.read(tmp_path / "runs.csv")
    pd.testing.assert_frame_equal(again, table, check_exact=True)
    before = (tmp_path / "runs.csv").read_bytes()
    results.write(tmp_path / "runs.csv", again)
    assert (tmp_path / "runs.csv").read_bytes() == before
    assert b"2000,300" in before


@pytest.mark.parametrize(("column", "value"), [("selected", "perhaps"), ("seed", "")])
def test_a_table_with_a_value_of_the_wrong_kind_is_refused(tree, tmp_path, column, value):
    gather(tree).assign(**{column: value}).to_csv(tmp_path / "runs.csv", index=False)
    with pytest.raises(results.ResultsError, match="is not a results table"):
        results.read(tmp_path / "runs.csv")


def test_a_table_that_lacks_a_column_is_refused(tree, tmp_path):
    table = gather(tree)
    (tmp_path / "runs.csv").write_text(table.drop(columns="lam").to_csv(index=False))
    with pytest.raises(results.ResultsError, match="lacks the column lam"):
        results.read(tmp_path / "runs.csv")
    with pytest.raises(results.ResultsError, match="No such file"):
        results.read(tmp_path / "nothing.csv")


def test_metrics_are_flat_json_of_the_selected_points(tree):
    table = gather(tree).assign(method=lambda t: t["method"].replace("l1", results.HERO))
    table["selected"] = (table.lam != 1e-5).to_numpy()
    found = results.dvc_metrics(table)
    assert found == {
        "toy.dense.test_error_pct": 3.5,
        "toy.integrated_tl1.test_error_pct": 3.5,
        "toy.integrated_tl1.weights_kept_pct": 12.0,
        "toy.integrated_tl1.latency_ratio_p50": 0.25,
        "toy.dense.test_r2": 0.99,
        "toy.integrated_tl1.test_r2": 0.99,
    }
    json.dumps(found, allow_nan=False)
    unmeasured = results.dvc_metrics(table.assign(latency_ratio_p50=math.nan))
    assert "toy.integrated_tl1.latency_ratio_p50" not in unmeasured


def test_results_that_are_older_than_an_optional_column_have_it_empty(tree, tmp_path):
    results.write(tmp_path / "runs.csv", gather(tree))
    written = pd.read_csv(tmp_path / "runs.csv", dtype=str)
    older = written.drop(columns=["added_peak_dense_mib"])
    older.to_csv(tmp_path / "older.csv", index=False)
    table = results.read(tmp_path / "older.csv")
    assert tuple(table.columns) == results.COLUMNS
    assert table["added_peak_dense_mib"].isna().all()
    assert table["added_peak_compact_mib"].notna().any()
