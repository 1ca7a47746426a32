"""What a path leaves: one point for each branch, from large to small networks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from tl1bench.errors import ConfigError, needed_by

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure
    from torch import Tensor, fx

Size = Literal["nonzero_weights", "weights", "macs"]
SIZES: dict[str, str] = {
    "nonzero_weights": "non-zero weights",
    "weights": "weights of the compact network",
    "macs": "multiply-accumulates a sample",
}


@dataclass(frozen=True, eq=False)
class Point:
    """One network of a path.

    `step` counts the steps of the path from 1; 0 is the dense network. `level` is how strongly the
    method acted: λ, or the share of weights that it kept. `error` is what `evaluate` returned.
    `nonzero_weights` are those of the trained network, those behind units that are constant among
    them; `weights` and `macs` (a sample) are those of the compact `network`, which is the same
    function; all exclude biases. `state` are the trained weights in
    their original shapes, units that left being zeros: the model that was given loads them. `loss`
    is the branch's last mean training loss, NaN where `train_epoch` returns none; `seconds` is the
    time to this point: the dense start, all steps so far and its branch.
    """

    step: int
    level: float
    error: float
    nonzero_weights: int
    weights: int
    macs: int
    architecture: str
    network: fx.GraphModule
    state: Mapping[str, Tensor]
    loss: float
    seconds: float


class Points(Sequence[Point]):
    """The points of one path in the order of its steps; `ended` says why there are no more.

    `seconds` says where this call's time went: the dense start and its branch, steps with more than
    half of the weights left and later ones, branches, compaction, evaluation, proof. `course` has
    one row a step: step, epoch, level, train_loss, nonzero_weights, seconds.

    Parameters
    ----------
    points
        In the order of steps.
    dense_error
        What `evaluate` returned for the dense network.
    ended
        Why there are no more.
    seconds
        Where the time went.
    course
        A row a step.
    """

    def __init__(
        self,
        points: Sequence[Point],
        *,
        dense_error: float,
        ended: str,
        seconds: Mapping[str, float],
        course: Sequence[Mapping[str, float]] = (),
    ) -> None:
        self._points, self.dense_error, self.ended = tuple(points), dense_error, ended
        self.seconds, self.course = seconds, tuple(course)

    def __len__(self) -> int:
        return len(self._points)

    def __getitem__(self, index: int) -> Point:  # type: ignore[override]
        return self._points[index]

    def __iter__(self) -> Iterator[Point]:
        return iter(self._points)

    def pick(self, within: float = 0.5, by: Size = "weights") -> Point:
        """Return the smallest network whose error is within `within` of the dense one's.

        Parameters
        ----------
        within
            Allowed increase of the error, in the units of `evaluate`, ≥ 0.
        by
            What is to be small: "nonzero_weights", "weights" or "macs".

        Raises
        ------
        ConfigError
            No point is that good, or `by` is unknown.
        """
        if by not in SIZES:
            raise ConfigError(f"by is {by!r}; give one of {', '.join(SIZES)}.")
        able = [p for p in self if p.error <= self.dense_error + within]
        if not able:
            best = min((p.error for p in self), default=float("nan"))
            raise ConfigError(
                f"No network of the path is within {within:g} of the dense error "
                f"{self.dense_error:g}; the best has {best:g}. Allow more, or take shorter steps."
            )
        return min(able, key=lambda p: (getattr(p, by), p.error))

    def table(self) -> pd.DataFrame:
        """Return one row a point: step, level, error, sizes and architecture.

        Raises
        ------
        MissingPackageError
            pandas is not installed.
        """
        with needed_by("The table of a path"):
            import pandas as pd

        columns = ("step", "level", "error", *SIZES, "architecture")
        return pd.DataFrame([{c: getattr(p, c) for c in columns} for p in self], columns=columns)

    def plot(self, by: Size = "weights") -> Figure:
        """Return a figure of error against size, logarithmic, with the dense error as a line.

        Raises
        ------
        ConfigError
            `by` is unknown.
        MissingPackageError
            matplotlib is not installed.
        """
        with needed_by("The figure of a path"):
            from matplotlib.figure import Figure

        if by not in SIZES:
            raise ConfigError(f"by is {by!r}; give one of {', '.join(SIZES)}.")
        figure = Figure(figsize=(4.8, 3.2), layout="constrained")
        axes = figure.subplots()
        axes.plot([getattr(p, by) for p in self], [p.error for p in self], "o-")
        axes.axhline(self.dense_error, color="0.5", linestyle="--", label="dense")
        axes.set_xscale("log")
        axes.set_xlabel(SIZES[by])
        axes.set_ylabel("error")
        axes.legend(frameon=False)
        return figure
