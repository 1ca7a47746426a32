"""Numbers chosen by a condition, such as the scores that a mask hides."""

from __future__ import annotations

from tl1bench.tracing.rules._base import Rule
from tl1bench.tracing.rules._broadcast import CHOICE

OPS: dict[str, Rule] = dict.fromkeys(("where", "masked_fill"), CHOICE)
