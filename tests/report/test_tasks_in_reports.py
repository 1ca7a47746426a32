"""Numbers learned are reported as numbers, and where nothing was learned nothing is best."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pandas as pd
import pytest
from made_up_results import Tree

from tl1bench import figures, tasks
from tl1bench.report import page, readme, tables, verdict
from tl1bench.report.tables import between_fronts, fronts, objectives, selected
from tl1bench.results.evidence import Evidence
from tl1bench.results.guessing import marks

PROBLEM = "digits-mlp"


@pytest.fixture(scope="module")
def numbers(tree: Tree) -> Evidence:
    """The first problem learns numbers."""
    return replace(tree.evidence, tasks={PROBLEM: "regression"})


@pytest.fixture(scope="module")
def explained(table: pd.DataFrame) -> pd.DataFrame:
    of_problem = table["problem"] == PROBLEM
    return table.assign(
        test_rmse=(table["test_error_pct"] / 50).where(of_problem),
        test_r2=(1 - (table["test_error_pct"] / 100) ** 2).where(of_problem),
    )


@pytest.fixture(scope="module")
def guessed(table: pd.DataFrame) -> pd.DataFrame:
    """Nothing was learned on the first problem; on the second one, TL1 alone guesses."""
    guesses = (table["problem"] == PROBLEM) | (table["method"] == "tl1")
    return table.assign(guess_error_pct=90.0, guess_p=guesses.map({True: 0.4, False: 1e-9}))


@pytest.fixture(scope="module")
def aware(tree: Tree, guessed: pd.DataFrame) -> Evidence:
    return replace(tree.evidence, guesses=marks(guessed[guessed["selected"]]))


def text_of(value: Any) -> str:
    return " ".join(str(v) for v in (value.title, value.note, *value.header, *value.rows))


def test_numbers_have_an_rmse_with_its_unit_and_r2(
    explained: pd.DataFrame, numbers: Evidence
) -> None:
    first, second = selected.make(explained, numbers)
    assert {"test RMSE [% of σ]", "RMSE [own unit]", "R²"} <= set(first.header)
    assert "test error [%]" not in first.header
    assert "σ is the standard deviation" in first.note
    assert "test error [%]" in second.header
    assert "R²" not in second.header
    dense = dict(zip(first.header, first.rows[0], strict=True))
    own = explained[(explained["problem"] == PROBLEM) & (explained["method"] == "dense")]
    assert float(dense["R²"]) == pytest.approx(own["test_r2"].mean(), abs=1e-3)


def test_a_table_of_both_names_both(explained: pd.DataFrame, numbers: Evidence) -> None:
    (found,) = objectives.make(explained, numbers)
    assert "test RMSE [% of σ] or test error [%]" in found.header
    (points,) = tables.every(explained, numbers)[-1:]
    assert "R² [of the test split]" in points.header


def test_sentences_and_axes_say_what_is_counted(explained: pd.DataFrame, numbers: Evidence) -> None:
    said = verdict.judge(explained, numbers)
    lines = {name: " ".join(line.sentence for line in found) for name, found in said.lines}
    assert "test RMSE" in lines[PROBLEM]
    assert "test error" not in lines[PROBLEM]
    assert "test error" in lines["mnist-lenet5"]
    assert any("% of σ, " in sentence for sentence in said.dense)
    figure = figures.draw("accuracy_size", explained, numbers)
    labels = {axes.get_title(loc="left"): axes.get_ylabel() for axes in figure.axes}
    assert labels[PROBLEM] == "test RMSE [% of σ]"
    assert labels["mnist-lenet5"] == "test error [%]"
    curves = figures.draw("training_curves", explained, numbers)
    assert "validation RMSE [% of σ]" in {axes.get_ylabel() for axes in curves.axes}


def test_the_first_line_says_that_nothing_was_learned(
    guessed: pd.DataFrame, aware: Evidence
) -> None:
    html = page.section(guessed, aware, {}, ())
    alarm = html.index("NOTHING WAS LEARNED on digits-mlp: dense has a validation error of")
    assert alarm < html.index('class="verdict"')
    assert "guessing the commonest class 90.0 % (p = 0.4)" in html
    assert "On mnist-lenet5 no better than guessing the commonest class: TL1." in html
    assert "LEARNED on mnist-lenet5" not in html


def test_nothing_is_best_where_nothing_was_learned(guessed: pd.DataFrame, aware: Evidence) -> None:
    first, second = selected.make(guessed, aware)
    assert not first.bold
    assert first.title == "digits-mlp: nothing was learned"
    assert "None is the best" in first.note
    assert second.bold
    (found,) = objectives.make(guessed, aware)
    assert {found.rows[row][0] for row, _ in found.bold} == {"mnist-lenet5"}
    for room in (fronts, between_fronts):
        (made,) = room.make(guessed, aware)
        assert {row[0] for row in made.rows} == {"mnist-lenet5"}
    assert [name for name, _ in verdict.judge(guessed, aware).lines] == ["mnist-lenet5"]


def test_a_method_that_guesses_is_marked_and_never_best(
    guessed: pd.DataFrame, aware: Evidence
) -> None:
    made = selected.make(guessed, aware)[1]
    (row,) = (i for i, cells in enumerate(made.rows) if cells[0] == "TL1 (guesses)")
    assert row not in {i for i, _ in made.bold}
    (found,) = objectives.make(guessed, aware)
    rows = [i for i, cells in enumerate(found.rows) if cells[2] == "TL1 (guesses)"]
    assert rows
    assert not {i for i, _ in found.bold} & set(rows)
    (line,) = (
        line for _, lines in verdict.judge(guessed, aware).lines for line in lines
        if "TL1 (guesses)" in line.sentence
    )  # fmt: skip
    assert line.baseline == "TL1"


def test_the_readmes_table_names_the_error_and_marks_what_guesses(guessed: pd.DataFrame) -> None:
    kinds = {PROBLEM: tasks.load("regression"), "mnist-lenet5": tasks.load()}
    rows = readme._results(guessed, 0.5, kinds).splitlines()
    assert "test RMSE % of σ or test error %" in rows[0]
    (first,) = (row for row in rows if PROBLEM in row)
    assert "nothing was learned" in first
    only = guessed[guessed["method"].isin(["dense", "tl1"])]
    hero = only.assign(method=only["method"].replace("tl1", "integrated_tl1"))
    marked = [row for row in readme._results(hero, 0.5, kinds).splitlines() if "(guesses)" in row]
    assert len(marked) == 3
    assert all("(none within)" in row for row in marked)


def test_figures_say_that_nothing_was_learned(guessed: pd.DataFrame, aware: Evidence) -> None:
    figure = figures.draw("accuracy_size", guessed, aware)
    titles = {axes.get_title(loc="left") for axes in figure.axes}
    assert titles == {"digits-mlp: nothing was learned", "mnist-lenet5"}
