"""How the pipeline selects, compacts and measures."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from tl1bench.config.values import Frozen, NotNegative, Share

Objective = Literal["weights", "nonzero", "macs", "latency"]


class Select(Frozen):
    """How the operating point is chosen on the validation split.

    Of the points whose mean validation error is within `tolerance_pct` points of dense, the one
    that is smallest `by` what the user wants small.
    """

    by: Objective = "weights"
    tolerance_pct: NotNegative = 0.5


class Compact(Frozen):
    """How networks are compacted.

    `gather`: a linear layer picks its live inputs by an index first where at least this share of
    them is dead; null for never. Smaller, and at batch 1 no slower; at large batches it can be.
    """

    gather: Share | None = None


class Measure(Frozen):
    """The measuring protocol's settings."""

    mode: Literal["quick", "full"] = "quick"
    batches: tuple[Annotated[int, Field(ge=1)], ...] = Field((1,), min_length=1)
    threads: tuple[Annotated[int, Field(ge=1)], ...] = Field((1,), min_length=1)
    processes: int = Field(5, ge=2)

    @model_validator(mode="after")
    def _headline_is_there(self) -> Measure:
        if 1 not in self.batches or 1 not in self.threads:
            raise ValueError("batches and threads must both hold 1, the headline of runs.csv")
        return self
