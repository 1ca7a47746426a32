"""How much a network stores: learnt numbers, numbers and bytes."""

from __future__ import annotations

from torch import nn

from tl1bench.tracing.graph import Traced

Sizes = tuple[int, int, int]


def count(module: nn.Module) -> int:
    """Return how many numbers a module stores."""
    return sum(t.numel() for t in module.state_dict().values())


def stored(module: nn.Module) -> Sizes:
    """Return learnt numbers, numbers and bytes of a module."""
    tensors = module.state_dict().values()
    learnt = sum(p.numel() for p in module.parameters())
    return learnt, count(module), sum(t.numel() * t.element_size() for t in tensors)


def given(traced: Traced) -> Sizes:
    """Return the same of the model that was traced; tied tensors count once."""
    own = {
        node: traced.static[node] for node in traced.names if traced.names[node] not in traced.ties
    }
    learnt = sum(t.numel() for node, t in own.items() if node in traced.parameters)
    numbers = sum(t.numel() for t in own.values())
    return learnt, numbers, sum(t.numel() * t.element_size() for t in own.values())
