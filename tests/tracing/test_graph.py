"""Constants that a graph computes are made beforehand, unless a file could fill the memory so."""

import pytest
import torch
from torch import Tensor, fx

from tl1bench.errors import CompactionError
from tl1bench.tracing.graph import fold

ATEN = torch.ops.aten


def folded(target: object, *operands: Tensor, rest: tuple[object, ...] = ()) -> Tensor | None:
    """Return what a call becomes of which all operands are known; None where it stays a call."""
    graph = fx.Graph()
    known = {graph.placeholder(f"t{i}"): operand for i, operand in enumerate(operands)}
    call = graph.call_function(target, (*known, *rest))
    fold(call, known)
    return known.get(call)


def test_a_call_on_constants_is_made() -> None:
    assert folded(ATEN.mul.Tensor, torch.ones(3), torch.full((3,), 2.0)).tolist() == [2.0] * 3


def test_repeating_is_made_where_its_numbers_allow() -> None:
    repeated = folded(ATEN.repeat_interleave.self_Tensor, torch.arange(2.0), torch.tensor([2, 1]))
    assert repeated.tolist() == [0.0, 0.0, 1.0]


def test_what_a_mask_takes_is_made_whatever_its_size() -> None:
    mask = torch.ones(3000, dtype=torch.bool)
    taken = folded(ATEN.masked_select.default, torch.ones(3000), mask)
    assert taken.numel() == 3000


@pytest.mark.parametrize("overload", ["self_Tensor", "Tensor"])
def test_a_repetition_that_fills_the_memory_stays_a_call(overload: str) -> None:
    many = torch.tensor([10**12, 1])
    operands = (many,) if overload == "Tensor" else (torch.zeros(2), many)
    assert folded(getattr(ATEN.repeat_interleave, overload), *operands) is None


def test_a_shape_that_fills_the_memory_is_refused() -> None:
    with pytest.raises(CompactionError, match="makes a constant of 1,000,000,000,000 numbers"):
        folded(ATEN.expand_copy.default, torch.zeros(1), rest=([10**12],))
