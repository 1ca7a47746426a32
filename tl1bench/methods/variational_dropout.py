"""Sparse variational dropout: weights whose noise drowns them are zero."""

from __future__ import annotations

from contextlib import AbstractContextManager

import torch
from torch import Tensor, nn
from torch.nn import functional

from tl1bench.errors import ConfigError
from tl1bench.methods._noisy import Noisy
from tl1bench.optimizers import ProximalOptimizer
from tl1bench.training.method import Method, Start

_K = (0.63576, 1.87320, 1.48695)
_THRESHOLD = 3.0
_EPS = 1e-8
_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)


class VariationalDropout(Method):
    """Each weight is w ~ N(θ, σ²), the loss is E[L] + (κ_k/N) Σ KL(α), α = σ²/θ²; κ_k = κ_0 γ^k.

    A weight is 0 where log α > 3, else θ. κ = 1 is the evidence lower bound as published, with the
    log-uniform prior; N is the number of training examples. σ² is additive (log σ² is trained, not
    log α), and the noise is drawn at the results of linear layers and convolutions, not at their
    weights (local reparametrisation); at the weights for transposed convolutions.

    Against the paper: θ is trained by the path's momentum SGD, Adam trains log σ² alone; units all
    of whose readers are 0 are cut out and come back no more.

    Parameters
    ----------
    first
        κ_0 > 0.
    reach
        How far log σ² can move in an epoch, > 0: Adam's rate is this over the epoch's iterations.
    log_sigma2
        log σ² of the beginning.

    Raises
    ------
    ConfigError
        A value is out of range.

    Source: Molchanov, Ashukha & Vetrov, ICML 2017, eqs. (11), (13), (14).
    """

    def __init__(self, first: float = 0.1, reach: float = 4.0, log_sigma2: float = -10.0) -> None:
        if not first > 0:
            raise ConfigError(f"first is {first!r}; give a number > 0.")
        if not reach > 0:
            raise ConfigError(f"reach is {reach!r}; give a number > 0.")
        self.first, self.reach, self.log_sigma2 = first, reach, log_sigma2
        self._step = 0

    def __repr__(self) -> str:
        return f"VariationalDropout({self.first}, {self.reach}, {self.log_sigma2})"

    def begin(self, start: Start) -> ProximalOptimizer:
        """Return the optimiser of means and variances."""
        self._start = start
        self._optimizer = _Gaussian(start, self.reach, self.log_sigma2)
        return self._optimizer

    def advance(self, left: float) -> float:  # noqa: ARG002
        """Raise κ."""
        self._step += 1
        self._optimizer.generator.manual_seed(self._step)
        self._optimizer.kappa = self.first * self._start.growth ** (self._step - 1)
        return self._optimizer.kappa

    def training(self) -> AbstractContextManager[None]:
        """Return what lets the layers compute with noise."""
        return self._optimizer.noise()

    def state(self) -> dict[str, float]:
        """Return the number of the step, and of iterations."""
        return {"step": self._step, "taken": self._optimizer.taken}

    def resume(self, state: dict[str, float]) -> None:
        """Go on after that step."""
        self._step, self._optimizer.taken = int(state["step"]), int(state["taken"])


def kl(log_alpha: Tensor) -> Tensor:
    """Return KL(N(θ, αθ²) ‖ log-uniform) up to a constant, which makes it 0 for α → ∞: eq. (14)."""
    k1, k2, k3 = _K
    return k1 - k1 * torch.sigmoid(k2 + k3 * log_alpha) + 0.5 * functional.softplus(-log_alpha)


def kl_slope(log_alpha: Tensor) -> Tensor:
    """Return the derivative of `kl` by log α, in less time than autograd takes."""
    k1, k2, k3 = _K
    s = torch.sigmoid(k2 + k3 * log_alpha)
    return (s * (1 - s)).mul_(-k1 * k3).sub_(torch.sigmoid(-log_alpha), alpha=0.5)


class _Gaussian(Noisy):
    """ψ is log σ²."""

    def __init__(self, start: Start, reach: float, log_sigma2: float) -> None:
        super().__init__(start.model, start.lr, reach / start.iterations)
        self.kappa, self._iterations, self._batch = 0.0, start.iterations, 1
        for weight in self._penalised.values():
            self.state[weight]["noise"].fill_(log_sigma2)

    @torch.no_grad()
    def settle(self) -> None:
        """Write θ where log α ≤ 3, 0 elsewhere."""
        for weight in self._noised.values():
            state = self.state[weight]
            alive = _log_alpha(state["trained"], state["noise"]) <= _THRESHOLD
            weight.copy_(state["trained"] * alive)

    def _seen(self, name: str, module: nn.Module) -> Tensor:
        theta, noise = self._leaf(name, "trained"), self._leaf(name, "noise")
        if isinstance(module, (nn.Linear, *_CONVOLUTIONS)):
            return theta
        return theta + (0.5 * noise).exp() * self._drawn(theta)

    def _heard(self, name: str, module: nn.Module, x: Tensor, y: Tensor) -> Tensor:
        self._batch = x.shape[0]
        variances = self._leaf(name, "noise").exp()
        if isinstance(module, nn.Linear):
            spread = functional.linear(x.square(), variances)
        elif isinstance(module, _CONVOLUTIONS):
            spread = module._conv_forward(x.square(), variances, None)
        else:
            return y
        return y + (spread + _EPS).sqrt() * self._drawn(y)

    def _drawn(self, like: Tensor) -> Tensor:
        drawn = torch.randn(like.shape, generator=self.generator)
        return drawn.to(like.device, like.dtype)

    def _pull(self) -> None:
        share = self.kappa / (self._iterations * self._batch)
        for name in self._noised:
            theta, noise = self._leaf(name, "trained"), self._leaf(name, "noise")
            slope = kl_slope(_log_alpha(theta.detach(), noise.detach())).mul_(share)
            ratio = -2 * theta.detach() / (theta.detach().square() + _EPS)
            noise.grad = slope if noise.grad is None else noise.grad + slope
            theta.grad = slope * ratio if theta.grad is None else theta.grad.addcmul(slope, ratio)


def _log_alpha(theta: Tensor, log_sigma2: Tensor) -> Tensor:
    return log_sigma2 - (theta.square() + _EPS).log()
