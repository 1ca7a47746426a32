"""The stage that collects: the table, and evidence enough to draw the report again."""

from __future__ import annotations

from types import SimpleNamespace

import pandas as pd
import pytest
from made_up_results import PROFILE, make_tree

from tl1bench import results
from tl1bench.pipeline.stages import collect
from tl1bench.results import Run, layout
from tl1bench.results.evidence import Evidence

__all__ = ["make_tree"]


@pytest.fixture
def collected(make_tree, tmp_path):
    """Return a made-up tree, its runs and the evidence that the stage kept of it."""
    tree = make_tree(tmp_path, ("digits-mlp",), ("dense", "tl1"), (1e-4, 1e-3), (0, 1))
    build, reports = tree.evidence.build, tree.evidence.reports
    collect.run(
        SimpleNamespace(
            build=build,
            reports=reports,
            profile=PROFILE,
            problems={"digits-mlp": None},
            methods={"dense": None, "tl1": None},
            seeds=(0, 1),
            select=SimpleNamespace(tolerance_pct=0.5, by="weights"),
        )
    )
    kept = Evidence(reports / layout.EVIDENCE, reports, PROFILE, tree.problems, tree.methods)
    return tree, results.read(reports / layout.RUNS), kept


def test_the_evidence_of_selected_runs_is_what_they_wrote(collected):
    tree, table, kept = collected
    for row in table.to_dict("records"):
        run = Run(*(row[name] for name in Run._fields))
        assert (kept.build / layout.TRAIN / run.folder).is_dir() == row["selected"]
        if row["selected"]:
            pd.testing.assert_frame_equal(kept.history(run), tree.evidence.history(run))
            assert kept.layers(run) == tree.evidence.layers(run)


def test_the_first_layer_is_kept_of_the_first_seed_alone(collected):
    tree, table, kept = collected
    first = results.first_selected(table, "digits-mlp", "tl1")
    (name,) = kept.weights(first)
    assert (kept.weights(first)[name] == tree.evidence.weights(first)[name]).all()
    assert not kept.weights(first._replace(seed=1))


def test_the_fronts_are_means_over_seeds(collected):
    _, table, kept = collected
    fronts = pd.read_csv(kept.reports / layout.FRONTS)
    own = table[(table["method"] == "tl1") & (table["step"] == table["step"].max())]
    row = fronts[fronts["method"] == "tl1"].iloc[-1]
    assert row["nonzero_weights"] == own["nonzero_weights"].mean()
    assert row["test_error_pct"] == pytest.approx(own["test_error_pct"].mean())
    assert len(fronts) == len(table) / 2


def test_only_a_problem_on_which_nothing_was_learned_is_named(capsys):
    guess = {"val_error_pct": 49.0, "guess_error_pct": 50.0}
    chosen = pd.DataFrame(
        [
            {"problem": "a", "method": "dense", "guess_p": 0.3, **guess},
            {"problem": "b", "method": "dense", "guess_p": 1e-9, **guess},
            {"problem": "b", "method": "tl1", "guess_p": 0.9, **guess},
        ]
    )
    numbers = SimpleNamespace(dataset="mine")
    settings = SimpleNamespace(
        problems={"a": numbers, "b": numbers},
        datasets={"mine": SimpleNamespace(task="regression")},
    )
    collect._warn(settings, chosen)
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("NOTHING WAS LEARNED on a: dense has a validation RMSE of 49.0 % of σ, ")
    assert "guessing the mean 50.0 % of σ (p = 0.3)" in line
