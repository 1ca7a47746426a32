"""The words follow from the numbers, also when they are bad."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from tl1bench.report.verdict import judge


def shifted(table, error: float, size: float):
    """The same table with integrated TL1's errors moved and its sizes multiplied."""
    hero = table["method"] == "integrated_tl1"
    other = table[table["selected"] & (table["method"] == "tl1")]
    changed = table.copy()
    for row in table[hero & table["selected"]].itertuples():
        like = other[(other["problem"] == row.problem) & (other["seed"] == row.seed)].iloc[0]
        changed.loc[row.Index, "test_error_pct"] = like["test_error_pct"] + error + 1e-3 * row.seed
        changed.loc[row.Index, "weights_compact"] = int(like["weights_compact"] * size) + int(
            row.seed
        )
    return changed


def badges(verdict, baseline: str) -> set[str]:
    return {
        line.outcome for _, lines in verdict.lines for line in lines if line.baseline == baseline
    }


@pytest.mark.parametrize(
    ("error", "size", "word"), [(-3, 0.5, "wins"), (3, 2, "loses"), (3, 0.5, "trades")]
)
def test_wins_and_losses_are_called_so(tree, table, error, size, word):
    verdict = judge(shifted(table, error, size), tree.evidence)
    assert badges(verdict, "TL1") == {word}


def test_a_defeat_reaches_the_headline(tree, table):
    verdict = judge(shifted(table, 9, 50), tree.evidence)
    assert "wins 0" in verdict.headline
    assert "loses 8" in verdict.headline
    assert "No advantage over any of them is shown" in verdict.headline


def test_without_another_method_there_is_nothing_to_win(tree, table):
    names = ("dense", "integrated_tl1")
    evidence = dataclasses.replace(tree.evidence, methods=names)
    verdict = judge(table[table["method"].isin(names)], evidence)
    assert verdict.headline.startswith("Nothing but integrated TL1 was trained beside dense")
    assert verdict.dense


def test_equal_results_are_a_tie(tree, table):
    same = table.copy()
    for column in ("test_error_pct", "weights_compact"):
        values = same[same["selected"]].groupby(["problem", "seed"])[column].transform("first")
        same.loc[values.index, column] = values
    verdict = judge(same, tree.evidence)
    assert "ties 8" in verdict.headline
    assert all(badges(verdict, name) == {"ties"} for name in ("ℓ1", "TL1", "group lasso"))


def test_every_comparison_is_listed_by_problem_with_its_intervals(tree, table):
    verdict = judge(table, tree.evidence)
    assert [problem for problem, _ in verdict.lines] == list(tree.problems)
    for _, lines in verdict.lines:
        assert [line.baseline for line in lines] == [
            "ℓ1",
            "group lasso",
            "sparse group lasso",
            "TL1",
        ]
        assert all(line.sentence.count("[") == 2 for line in lines)


def test_the_distance_to_dense_is_the_mean_over_seeds(tree, table):
    chosen = table[table["selected"] & (table["problem"] == "digits-mlp")].set_index("seed")
    mine = chosen[chosen["method"] == "integrated_tl1"]["test_error_pct"]
    dense = chosen[chosen["method"] == "dense"]["test_error_pct"]
    assert f"{(mine - dense).mean():+.2f} [" in judge(table, tree.evidence).dense[0]


def test_one_seed_is_said_to_show_nothing(tree, table):
    verdict = judge(table[table["seed"] == 0].reset_index(drop=True), tree.evidence)
    assert "ties 8" in verdict.headline
    assert all("one seed" in sentence for sentence in verdict.power)
    assert not any("[" in line.sentence for _, lines in verdict.lines for line in lines)


def test_without_baselines_there_is_nothing_to_compare(tree, table):
    only = table[table["method"].isin(["dense", "integrated_tl1"])]
    assert "nothing to compare" in judge(only, tree.evidence).headline


def test_more_seeds_can_show_smaller_differences(tree, table):
    bigger = table.iloc[np.tile(np.arange(len(table)), 4)].reset_index(drop=True)
    bigger["seed"] += 3 * np.repeat(np.arange(4), len(table))
    bigger["test_error_pct"] += np.random.default_rng(0).normal(0, 1, len(bigger))
    few = bigger[bigger["seed"] < 3]

    def least(t) -> float:
        return float(judge(t, tree.evidence).power[0].split("about ")[1].split()[0])

    assert least(bigger) < least(few)
