"""Methods that are told how many weights to keep: the share s_k falls by a ratio at each step."""

from __future__ import annotations

from abc import abstractmethod

from tl1bench.errors import ConfigError
from tl1bench.optimizers import ProximalOptimizer
from tl1bench.training.method import Method, Start, plain_optimizer


class Shares(Method):
    """s_k = s_0 / ρ^k of the dense network's weights are kept; zeros are held, momentum SGD trains.

    Parameters
    ----------
    first
        s_0, in (0, 1).
    ratio
        ρ > 1; the path's growth γ when None.
    last
        No share below this is tried, in (0, s_0]; None for no such limit.

    Raises
    ------
    ConfigError
        A value is out of range.
    """

    def __init__(self, first: float, ratio: float | None, last: float | None = None) -> None:
        if not 0 < first < 1:
            raise ConfigError(f"first is {first!r}; give a share between 0 and 1.")
        if ratio is not None and not ratio > 1:
            raise ConfigError(f"ratio is {ratio!r}; give a number > 1, or none for the path's.")
        if last is not None and not 0 < last <= first:
            raise ConfigError(f"last is {last!r}; give a share of at most first, {first!r}.")
        self.first, self.ratio, self.last, self._share = first, ratio, last, 0.0

    @abstractmethod
    def cut(self, share: float, before: float) -> None:
        """Zero weights of the network until `share` of the dense one's are left, of `before`."""

    def begin(self, start: Start) -> ProximalOptimizer:
        """Return momentum SGD."""
        self._start, self._optimizer = start, plain_optimizer(start.model, start.lr)
        return self._optimizer

    def advance(self, left: float) -> float:  # noqa: ARG002
        """Cut down to the next share and hold the zeros."""
        before, ratio = self._share or 1.0, self.ratio or self._start.growth
        self._share = self._share / ratio if self._share else self.first
        self.cut(self._share, before)
        self._optimizer.freeze_zeros()
        return self._share

    def finished(self) -> bool:
        """Return whether the next share would be below the last one."""
        ratio = self.ratio or self._start.growth
        return self.last is not None and self._share / ratio < self.last

    def state(self) -> dict[str, float]:
        """Return the share kept."""
        return {"share": self._share}

    def resume(self, state: dict[str, float]) -> None:
        """Take over the share kept, and hold the zeros."""
        self._share = state["share"]
        if self._share:
            self._optimizer.freeze_zeros()
