"""Sparse variational dropout: weights whose noise drowns them are zero."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from tl1bench.methods._noisy import Noisy, NoisyMethod
from tl1bench.training.method import Start

_K = (0.63576, 1.87320, 1.48695)
_THRESHOLD = 3.0
_EPS = 1e-8
_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)


class VariationalDropout(NoisyMethod):
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
        super().__init__(first, reach)
        self.log_sigma2 = log_sigma2

    def __repr__(self) -> str:
        return f"VariationalDropout({self.first}, {self.reach}, {self.log_sigma2})"

    def trainer(self, start: Start) -> Noisy:
        """Return the optimiser of means and variances."""
        return _Gaussian(start, self.reach, self.log_sigma2)


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
        self._iterations, self._batch = start.iterations, 1
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
        share = self.price / (self._iterations * self._batch)
        for name in self._noised:
            theta, noise = self._leaf(name, "trained"), self._leaf(name, "noise")
            slope = kl_slope(_log_alpha(theta.detach(), noise.detach())).mul_(share)
            ratio = -2 * theta.detach() / (theta.detach().square() + _EPS)
            noise.grad = slope if noise.grad is None else noise.grad + slope
            theta.grad = slope * ratio if theta.grad is None else theta.grad.addcmul(slope, ratio)


def _log_alpha(theta: Tensor, log_sigma2: Tensor) -> Tensor:
    return log_sigma2 - (theta.square() + _EPS).log()
