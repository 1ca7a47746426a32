"""What a model adds to the floor, from made-up processes."""

from __future__ import annotations

import math

import pandas as pd
import pytest

from tl1bench.measuring.footprints import MEMORY, PROCESSES, footprints


def processes(models, numbers=3, noise=0.0):
    """Three processes a model, which have grown as said; the second began with `noise` more."""
    return pd.DataFrame(
        [
            (model, 1, 1, arena, n, empty, empty + load + n * step, empty + 2, 70, empty + peak)
            for model, (load, peak, step) in models.items()
            for arena in (True, False)
            for n in range(numbers)
            for empty in [22.0 + noise * (n == 1)]
        ],
        columns=list(PROCESSES),
    )


def test_a_model_adds_what_it_has_grown_by_more_than_the_floor():
    found = footprints(
        processes(
            {"dense": (5.0, 7.0, 0), "small": (1.5, 2.25, 0), "floor": (1.0, 2.0, 0)}, noise=0.1
        ),
        "dense",
    )
    assert tuple(found.columns) == MEMORY
    assert list(found["model"]) == ["dense"] * 2 + ["small"] * 2 + ["floor"] * 2
    assert (found["processes"] == 3).all()
    small = found[found["model"] == "small"].iloc[0]
    assert small["added_load_mib"] == pytest.approx(0.5)
    assert small["added_load_ratio"] == pytest.approx(0.125)
    assert small["added_peak_mib"] == pytest.approx(0.25)
    assert small["added_peak_ratio"] == pytest.approx(0.05)
    # A process that began with more has it before the model, and the whole process is its median.
    assert small["added_load_low_mib"] == pytest.approx(small["added_load_high_mib"])
    assert small["uss_load_mib"] == 23.5
    floor = found[found["model"] == "floor"]
    assert (floor[["added_load_mib", "added_peak_mib"]] == 0).all(axis=None)


def test_ranges_are_those_of_the_processes():
    found = footprints(
        processes({"dense": (5.0, 7.0, 0), "small": (1.5, 2.0, 0.5), "floor": (1.0, 1.0, 0)}),
        "dense",
    )
    small = found[found["model"] == "small"].iloc[0]
    added = [small[f"added_load{name}_mib"] for name in ("_low", "", "_high")]
    assert added == pytest.approx([0.5, 1.0, 1.5])
    ratio = [small[f"added_load_ratio{name}"] for name in ("_low", "", "_high")]
    assert ratio == pytest.approx([0.125, 0.25, 0.375])


@pytest.mark.parametrize("dense", [(1.0, 1.0, 0), (0.5, 0.5, 0)])
def test_a_share_of_nothing_is_unknown(dense):
    of = {"dense": dense, "small": (1.5, 1.5, 0), "floor": (1.0, 1.0, 0)}
    small = footprints(processes(of), "dense").iloc[2]
    assert small["added_load_mib"] == pytest.approx(0.5)
    assert math.isnan(small["added_load_ratio"])


def test_without_the_baseline_the_ratio_is_unknown_and_the_rest_is_not():
    found = footprints(processes({"small": (1.5, 1.5, 0), "floor": (1.0, 1.0, 0)}), "dense")
    assert found["added_peak_ratio"].isna().all()
    assert found["added_peak_mib"].notna().all()


def test_nothing_measured_is_an_empty_table():
    found = footprints(pd.DataFrame(columns=list(PROCESSES)), "dense")
    assert found.empty
    assert tuple(found.columns) == MEMORY
