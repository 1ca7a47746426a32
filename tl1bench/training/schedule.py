"""Learning rate and λ over the iterations of one run."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tl1bench.config import Budget


@dataclass(frozen=True)
class Schedule:
    """Learning rate and λ factor as functions of the iteration."""

    budget: Budget
    iterations_per_epoch: int

    @property
    def penalised(self) -> int:
        """Iterations of the penalised phase."""
        by_epochs = max(1, round(self.budget.epochs * self.iterations_per_epoch))
        return self.budget.iterations or by_epochs

    @property
    def debias(self) -> int:
        """Iterations of the debias phase."""
        return round(self.budget.debias_epochs * self.iterations_per_epoch)

    @property
    def total(self) -> int:
        """Iterations of both phases."""
        return self.penalised + self.debias

    def lr(self, t: int) -> float:
        """Return the learning rate of iteration `t`, counted from 0."""
        b = self.budget
        if t >= self.penalised:
            return b.debias_lr * (1 - (t - self.penalised) / self.debias)
        rise = _ramp(t, b.warmup * self.penalised)
        if b.decay:
            return b.lr * rise * b.decay.factor ** (t // b.decay.every)
        fall = (t / self.penalised - b.hold) / max(1 - b.hold, 1e-12)
        return b.lr * rise * (1 - max(0.0, fall) * (1 - b.final_lr))

    def lam_scale(self, t: int) -> float:
        """Return the factor in [0, 1] on λ: the linear ramp."""
        return _ramp(t, self.budget.ramp * self.penalised)

    def curve(self) -> set[int]:
        """Return the iterations after which the curve gets a point."""
        points = self.budget.curve_points
        marks = {math.ceil(self.total * (i + 1) / points) for i in range(points)}
        return {*marks, self.penalised}


def _ramp(t: int, length: float) -> float:
    """Return the factor of a linear rise over `length` iterations at iteration `t`."""
    return min(1.0, (t + 1) / length) if length > 0 else 1.0
