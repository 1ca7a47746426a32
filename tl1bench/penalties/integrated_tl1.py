"""Integrated transformed ℓ1: group lasso and transformed ℓ1 together."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from tl1bench.kernels.memory import number
from tl1bench.penalties._base import Composed, Penalty, PerLayer, Range, Scale, Step, restore_sign
from tl1bench.penalties.group_lasso import GroupLasso
from tl1bench.penalties.tl1 import TransformedL1

_GRID = 48
_BASINS = 3
_HALVINGS = 52
_AT_ONCE = 1 << 20  # elements of a temporary


@dataclass(frozen=True, kw_only=True)
class IntegratedTl1(Composed):
    """P(w) = λ Σ_g [ μ_l s_g ‖w_g‖₂ + (1 − μ_l) Σ_{i∈g} ρ_a(w_i) ].

    Three proxes of it are offered. The compositions are not the prox of the sum and differ from
    each other: in two dimensions up to 38 % above the true minimum at large steps, without
    consequence at the steps of training. Any step is allowed.

    Parameters
    ----------
    a
        Shape of ρ_a, in [1e-6, 1e6].
    order
        "group_then_element" as published, "element_then_group", or "exact".

    Notes
    -----
    `exact`: since ‖x‖ = min_r (‖x‖²/r + r)/2, the joint problem is the one-dimensional
    min_r M(r), M(r) = min_x ½‖x−z‖² + τ_g(‖x‖²/r + r)/2 + τ_e Σ ρ_a(x_i), whose inner minimiser is
    the TL1 prox of z/α with step τ_e/α, α = 1 + τ_g/r. M may have several basins: a grid over r
    finds them, the best are refined, and 0 and both compositions compete in the end. A fixed-point
    search for r is not safe. Not available in a diagonal metric.

    Source: Ma, Miao, Niu & Zhang, Neural Networks 119 (2019); `exact` is derived here.
    """

    a: float = 0.01
    order: str = "group_then_element"

    ranges: ClassVar[Mapping[str, Range]] = {**PerLayer.ranges, "a": Range(1e-6, 1e6)}
    choices: ClassVar[Mapping[str, tuple[str, ...]]] = {
        **PerLayer.choices,
        "order": ("group_then_element", "element_then_group", "exact"),
    }

    @property
    def group(self) -> GroupLasso:
        """The term that removes neurons."""
        return GroupLasso(lam=self.lam * self.mixing, group_scale=self.group_scale)

    @property
    def element(self) -> TransformedL1:
        """The term that removes connections."""
        return TransformedL1(lam=self.lam * (1 - self.mixing), a=self.a)

    @property
    def exact(self) -> bool:
        """Whether the prox is the joint one; the compositions are not the prox of the sum."""
        return self.order == "exact"

    def terms(self) -> tuple[Penalty, ...]:
        """Return both terms in the order in which their proxes act."""
        if self.order == "element_then_group":
            return (self.element, self.group)
        return (self.group, self.element)

    def composition(self) -> tuple[Penalty, ...]:
        """Return the terms, or the penalty itself where the prox is the joint one."""
        return (self,) if self.exact else super().composition()

    def prox(self, z: Tensor, step: Step, scale: Scale = None) -> Tensor:
        """Return the joint prox or a composition of two; see `Penalty.prox`."""
        if not self.exact:
            return super().prox(z, step, scale)
        m = z.abs().double()
        return restore_sign(self._joint(m, self.scalar_step(step), self.scale_of(z, scale)), z)

    def _joint(self, m: Tensor, step: float, s: Step) -> Tensor:
        """Return the joint prox of magnitudes (group, member) in float64."""
        group, element = self.group, self.element
        s = number(s, m).expand(len(m))
        tau_group = step * group.lam * s[:, None]
        size = m.norm(dim=-1, keepdim=True)

        def at(r: Tensor) -> Tensor:
            share = r / (r + tau_group).clamp_min(torch.finfo(m.dtype).tiny)
            return element.shrink(m * share, step * share)

        def objective(x: Tensor) -> Tensor:
            penalty = group.value(x.flatten(0, -2), s.expand(x.shape[:-1]).flatten())
            penalty = penalty + element.value(x.flatten(0, -2))
            return 0.5 * (x - m).square().sum(-1) + step * penalty.view(x.shape[:-1])

        marks = torch.arange(1.0, _GRID + 1, dtype=m.dtype, device=m.device)[:, None, None] / _GRID
        parts = marks.split(max(1, _AT_ONCE // max(1, m.numel())))
        grid = torch.cat([objective(at(size * part)) for part in parts])
        cell = grid.topk(_BASINS, dim=0, largest=False).indices[..., None] + 1
        r = _bisected(at, size * (cell - 1) / _GRID, size * (cell + 1) / _GRID)
        composed = [
            element.prox(group.prox(m, step, s), step),
            group.prox(element.prox(m, step), step, s),
        ]
        rivals = torch.cat(
            [at(r), at(size * cell / _GRID), torch.stack([torch.zeros_like(m), *composed])]
        )
        best = objective(rivals).argmin(0)
        return rivals[best, torch.arange(len(m), device=m.device)]


def _bisected(at: Callable[[Tensor], Tensor], low: Tensor, high: Tensor) -> Tensor:
    """Return where M is least in each [low, high] if it has one basin there.

    Its slope τ_g (1 − ‖x(r)‖²/r²)/2 changes sign there: exact to the last bits of r, where
    comparing values of M would leave half of them.
    """
    for _ in range(_HALVINGS):
        r = (low + high) / 2
        falls = at(r).norm(dim=-1, keepdim=True) > r
        low, high = torch.where(falls, r, low), torch.where(falls, high, r)
    return high
