"""Training through noise: the loss sees a random network, and between steps there is a plain one.

Two methods learn, beside each weight, how uncertain it may be. Both must be ordinary networks to
everything else: units are cut out, branches copied, checkpoints written. So parameters always hold
the network that the method stands for, exact zeros included. What is trained lies in the
optimiser's state, in the shape of the weight that it belongs to, and is therefore cut and stored
with it; while an epoch of a step runs, hooks show it, noise and all, to the layers alone.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from tl1bench import penalties
from tl1bench.errors import ConfigError
from tl1bench.optimizers import ProximalOptimizer, ProximalSGD
from tl1bench.training.method import Method, Start

_BETAS = (0.9, 0.999)
_EPS = 1e-8


class Noisy(ProximalSGD, ABC):
    """Momentum SGD on trained weights θ, Adam on one further number each, ψ.

    `state[p]` has θ as "trained" and ψ as "noise", of the shape of p. `taken` counts steps, which
    Adam needs; `generator` draws the noise and is nobody else's, so that examples come in the same
    order as with other methods. `price` weighs the regulariser.

    Parameters
    ----------
    model
        The network; its convolution and linear weights are trained through noise.
    lr
        η of momentum SGD.
    rate
        That of Adam, about the furthest that ψ moves in one step.
    """

    def __init__(self, model: nn.Module, lr: float, rate: float) -> None:
        super().__init__(model, penalties.load("none"), lr=lr)
        self.rate, self.taken, self.generator = rate, 0, torch.Generator()
        self.price = 0.0
        self._noised = {n: w for n, w in self._penalised.items() if w.requires_grad}
        self._modules = {n: model.get_submodule(n.rpartition(".")[0]) for n in self._noised}
        self._leaves: dict[tuple[str, str], Tensor] = {}
        for weight in self._penalised.values():
            state = self.state[weight]
            state["trained"] = weight.detach().clone()
            for entry in ("noise", "noise_mean", "noise_square"):
                state[entry] = torch.zeros_like(weight)

    @contextmanager
    def noise(self) -> Iterator[None]:
        """Show the layers noisy weights for a while, in train mode."""
        hooks = []
        for name, module in self._modules.items():
            hooks.append(module.register_forward_pre_hook(self._before(name)))
            hooks.append(module.register_forward_hook(self._after(name), always_call=True))
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()
            self._forget()

    @abstractmethod
    def _seen(self, name: str, module: nn.Module) -> Tensor:
        """Return the weight with which a layer is to compute."""

    def _heard(self, name: str, module: nn.Module, x: Tensor, y: Tensor) -> Tensor:  # noqa: ARG002
        """Return what is to become of the layer's result."""
        return y

    @abstractmethod
    def _pull(self) -> None:
        """Add the regulariser's gradients to those of the leaves."""

    @abstractmethod
    def settle(self) -> None:
        """Write into the parameters what the network stands for."""

    def _leaf(self, name: str, entry: str) -> Tensor:
        """Return θ or ψ of a weight as a leaf that gathers gradients until the step."""
        if (name, entry) not in self._leaves:
            value: Tensor = self.state[self._noised[name]][entry]
            self._leaves[name, entry] = value.detach().requires_grad_()
        return self._leaves[name, entry]

    def _noise_grad(self, name: str) -> Tensor | None:
        """Return the gradient of ψ, of its shape."""
        return self._leaf(name, "noise").grad

    def _forget(self) -> None:
        """Let go of leaves and what was drawn."""
        self._leaves.clear()

    def _step(self) -> None:
        for name, weight in self._noised.items():
            if weight.grad is not None and (name, "trained") not in self._leaves:
                raise ConfigError(
                    f"{name!r} was used without noise: train in train mode, and with layers that "
                    "are called, not whose weights are read."
                )
        self._pull()
        for name, weight in self._noised.items():
            weight.grad = self._leaf(name, "trained").grad
            weight.copy_(self.state[weight]["trained"])
        super()._step()
        self.taken += 1
        for name, weight in self._noised.items():
            self.state[weight]["trained"].copy_(weight)
            self._adam(self.state[weight], self._noise_grad(name))
        self._forget()
        self.settle()

    def _adam(self, state: dict[str, Tensor], grad: Tensor | None) -> None:
        if grad is None:
            return
        mean, square = state["noise_mean"].lerp_(grad, 1 - _BETAS[0]), state["noise_square"]
        square.mul_(_BETAS[1]).addcmul_(grad, grad, value=1 - _BETAS[1])
        spread = (square / (1 - _BETAS[1] ** self.taken)).sqrt_().add_(_EPS)
        state["noise"].addcdiv_(mean, spread, value=-self.rate / (1 - _BETAS[0] ** self.taken))

    def _before(self, name: str) -> Any:
        def hook(module: nn.Module, _: Any) -> None:
            if module.training:  # what lies in __dict__ is found before a registered parameter
                module.__dict__["weight"] = self._seen(name, module)

        return hook

    def _after(self, name: str) -> Any:
        def hook(module: nn.Module, inputs: tuple[Tensor, ...], output: Any) -> Any:
            if module.__dict__.pop("weight", None) is None or output is None:
                return output  # in eval mode, or after an exception
            return self._heard(name, module, inputs[0], output)

        return hook


class NoisyMethod(Method):
    """The regulariser's price is first · γ^k at step k, γ being the path's growth.

    Parameters
    ----------
    first
        Of the first step, > 0.
    reach
        How far ψ can move in an epoch, > 0: Adam's rate is this over the epoch's iterations.

    Raises
    ------
    ConfigError
        A value is out of range.
    """

    def __init__(self, first: float, reach: float) -> None:
        for name, value in (("first", first), ("reach", reach)):
            if not value > 0:
                raise ConfigError(f"{name} is {value!r}; give a number > 0.")
        self.first, self.reach, self._step = first, reach, 0

    @abstractmethod
    def trainer(self, start: Start) -> Noisy:
        """Return the optimiser."""

    def begin(self, start: Start) -> ProximalOptimizer:
        """Return the optimiser of weights and noise."""
        self._start, self._optimizer = start, self.trainer(start)
        return self._optimizer

    def advance(self, left: float) -> float:  # noqa: ARG002
        """Raise the price."""
        self._step += 1
        self._optimizer.generator.manual_seed(self._step)
        self._optimizer.price = self.first * self._start.growth ** (self._step - 1)
        return self._optimizer.price

    def training(self) -> AbstractContextManager[None]:
        """Return what lets the layers compute with noise."""
        return self._optimizer.noise()

    def state(self) -> dict[str, float]:
        """Return the number of the step, and of iterations."""
        return {"step": self._step, "taken": self._optimizer.taken}

    def resume(self, state: dict[str, float]) -> None:
        """Go on after that step."""
        self._step, self._optimizer.taken = int(state["step"]), int(state["taken"])
