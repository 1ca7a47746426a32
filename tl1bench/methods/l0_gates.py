"""ℓ0 gates: each unit has a random gate, whose chance of being open is paid for."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from tl1bench import neurons
from tl1bench.methods._noisy import Noisy, NoisyMethod
from tl1bench.training.method import Start

_BETA, _LOW, _HIGH = 2 / 3, -0.1, 1.1
_EPS = 1e-6
_FURTHEST = math.log(100.0)
_SHIFT = _BETA * math.log(-_LOW / _HIGH)


class L0Gates(NoisyMethod):
    """The loss is E[L] + λ_k Σ_g (|g|/n) P(z_g ≠ 0), the weights that leave unit g being w z_g.

    z_g = min(1, max(0, s (ζ − γ) + γ)) with s = sigmoid((log u − log(1 − u) + log α_g)/β), u
    uniform, β = 2/3, γ = −0.1, ζ = 1.1: the hard concrete distribution. P(z_g ≠ 0) =
    sigmoid(log α_g − β log(−γ/ζ)), so Σ is the share of weights expected to be left; |g| of the n
    weights leave unit g, inputs of the network being units. λ_k = λ_0 γ^k with the path's growth γ.
    The network is w ẑ_g with ẑ_g = min(1, max(0, sigmoid(log α_g)(ζ − γ) + γ)), which is 0 exactly
    where log α_g is below −2.4. Gates are drawn once a step.

    Against the paper: w is trained by the path's momentum SGD, Adam trains log α alone; the λ of
    all layers is one; units whose gate is 0 are cut out and come back no more.

    Parameters
    ----------
    first
        λ_0 > 0, in units of the loss: what all weights together cost.
    reach
        How far log α can move in an epoch, > 0: Adam's rate is this over the epoch's iterations.
    log_alpha
        That of all gates in the beginning; at 2.4 and more they are open.

    Raises
    ------
    ConfigError
        A value is out of range.

    Source: Louizos, Welling & Kingma, ICLR 2018, eqs. (10)–(13) and section 2.3.
    """

    def __init__(self, first: float = 1.0, reach: float = 8.0, log_alpha: float = 2.5) -> None:
        super().__init__(first, reach)
        self.log_alpha = log_alpha

    def __repr__(self) -> str:
        return f"L0Gates({self.first}, {self.reach}, {self.log_alpha})"

    def trainer(self, start: Start) -> Noisy:
        """Return the optimiser of weights and gates."""
        return _Gated(start, self.reach, self.log_alpha)


def hard_concrete(log_alpha: Tensor, uniform: Tensor) -> Tensor:
    """Return z for uniform random numbers in (0, 1): eqs. (10), (11)."""
    s = torch.sigmoid((uniform.log() - (1 - uniform).log() + log_alpha) / _BETA)
    return (s * (_HIGH - _LOW) + _LOW).clamp(0, 1)


def open_chance(log_alpha: Tensor) -> Tensor:
    """Return P(z ≠ 0): eq. (12)."""
    return torch.sigmoid(log_alpha - _SHIFT)


def settled(log_alpha: Tensor) -> Tensor:
    """Return ẑ, the gate of the finished network: eq. (13)."""
    return (torch.sigmoid(log_alpha) * (_HIGH - _LOW) + _LOW).clamp(0, 1)


class _Gated(Noisy):
    """ψ is log α of the gate that a weight goes through: equal for all weights of a unit."""

    def __init__(self, start: Start, reach: float, log_alpha: float) -> None:
        super().__init__(start.model, start.lr, reach / start.iterations)
        self.regroup(neurons.groups(start.model, start.example_inputs, "outgoing"))
        self._total = sum(w.numel() for w in self._penalised.values())
        self._gates: list[Tensor] = []
        self._open: list[Tensor] = []
        for weight in self._penalised.values():
            self.state[weight]["noise"].fill_(log_alpha)

    @torch.no_grad()
    def settle(self) -> None:
        """Keep |log α| ≤ log 100, as the authors' program does, and write w ẑ."""
        for weight in self._noised.values():
            self.state[weight]["noise"].clamp_(-_FURTHEST, _FURTHEST)
        closed = [settled(gate) for gate in self._now()]
        for name, weight in self._noised.items():
            weight.copy_(self.state[weight]["trained"] * self._spread(name, closed))

    def _seen(self, name: str, module: nn.Module) -> Tensor:  # noqa: ARG002
        if not self._gates:
            self._gates = [gate.requires_grad_() for gate in self._now()]
            self._uniform = [self._drawn(gate) for gate in self._gates]
        drawn = [hard_concrete(g, u) for g, u in zip(self._gates, self._uniform, strict=True)]
        return self._leaf(name, "trained") * self._spread(name, drawn)

    def _drawn(self, like: Tensor) -> Tensor:
        drawn = torch.rand(like.shape, generator=self.generator).clamp_(_EPS, 1 - _EPS)
        return drawn.to(like.device, like.dtype)

    def _pull(self) -> None:
        if not self._gates:  # a step without a forward pass
            return
        for block, gate in zip(self.groups, self._gates, strict=True):
            chance = open_chance(gate.detach())
            paid = self.price * block.members / self._total * chance * (1 - chance)
            gate.grad = paid if gate.grad is None else gate.grad + paid

    def _noise_grad(self, name: str) -> Tensor | None:
        if not self._gates:
            return None
        grads = [gate.grad for gate in self._gates if gate.grad is not None]
        return self._spread(name, grads).expand(self._penalised[name].shape)

    def _forget(self) -> None:
        super()._forget()
        self._gates.clear()

    def _now(self) -> list[Tensor]:
        """Return log α of each unit's gate, block by block: that of the first of its weights."""
        found = []
        for block in self.groups:
            piece = block.slices[0]
            noise = self.state[self._penalised[piece.tensor]]["noise"].detach()
            found.append(_first_at(piece, noise)[piece.index[:, 0].to(noise.device)].clone())
        return found

    def _spread(self, name: str, values: Sequence[Tensor]) -> Tensor:
        """Return a value of each unit at the weights of `name` that leave it, to be broadcast."""
        weight = self._penalised[name]
        placed: Tensor | None = None
        for block, value in zip(self.groups, values, strict=True):
            for piece in block.slices:
                if piece.tensor == name:
                    if placed is None:
                        placed = torch.ones_like(_first_at(piece, weight))
                    index = piece.index.reshape(-1).to(weight.device)
                    each = value.repeat_interleave(piece.index.shape[1])
                    placed, home = placed.index_put((index,), each), piece
        return weight.new_ones(()) if placed is None else _along(home, placed, weight)


def _first_at(piece: neurons.TensorSlice, tensor: Tensor) -> Tensor:
    """Return the first of the elements at each position of the axis that `piece` lies on: (P,)."""
    if piece.blocks > 1 and piece.dim == 1:
        apart: Tensor = tensor.detach().unflatten(0, (piece.blocks, -1))
        return apart[:, 0].flatten(2)[..., 0].reshape(-1)
    view = tensor.detach().movedim(piece.dim, 0)
    while view.dim() > 1:
        view = view.select(-1, 0)
    return view


def _along(piece: neurons.TensorSlice, values: Tensor, tensor: Tensor) -> Tensor:
    """Return values of positions (P,) in a shape that is broadcast against `tensor`."""
    rest = [1] * (tensor.dim() - 2)
    if piece.blocks > 1 and piece.dim == 1:
        rows = tensor.shape[0]
        apart = values.view(piece.blocks, -1).repeat_interleave(rows // piece.blocks, 0)
        return apart.view(rows, -1, *rest)
    shape = [1] * tensor.dim()
    shape[piece.dim] = -1
    return values.view(shape)
