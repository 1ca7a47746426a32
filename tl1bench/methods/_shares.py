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

    Raises
    ------
    ConfigError
        A value is out of range.
    """

    def __init__(self, first: float, ratio: float | None) -> None:
        if not 0 < first < 1:
            raise ConfigError(f"first is {first!r}; give a share between 0 and 1.")
        if ratio is not None and not ratio > 1:
            raise ConfigError(f"ratio is {ratio!r}; give a number > 1, or none for the path's.")
        self.first, self.ratio, self._share = first, ratio, 0.0

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

    def state(self) -> dict[str, float]:
        """Return the share kept."""
        return {"share": self._share}

    def resume(self, state: dict[str, float]) -> None:
        """Take over the share kept, and hold the zeros."""
        self._share = state["share"]
        if self._share:
            self._optimizer.freeze_zeros()
