"""The operating point is chosen on validation alone."""

from __future__ import annotations

import numpy as np
import pandas as pd

from tl1bench import results


def points(*rows: tuple[str, float, list[float], list[int]]) -> pd.DataFrame:
    """One problem from (method, λ, validation errors by seed, weights by seed); steps rank λ."""
    scale = sorted({lam for _, lam, _, _ in rows})
    return pd.DataFrame(
        [
            {
                "problem": "toy",
                "method": method,
                "step": scale.index(lam),
                "lam": lam,
                "seed": seed,
                "val_error_pct": error,
                "test_error_pct": 50.0 - error,
                "weights_compact": size,
                "nonzero_weights": 1000 - size,
                "macs_compact": size,
            }
            for method, lam, errors, sizes in rows
            for seed, (error, size) in enumerate(zip(errors, sizes, strict=True))
        ]
    )


def chosen(table: pd.DataFrame, method: str, tolerance: float = 0.5) -> float:
    picked = table[results.select(table, tolerance) & (table.method == method)]
    assert len(picked) == (table.lam == picked.lam.iloc[0]).sum()
    return picked.lam.iloc[0]


DENSE = ("dense", 0.0, [1.0, 1.2], [100, 100])


def test_selection_takes_the_smallest_network_within_the_tolerance():
    table = points(
        DENSE,
        ("l1", 1e-4, [1.1, 1.1], [60, 60]),
        ("l1", 2e-4, [1.4, 1.6], [35, 25]),
        ("l1", 3e-4, [1.5, 1.9], [5, 5]),
    )
    assert chosen(table, "l1") == 2e-4
    assert chosen(table, "l1", tolerance=0.7) == 3e-4
    assert chosen(table, "l1", tolerance=0.0) == 1e-4


def test_an_error_right_at_the_bar_is_within_it():
    # Exactly half a point above dense in every seed, yet the binary means are one bit too far.
    table = points(
        ("dense", 0.0, [0.9, 0.9, 1.12], [9, 9, 9]),
        ("l1", 1.0, [1.4, 1.62, 1.4], [1, 1, 1]),
        ("l1", 0.5, [1.0, 1.0, 1.0], [8, 8, 8]),
    )
    assert chosen(table, "l1") == 1.0


def test_without_a_point_within_the_tolerance_the_lowest_validation_error_is_taken():
    table = points(
        DENSE,
        ("l1", 1e-4, [9.0, 9.0], [60, 60]),
        ("l1", 2e-4, [8.0, 9.5], [30, 30]),
        ("l1", 3e-4, [20.0, 20.0], [5, 5]),
    )
    assert chosen(table, "l1") == 2e-4


def test_of_equal_points_the_smaller_lambda_is_taken():
    within = points(DENSE, ("l1", 3e-4, [1.2, 1.2], [5, 5]), ("l1", 1e-4, [1.0, 1.0], [5, 5]))
    beyond = points(DENSE, ("l1", 3e-4, [7.0, 8.0], [5, 5]), ("l1", 1e-4, [8.0, 7.0], [50, 50]))
    assert chosen(within, "l1") == chosen(beyond, "l1") == 1e-4


def test_dense_is_chosen_by_validation_error_alone_and_sets_the_bar():
    table = points(
        ("dense", 0.0, [1.3], [90]),
        ("dense", 1e-4, [1.0], [100]),
        ("l1", 1.0, [1.6], [10]),
        ("l1", 0.1, [1.2], [40]),
    )
    assert chosen(table, "dense") == 1e-4
    assert chosen(table, "l1") == 0.1


def test_test_errors_take_no_part_in_selection():
    rng = np.random.default_rng(0)
    lams = [10.0**-k for k in range(6)]
    table = points(
        DENSE, *(("tl1", lam, list(rng.uniform(1, 2, 2)), [int(9 / lam)] * 2) for lam in lams)
    )
    expected = results.select(table, 0.3)
    for seed in range(5):
        shuffled = table.assign(
            test_error_pct=np.random.default_rng(seed).permutation(table["test_error_pct"])
        )
        pd.testing.assert_series_equal(results.select(shuffled, 0.3), expected)
    without = table.drop(columns="test_error_pct")
    pd.testing.assert_series_equal(results.select(without, 0.3), expected)


def test_each_problem_is_selected_by_itself():
    one = points(DENSE, ("l1", 1e-4, [1.1, 1.1], [60, 60]), ("l1", 3e-4, [9.0, 9.0], [5, 5]))
    two = points(DENSE, ("l1", 1e-4, [1.1, 1.1], [60, 60]), ("l1", 3e-4, [1.3, 1.3], [5, 5]))
    both = pd.concat([one, two.assign(problem="other")], ignore_index=True)
    picked = both[results.select(both, 0.5) & (both.method == "l1")]
    assert dict(zip(picked.problem, picked.lam, strict=True)) == {"toy": 1e-4, "other": 3e-4}


def test_the_first_selected_run_is_that_of_the_lowest_seed(table):
    shuffled = table.sample(frac=1, random_state=0)
    run = results.first_selected(shuffled, "digits-mlp", "tl1")
    row = table[(table["problem"] == "digits-mlp") & (table["method"] == "tl1") & table["selected"]]
    assert run == results.Run("digits-mlp", "tl1", row["step"].iloc[0], 0)
    assert results.first_selected(table, "digits-mlp", "nothing") is None


def test_each_objective_has_its_own_choice():
    table = points(
        DENSE,
        ("l1", 1e-4, [1.1, 1.1], [60, 60]),  # fewest non-zeros: they are 1,000 - weights here
        ("l1", 2e-4, [1.4, 1.4], [30, 30]),
    )
    of_l1 = table["method"] == "l1"

    def taken(by: str) -> set[float]:
        return set(table["lam"][results.select(table, 0.5, by) & of_l1])

    assert taken("nonzero") == {1e-4}
    assert taken("weights") == taken("macs") == {2e-4}
    assert taken("latency") == {2e-4}  # nothing was measured: MACs decide
    measured = table.assign(latency_ratio_p50=np.where(table["lam"] == 1e-4, 0.2, np.nan))
    assert set(measured["lam"][results.select(measured, 0.5, "latency") & of_l1]) == {1e-4}


def test_a_step_that_a_seed_did_not_reach_is_not_chosen():
    table = points(DENSE, ("l1", 1e-4, [1.1, 1.1], [60, 60]), ("l1", 2e-4, [1.1], [5]))
    assert chosen(table, "l1") == 1e-4


def test_candidates_are_the_front_of_error_and_macs_over_all_methods():
    table = points(
        DENSE,
        ("l1", 1e-4, [1.1, 1.1], [60, 60]),
        ("l1", 2e-4, [1.4, 1.4], [70, 70]),  # larger and worse
        ("tl1", 1e-4, [2.0, 2.0], [10, 10]),
    )
    marked = table[results.candidates(table)]
    assert set(zip(marked["method"], marked["lam"], strict=True)) == {
        ("l1", 1e-4), ("tl1", 1e-4)
    }  # fmt: skip
