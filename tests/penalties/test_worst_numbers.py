"""Extremes: values and proxes against independent formulas, far past every validity range."""

from __future__ import annotations

import numpy as np
import pytest
import worst_numbers as worst

from tl1bench import penalties


def test_every_formula_is_that_of_a_penalty() -> None:
    assert set(worst.VALUE) <= set(penalties.names())
    assert "integrated_tl1" in worst.VALUE


@pytest.mark.parametrize("name", worst.VALUE)
def test_value_is_the_formula_and_prox_its_argmin_at_extremes(name: str) -> None:
    gap, off = worst.worst_of(name, np.random.default_rng(1), 4)
    assert gap <= 1e-10
    assert off <= 1e-10


def test_float32_stays_within_two_units_in_the_last_place() -> None:
    assert max(worst.float32_errors(np.random.default_rng(2), 30)) <= 1


@pytest.mark.parametrize("spoiled", [1 + 1e-4, 1 - 1e-4])
def test_the_oracle_notices_a_prox_that_is_slightly_off(
    spoiled: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = worst.prox
    monkeypatch.setattr(
        worst, "prox", lambda p, z, step: np.clip(right(p, z, step) * spoiled, -abs(z), abs(z))
    )
    assert worst.worst_of("l1", np.random.default_rng(1), 4)[0] > 1e-10
