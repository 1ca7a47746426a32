"""The one idea of the same function."""

from __future__ import annotations

import pytest
import torch

from tl1bench.tracing import agreement


def test_the_difference_is_relative_to_the_largest_but_never_below_one() -> None:
    small = torch.tensor([0.1, 0.2], dtype=torch.float64)
    assert agreement.difference(small, small + 0.01) == pytest.approx(0.01)
    assert agreement.difference(100 * small, 100 * small + 1.0) == pytest.approx(1 / 20)


def test_outputs_of_any_structure_are_compared_leaf_by_leaf() -> None:
    a, b = torch.zeros(3), torch.ones(2)
    assert agreement.difference({"x": a, "y": [b]}, {"x": a, "y": [b + 0.5]}) == 0.5
    assert agreement.difference((a, b), (a, b)) == 0


@pytest.mark.parametrize(
    "found",
    [
        torch.zeros(4),
        torch.zeros(3, 1),
        (torch.zeros(3), torch.zeros(3)),
        torch.full((3,), torch.nan),
    ],
)
def test_other_shapes_counts_and_what_is_no_number_never_agree(found: object) -> None:
    assert agreement.difference(torch.zeros(3), found) == float("inf")
    assert not agreement.same(torch.zeros(3), found)


def test_rounding_grows_with_depth_up_to_what_onnxruntime_may() -> None:
    eps = torch.finfo(torch.float32).eps
    assert agreement.rounding(torch.float32) == 100 * eps
    assert agreement.rounding(torch.float32, depth=3) == pytest.approx(300 * eps)
    assert agreement.rounding(torch.float32, depth=500) == agreement.ONNXRUNTIME
    assert agreement.rounding(torch.bfloat16) > agreement.ONNXRUNTIME
    assert agreement.rounding(torch.float64, depth=500) < agreement.FLOAT64 * 1e3


def test_rounding_is_the_same_function_and_more_is_not() -> None:
    x = torch.ones(5)
    assert agreement.same(x, x + 50 * torch.finfo(torch.float32).eps)
    assert not agreement.same(x, x + 1e-3)
    assert agreement.same(torch.arange(3), torch.arange(3) + 1)  # whole numbers are no results


def test_only_decided_predictions_count() -> None:
    expected = torch.tensor([[1.0, 0.0], [0.5, 0.5 + 1e-7], [3.0, 5.0]])
    tie_broken = torch.tensor([[1.0, 1e-6], [0.5 + 1e-6, 0.5], [3.0, 5.0]])
    assert agreement.changed_predictions(expected, tie_broken, 1e-4) == 0
    turned = torch.tensor([[0.4, 0.6], [0.6, 0.5], [3.0, 5.0]])
    assert agreement.changed_predictions(expected, turned, 1e-4) == 1
    assert agreement.changed_predictions(torch.zeros(3), torch.ones(3), 1e-4) == 0
