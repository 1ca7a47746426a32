"""Numbers and names are printed one way everywhere."""

from __future__ import annotations

import math

import pytest

from tl1bench.results import printed


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.012345, "0.0123"), (4.449, "4.45"), (99.96, "100"), (18_341.0, "18,300"), (0.0, "0")],
)
def test_numbers_have_three_digits_and_no_exponent(value, text):
    assert printed.number(value).removesuffix(".0") == text


@pytest.mark.parametrize(("value", "text"), [(0.4, "+0.40"), (-0.256, "−0.26"), (-0.001, "0.00")])
def test_signed_numbers_have_a_sign_unless_they_round_to_nothing(value, text):
    assert printed.signed(value) == text


def test_what_is_not_known_is_a_dash():
    assert printed.known(math.nan) == printed.count(math.nan) == "–"
    assert printed.between(math.nan, 1.0, 2.0, printed.number) == "–"


def test_a_deviation_or_an_interval_that_is_not_known_is_left_out():
    assert printed.spread(1.256, math.nan) == "1.26"
    assert printed.spread(1.256, 0.5) == "1.26 ± 0.50"
    assert printed.between(0.5, math.nan, 1.0, printed.number) == "0.500"
    assert printed.between(0.5, 0.25, 1.0, printed.number) == "0.500 [0.250, 1.00]"


def test_a_method_without_a_name_of_its_own_is_printed_with_spaces():
    assert printed.display("integrated_tl1") == "integrated TL1"
    assert printed.display("my_new_one") == "my new one"


@pytest.mark.parametrize(
    ("p", "text"),
    [(0.0503, "0.0503"), (0.0497, "0.0497"), (0.0512, "0.051"), (0.4, "0.400"), (1e-5, "< 0.001")],
)
def test_a_p_beside_the_level_shows_its_side(p, text):
    assert printed.p_value(p, 0.05) == text
