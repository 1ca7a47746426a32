"""Small dense networks: what another method's widths are worth without its weights.

Along the path of another method each branch forgets the weights: a dense network of the widths that
are left is drawn anew and trained for as many epochs as the path took to get there, at the path's
constant rate, and then as every branch. A pruning method that its small dense networks equal has
found widths, not weights.
"""

from __future__ import annotations

from contextlib import AbstractContextManager

from tl1bench.errors import ConfigError
from tl1bench.optimizers import ProximalOptimizer
from tl1bench.training.method import Method, Start


class SmallDense(Method):
    """The widths of another method, step by step; in every other respect that method.

    Scattered zeros of the other method do not count: the networks are dense.

    Parameters
    ----------
    of
        The other method; it must be one that removes units.

    Raises
    ------
    ConfigError
        `of` is no method.

    Source: Liu, Sun, Zhou, Huang & Darrell, Rethinking the value of network pruning, ICLR 2019
    (its Scratch-E).
    """

    anew = True

    def __init__(self, of: Method) -> None:
        if not isinstance(of, Method):
            raise ConfigError(f"of is {of!r}; give a method, such as tl.methods.load('random').")
        self.of = of

    def __repr__(self) -> str:
        return f"SmallDense({self.of!r})"

    def begin(self, start: Start) -> ProximalOptimizer:
        """Return the other method's optimiser."""
        return self.of.begin(start)

    def advance(self, left: float) -> float:
        """Let the other method go on."""
        return self.of.advance(left)

    def during(self, share: float) -> None:
        """Let the other method take notice."""
        self.of.during(share)

    def training(self) -> AbstractContextManager[None]:
        """Return what surrounds the other method's epochs."""
        return self.of.training()

    def state(self) -> dict[str, float]:
        """Return the other method's state."""
        return self.of.state()

    def resume(self, state: dict[str, float]) -> None:
        """Give the other method its state."""
        self.of.resume(state)
