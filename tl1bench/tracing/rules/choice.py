"""Calls of three tensors: numbers chosen by a condition, as a mask hides scores; a + b c."""

from __future__ import annotations

from tl1bench.tracing.rules._base import Rule
from tl1bench.tracing.rules._broadcast import BROADCAST, CHOICE

OPS: dict[str, Rule] = {
    **dict.fromkeys(("where", "masked_fill"), CHOICE), "addcmul": BROADCAST,
}  # fmt: skip
