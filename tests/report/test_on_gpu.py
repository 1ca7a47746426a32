"""What the report says of a GPU, from a record that has the form of one and is none.

`cuda_example.json` was recorded on a CPU: its numbers say nothing about any GPU.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from tl1bench.report import page
from tl1bench.report.tables import on_gpu
from tl1bench.report.typeset import Table
from tl1bench.results import first_seed, layout
from tl1bench.results.evidence import Evidence

EXAMPLE = json.loads(Path(__file__).with_name("cuda_example.json").read_text())
PROBLEM, METHOD = "mnist-lenet5", "integrated_tl1"


@pytest.fixture
def evidence(tree, table, tmp_path) -> Evidence:
    """Return evidence in which one problem was measured on a GPU."""
    of_method = (table["problem"] == PROBLEM) & (table["method"] == METHOD) & table["selected"]
    model = first_seed(table[of_method]).model
    rows = [{**r, "model": model} if r["model"] == METHOD else r for r in EXAMPLE["rows"]]
    record = {**tree.evidence.measurement(PROBLEM), "cuda": {**EXAMPLE, "rows": rows}}
    file = layout.measurement_file(tmp_path, PROBLEM)
    file.parent.mkdir()
    file.write_text(json.dumps(record))
    return replace(tree.evidence, reports=tmp_path)


@pytest.fixture
def made(table: pd.DataFrame, evidence: Evidence) -> Table:
    (found,) = on_gpu.make(table, evidence)
    return found


def test_every_batch_has_a_row_a_network(made: Table) -> None:
    frame = made.frame
    assert set(frame["problem"]) == {PROBLEM}
    for method in ("dense", METHOD):
        assert list(frame[frame["method"] == method]["batch"]) == [1, 8, 64, 256, 1024]
    dense = frame[frame["method"] == "dense"]
    assert (dense["ratio_p50"] == 1).all()
    assert dense["examples_per_s"].tolist() == (1e6 * dense["batch"] / dense["p50_us"]).tolist()
    assert (frame["floor_us"] < frame["p50_us"]).all()


def test_the_cpu_stands_beside_where_it_was_measured(made: Table) -> None:
    text = [dict(zip(made.header, row, strict=True)) for row in made.rows]
    known = {row["batch"] for row in text if row["p50 on the CPU [µs]"] != "–"}
    assert known == {"1", "64"}
    assert made.latex().isascii()


def test_the_note_names_the_gpu_and_doubts_it_where_the_machine_was_busy(
    made: Table, table: pd.DataFrame, evidence: Evidence
) -> None:
    assert f"{PROBLEM}: no GPU, an example recorded on a CPU, onnxruntime" in made.note
    assert "NOT TO BE TRUSTED" not in made.note
    file = layout.measurement_file(evidence.reports, PROBLEM)
    record = json.loads(file.read_text())
    record["cuda"]["machine"] |= {"trusted": False, "reason": "others worked"}
    file.write_text(json.dumps(record))
    assert "NOT TO BE TRUSTED: others worked." in on_gpu.make(table, evidence)[0].note


def test_the_page_has_table_and_machine_of_a_gpu_and_nothing_without_one(
    made: Table, table: pd.DataFrame, evidence: Evidence, tree
) -> None:
    shown = page.section(table, evidence, {}, [made])
    assert f"Where {PROBLEM} on the GPU was measured" in shown
    assert "On a GPU: latency, batch by batch" in shown
    assert on_gpu.make(table, tree.evidence) == ()
    assert "GPU" not in page.section(table, tree.evidence, {}, [])
