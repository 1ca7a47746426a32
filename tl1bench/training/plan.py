"""How a path is walked."""

from __future__ import annotations

from dataclasses import dataclass

from tl1bench.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How a path is walked; the same for every method.

    Parameters
    ----------
    lr
        Constant rate η of the steps, and where a branch's linear fall to 0 begins; > 0.
    growth
        γ > 1: each step makes the penalty γ times as strong, or keeps 1/γ of the weights.
    epochs
        Epochs a step.
    branch_epochs
        Epochs a branch.
    dense_branch_epochs
        Epochs of the dense network's own branch; 0 for as many as any branch.
    branch_below
        Branches begin once less than this share of the weights is left, in (0, 1].
    dense_epochs
        Epochs without sparsity that the path starts with; 0 takes the network as trained, and one
        epoch is trained all the same, to count its iterations.
    margin
        The path ends when a branch's error exceeds the dense one's by more, in units of `evaluate`.
    steps
        At most so many steps.
    align
        In training, units that feed nothing stay while there are no multiple of this; ≥ 1.

    Raises
    ------
    ConfigError
        A value is out of range.
    """

    lr: float = 0.1
    growth: float = 1.35
    epochs: int = 2
    branch_epochs: int = 8
    dense_branch_epochs: int = 0
    branch_below: float = 0.6
    dense_epochs: int = 1
    margin: float = 1.0
    steps: int = 30
    align: int = 1

    def __post_init__(self) -> None:
        wanted = {
            "lr": (self.lr > 0, "a number > 0"),
            "growth": (self.growth > 1, "a number > 1"),
            "epochs": (self.epochs >= 1, "1 or more"),
            "branch_epochs": (self.branch_epochs >= 1, "1 or more"),
            "dense_branch_epochs": (self.dense_branch_epochs >= 0, "0 or more"),
            "branch_below": (0 < self.branch_below <= 1, "a share in (0, 1]"),
            "dense_epochs": (self.dense_epochs >= 0, "0 or more"),
            "margin": (self.margin >= 0, "a number ≥ 0"),
            "steps": (self.steps >= 1, "1 or more"),
            "align": (self.align >= 1, "1 or more"),
        }
        for name, (holds, what) in wanted.items():
            if not holds:
                raise ConfigError(f"{name} is {getattr(self, name)!r}; give {what}.")

    @property
    def longest(self) -> int:
        """The most epochs that such a path can take, its dense start and network among them."""
        dense = self.dense_epochs + (self.dense_branch_epochs or self.branch_epochs)
        return dense + self.steps * (self.epochs + self.branch_epochs)
