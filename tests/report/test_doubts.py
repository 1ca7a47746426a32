"""Operating points that another draw or grid might have changed are called so."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd
import pytest

from tl1bench import results
from tl1bench.report.doubts import doubts

SEEDS = (0, 1, 2)


def runs(method: str, step: int, errors: tuple[float, ...], weights: int) -> list[dict]:
    return [
        {
            "problem": "p", "method": method, "step": step, "seed": seed, "val_error_pct": error,
            "weights_compact": weights, "macs_compact": weights,
        }
        for seed, error in zip(SEEDS, errors, strict=False)
    ]  # fmt: skip


@pytest.fixture
def said(tree):
    def of(*rows: list[dict]) -> list[str]:
        table = pd.DataFrame([row for group in rows for row in group])
        table["selected"] = results.select(table, 0.5)
        evidence = replace(tree.evidence, problems=("p",), methods=("dense", "l1"))
        return [sentence.removeprefix("p, ℓ1: ") for sentence in doubts(table, evidence)]

    return of


DENSE = runs("dense", 0, (1.0, 1.1, 1.2), 100)


def test_a_settled_choice_is_not_mentioned(said):
    assert said(DENSE, runs("l1", 1, (1.3, 1.4, 1.5), 50), runs("l1", 2, (3, 3, 3), 20)) == []


def test_nothing_within_the_tolerance(said):
    (one,) = said(DENSE, runs("l1", 1, (2, 2, 2), 50), runs("l1", 2, (3, 3, 3), 20))
    assert one.startswith("no point came within the bar on validation")


def test_the_end_of_the_path(said):
    (one,) = said(DENSE, runs("l1", 1, (1, 1.1, 1.2), 50), runs("l1", 2, (1.2, 1.3, 1.4), 20))
    assert one.startswith("the last point was still within")


def test_what_the_noise_may_let_in_and_what_it_may_throw_out(said):
    rows = [runs("l1", 1, (1.2, 1.4, 1.3), 50), runs("l1", 2, (1.4, 1.8, 1.65), 20)]
    (one,) = said(DENSE, *rows)
    assert one.startswith("point 2 lies 0.0167 points above the bar")
    assert one.endswith("another draw might choose it, at 0.400 × the size.")
    (one,) = said(DENSE, rows[0], runs("l1", 2, (1.4, 1.75, 1.6), 20), runs("l1", 3, (9,) * 3, 2))
    assert one.startswith("point 2 lies 0.0167 points below the bar")
    assert one.endswith("another draw might not choose it.")


def test_the_only_point_was_not_chosen(said):
    assert said(DENSE, runs("l1", 1, (1, 1, 1), 50)) == []


def test_one_seed_has_no_noise_to_speak_of(said):
    assert said(DENSE[:1], runs("l1", 1, (1.49,), 50), runs("l1", 2, (1.51,), 20)) == []
