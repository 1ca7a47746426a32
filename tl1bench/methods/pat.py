"""Pruning-aware training by the package torchao (PAT), on our path.

Theirs: the optimiser around momentum SGD, which trains latent weights z with gradients taken at the
pruned ones w = prox(z), and the proximal map of the group lasso with its groups: the columns of a
linear layer, the filters of a convolution.

Ours: momentum SGD inside, and the threshold. Theirs is λ γ_t √|group|, γ_t being the sum of all
rates so far; here λ is set before each step such that τ = λ γ_t rises by the path's growth from
step to step, linearly over the first half of each. The first τ zeroes a stated share of the dense
start's weights. Units that nothing reads are cut out and come back no more, as on every path;
branches hold the zeros, as their healing phase would.
"""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn

from tl1bench import neurons, penalties
from tl1bench.errors import ConfigError
from tl1bench.methods._optional import optional
from tl1bench.optimizers import ProximalOptimizer, ProximalSGD
from tl1bench.training.method import Method, Start

_BISECTIONS = 24
_RAMP = 0.5


class Pat(Method):
    """τ_k = τ_0 γ^k, the threshold of torchao's group lasso on latent weights.

    Parameters
    ----------
    half
        Share of the weights that τ_0 zeroes, in (0, 1); some grow back within the step.

    Raises
    ------
    ConfigError
        `half` is out of range.
    MissingPackageError
        torchao is not installed.

    Source: torchao.prototype.pat.
    """

    def __init__(self, half: float = 0.6) -> None:
        if not 0 < half < 1:
            raise ConfigError(f"half is {half!r}; give a share between 0 and 1.")
        self._package: Any = optional("torchao.prototype.pat", "torchao", "pat")
        self.half, self._level, self._before = half, 0.0, 0.0

    def __repr__(self) -> str:
        return f"Pat({self.half})"

    def begin(self, start: Start) -> ProximalOptimizer:
        """Return torchao's optimiser around momentum SGD."""
        self._start = start
        self._optimizer = _Latent(self._package, start.model, start.lr)
        return self._optimizer

    def advance(self, left: float) -> float:  # noqa: ARG002
        """Raise the threshold."""
        self._before = self._level
        self._level = self._level * self._start.growth if self._level else self._first()
        return self._level

    def during(self, share: float) -> None:
        """Let it rise."""
        risen = min(1.0, share / _RAMP)
        self._optimizer.threshold = self._before + risen * (self._level - self._before)

    def state(self) -> dict[str, float]:
        """Return the threshold, the one before, and torchao's two counters."""
        return {"level": self._level, "before": self._before, **self._optimizer.counted()}

    def resume(self, state: dict[str, float]) -> None:
        """Take over thresholds and counters."""
        self._level, self._before = state["level"], state["before"]
        self._optimizer.count(state)

    def _first(self) -> float:
        low, high = 1e-9, 1e3
        for _ in range(_BISECTIONS):
            middle = (low * high) ** 0.5
            if self._zeroed(middle) < self.half:
                low = middle
            else:
                high = middle
        return high

    def _zeroed(self, threshold: float) -> float:
        """Return the share of weights that one proximal map alone makes zero."""
        model = copy.deepcopy(self._start.model)
        optimizer = _Latent(self._package, model, self._start.lr)
        optimizer.threshold = threshold
        weights = [model.get_parameter(n) for n in neurons.weight_layers(model)]
        for weight in weights:
            weight.grad = torch.zeros_like(weight)
        optimizer.step()
        zeros = sum(int((w == 0).sum()) for w in weights)
        return zeros / sum(w.numel() for w in weights)


class _Inner:
    """Momentum SGD as what torchao's optimiser wraps; rates, weights and state are the owner's."""

    def __init__(self, owner: ProximalSGD) -> None:
        self._owner = owner

    @property
    def param_groups(self) -> list[dict[str, Any]]:
        return self._owner.param_groups

    @property
    def state(self) -> dict[Tensor, Any]:
        return self._owner.state

    def step(self, closure: None = None) -> None:
        del closure
        ProximalSGD._step(self._owner)


class _Latent(ProximalSGD):
    """The path's optimiser, each of whose steps is one of torchao's.

    `threshold` is τ. Latent weights lie in the optimiser's state, where they are cut and stored
    with the weights.
    """

    def __init__(self, package: Any, model: nn.Module, lr: float) -> None:
        self.threshold = 0.0
        super().__init__(model, penalties.load("none"), lr=lr)
        own = set(self._penalised.values())
        whole = self.param_groups[0]
        whole["params"] = [p for p in whole["params"] if p not in own]
        for weight in self._penalised.values():
            kind = "Dim1Grouper" if weight.dim() == 2 else "Dim0Grouper"
            # Known to our optimiser already: a group of its own for torchao alone.
            torch.optim.Optimizer.add_param_group(
                self,
                {
                    **{k: v for k, v in whole.items() if k != "params"},
                    "params": [weight],
                    "prox_type": "ProxGroupLasso",
                    "group_type": f"dim.{kind}",
                },
            )
        # Its first step expects no state, and a resumed path has some: latent weights from here on.
        for weight in self._penalised.values():
            self.state[weight]["latent"] = weight.detach().clone()
        self._theirs = package.PruneOptimizer(_Inner(self))
        self._theirs.num_steps = 1

    def counted(self) -> dict[str, float]:
        """Return γ_t."""
        return {"gamma": self._pruned()[0]["gamma"]}

    def count(self, state: dict[str, float]) -> None:
        """Take over γ_t."""
        for group in self._pruned():
            group["gamma"] = state["gamma"]

    def _pruned(self) -> list[dict[str, Any]]:
        return [g for g in self.param_groups if g.get("prox_type")]

    def _step(self) -> None:
        for group in self._pruned():
            group["reg_lambda"] = self.threshold / (group["gamma"] + group["lr"])
        self._theirs.step()
