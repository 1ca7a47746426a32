"""Tables are computed from the data, and say the same in every format."""

from __future__ import annotations

import io
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tl1bench import metrics, plugins, results
from tl1bench.report import tables
from tl1bench.report.tables import memory as memory_table
from tl1bench.report.tables import operating_points as operating_points_table
from tl1bench.report.tables import selected
from tl1bench.report.typeset import Table
from tl1bench.results.points import operating_points


@pytest.fixture(scope="session")
def main(every) -> Table:
    return next(t for t in every if t.name == "mnist-lenet5")


def runs_of(table: pd.DataFrame, method: str) -> pd.DataFrame:
    of_method = (table["problem"] == "mnist-lenet5") & (table["method"] == method)
    return table[of_method & table["selected"]]


def test_there_is_one_table_a_problem_first_and_one_of_all_points_last(every, tree, tmp_path):
    names = [t.name for t in every]
    assert names[: len(tree.problems)] == list(tree.problems)
    assert names[-1] == "operating-points"
    assert len(set(names)) == len(names)
    tables.write_all(every, tmp_path)
    assert len(list(tmp_path.iterdir())) == 3 * len(every)


def test_the_tables_are_the_files_of_the_folder():
    files = Path(tables.__file__).parent.glob("[!_]*.py")
    assert sorted(tables.names()) == sorted(file.stem for file in files)


@pytest.mark.parametrize("name", tables.names())
def test_a_table_is_whole(name, table, tree):
    for made in plugins.load_module("report/tables", name, "table").make(table, tree.evidence):
        assert {len(row) for row in made.rows} == {len(made.header)}
        assert len(made.rows) == len(made.frame)
        assert made.note.endswith((".", ")"))


def test_every_metric_is_in_the_table_of_all_points_unless_it_is_elsewhere_or_unknown(every):
    header = every[-1].header
    for name in metrics.names():
        shown = name not in operating_points_table.ELSEWHERE and name != "r_squared"
        assert (metrics.axis_label(name) in header) == shown


def test_a_row_is_computed_from_its_runs(main, table):
    runs = runs_of(table, "tl1")
    dense = runs_of(table, "dense").set_index("seed")["test_error_pct"]
    row = main.frame.set_index("method").loc["tl1"]
    assert row["test_error_pct"] == pytest.approx(runs["test_error_pct"].mean())
    assert row["test_error_sd_pct"] == pytest.approx(runs["test_error_pct"].std())
    delta = (runs.set_index("seed")["test_error_pct"] - dense).mean()
    assert row["delta_pct"] == pytest.approx(delta)
    assert row["delta_low_pct"] <= delta <= row["delta_high_pct"]
    assert row["speed_up"] == pytest.approx(1 / runs["latency_ratio_p50"].mean())
    assert row["onnx_kb"] == pytest.approx(runs["onnx_bytes_compact"].astype(float).mean() / 1e3)
    text = dict(zip(main.header, main.rows[4], strict=True))
    assert text["method"] == "TL1"
    assert text["test error [%]"] == (
        f"{row['test_error_pct']:.2f} ± {row['test_error_sd_pct']:.2f}"
    )


def test_the_dense_row_is_the_reference(main, tree):
    dense = dict(zip(main.header, main.rows[0], strict=True))
    assert (dense["method"], dense["Δ to dense [points]"], dense["speed-up [×]"]) == (
        "dense",
        "–",
        "1.00",
    )
    measured = tree.evidence.timings("mnist-lenet5")["dense"]["p50_us"]
    assert main.frame["p50_us"].iloc[0] == measured


def test_bold_is_best_in_its_direction(main):
    frame = main.frame
    best = {
        "test error [%]": frame["test_error_pct"].argmin(),
        "weights": frame["weights_compact"].argmin(),
        "compression [×]": frame["compression"].argmax(),
        "speed-up [×]": frame["speed_up"].argmax(),
        "p50 [µs]": frame["p50_us"].argmin(),
    }
    for name, row in best.items():
        column = main.header.index(name)
        assert [i for i, j in main.bold if j == column] == [row]
    plain = {"method", "λ", "architecture", "Δ to dense [points]"}
    assert not {main.header[j] for _, j in main.bold} & plain


def test_csv_holds_the_unrounded_numbers(main):
    again = pd.read_csv(io.StringIO(main.csv()))
    pd.testing.assert_frame_equal(again, main.frame, check_dtype=False)


def test_markdown_and_latex_have_a_cell_for_every_cell(main):
    markdown = [line for line in main.markdown().splitlines() if line.startswith("|")]
    assert {line.count("|") for line in markdown} == {len(main.header) + 1}
    assert len(markdown) == len(main.rows) + 2
    latex = [line for line in main.latex().splitlines() if line.endswith(r"\\")]
    assert {len(re.findall(r"(?<!\\)&", line)) for line in latex} == {len(main.header) - 1}
    assert len(latex) == len(main.rows) + 1
    assert main.latex().count(r"\textbf{") == main.markdown().count("**") // 2 == len(main.bold)


def test_latex_escapes_what_would_break_it():
    table = Table("t", "50 % & more_of", "#1", ("a_b",), (("x^2 {y} ±",),), frozenset(), None)
    text = table.latex()
    assert r"50 \% \& more\_of" in text
    assert r"x\^{}2 \{y\} $\pm$" in text
    assert r"\#1" in text
    assert text.isascii()


def test_latex_of_real_tables_is_plain_ascii(every):
    assert all(t.latex().isascii() for t in every)


def test_every_operating_point_has_a_row(every, table, tree):
    shown = every[-1]
    points = table[["problem", "method", "step"]].drop_duplicates()
    assert len(shown.rows) == len(points)
    ticks = [row for row in shown.rows if row[5] == "✓"]
    assert len(ticks) == len(tree.problems) * len(tree.methods)


def test_what_was_not_measured_is_a_dash(make_tree, tmp_path):
    tree = make_tree(tmp_path, ("digits-mlp",), ("dense", "l1"), (1e-4,), (0,), measured=False)
    shown = selected.make(tree.collect(), tree.evidence)[0]
    last = dict(zip(shown.header, shown.rows[1], strict=True))
    assert last["speed-up [×]"] == last["p50 [µs]"] == "–"
    assert "±" not in last["test error [%]"]
    assert "nan" not in shown.markdown().lower()


def test_dense_theoretical_and_compact_counts_stand_side_by_side(every, table, tree):
    left = next(t for t in every if t.name == "what-is-left")
    assert left.header[2:8] == (
        *("weights dense", "theoretical", "compact"),
        *("MACs dense", "theoretical", "compact"),
    )
    assert len(left.rows) == len(tree.problems) * len(tree.methods)
    row = left.frame.set_index(["problem", "method"]).loc[("mnist-lenet5", "tl1")]
    runs = runs_of(table, "tl1")
    for name in ("weights_dense", "nonzero_weights", "weights_compact", "macs_nonzero"):
        assert row[name] == pytest.approx(runs[name].astype(float).mean())
    assert row["macs_nonzero"] < row["macs_compact"] < row["macs_dense"]
    model = f"tl1/{results.run_name(runs['step'].iloc[0], 0)}"
    timing = tree.evidence.timings("mnist-lenet5")[model]
    assert row["gzip_kb"] == timing["gzip_bytes"] / 1e3
    assert dict(zip(left.header, left.rows[0], strict=True))["blocked"] == "–"
    assert left.rows[-1][-1] == "1/2"


def test_memory_is_what_is_added_to_the_floor_beside_the_whole_process(every, table, tree):
    memory = next(t for t in every if t.name == "memory")
    assert len(memory.rows) == len(tree.problems) * (1 + len(tree.methods)) * 2
    own = memory.frame.set_index(["problem", "network", "arena"]).sort_index()
    model = f"tl1/{results.run_name(runs_of(table, 'tl1')['step'].iloc[0], 0)}"
    for arena in (True, False):
        row = own.loc[("mnist-lenet5", "tl1", arena)]
        measured = tree.evidence.memory("mnist-lenet5", arena=arena)[model]
        for name in ("added_load_mib", "added_peak_ratio_low", "uss_run_mib", "hwm_mib"):
            assert row[name] == measured[name]
    on, off = (own.loc[("mnist-lenet5", "tl1", arena)] for arena in (True, False))
    assert off["added_peak_mib"] == pytest.approx(on["added_peak_mib"] + 0.2)
    printed = [dict(zip(memory.header, row, strict=True)) for row in memory.rows]
    floor, dense = printed[0], printed[2]
    assert (floor["network"], floor["arena"], dense["network"]) == ("floor", "on", "dense")
    assert floor["added, loaded [MiB]"] == floor["added, peak [% of dense]"] == "–"
    whole = own["uss_run_mib"].xs(True, level="arena")["mnist-lenet5"]
    assert whole["floor"] < whole["tl1"] < whole["dense"]
    assert float(dense["process, run [MiB]"]) > 20
    mib = on["added_load_mib"]
    shown = next(r for r in printed if (r["problem"], r["network"]) == ("mnist-lenet5", "TL1"))
    assert shown["added, loaded [MiB]"] == f"{mib:.3f} [{mib - 0.004:.3f}, {mib + 0.008:.3f}]"
    assert shown["added, peak [% of dense]"].startswith(f"{100 * on['added_peak_ratio']:.1f} [")


def test_memory_measured_before_it_had_a_floor_is_a_dash(table, tree, monkeypatch):
    older = {"dense": {"uss_load_mib": 23.0, "uss_run_mib": 25.0, "hwm_mib": 60.0}}
    monkeypatch.setattr(type(tree.evidence), "memory", lambda *_, **__: older)
    (made,) = memory_table.make(table, tree.evidence)
    dense = next(row for row in made.rows if row[1] == "dense")
    assert dense[3:] == ("–",) * 4 + ("23.0", "25.0", "60.0")


def test_fronts_count_what_nothing_beats_and_areas_are_shares_of_the_reference(every, table):
    fronts = next(t for t in every if t.name == "fronts").frame
    points = operating_points(table, ("weights_kept", "test_error"))
    points = points[points["problem"] == "mnist-lenet5"]
    pairs = points[["weights_kept_mean", "test_error_mean"]].to_numpy()
    beaten = [any((q <= p).all() and (q < p).any() for q in pairs) for p in pairs]
    expected = points["method"][~np.array(beaten)].value_counts()
    own = fronts[fronts["problem"] == "mnist-lenet5"].set_index("method")
    for method, row in own.iterrows():
        assert row["front_size"] == expected.get(method, 0)
        assert 0 <= row["hypervolume_size"] < 1
        assert method == "dense" or 0 <= row["hypervolume_latency"] < 1  # dense is not timed here
    # One point that is as small and as good as can be would dominate the whole reference.
    dense = points.loc[points["method"] == "dense", "test_error_mean"].item()
    mine = points[points["method"] == "integrated_tl1"]
    best = (dense + 3 - mine["test_error_mean"].min()) / 3
    share = 1 - mine["weights_kept_mean"].min() / 100
    assert 0 < own.loc["integrated_tl1", "hypervolume_size"] <= best * share
