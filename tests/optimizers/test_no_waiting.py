"""A step asks for no number back from the device: it would stand still until the device is done."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from tl1bench import optimizers, penalties
from tl1bench.errors import ConfigError
from tl1bench.penalties import exclusive, group_lasso

aten = torch.ops.aten
# What needs the numbers in a tensor: themselves, or the shape that they give.
ASKING = {
    aten._local_scalar_dense, aten.item, aten.equal, aten.is_nonzero, aten.nonzero,
    aten.nonzero_numpy, aten.masked_select, aten._unique2, aten.unique_dim, aten.bincount,
    aten.unique_consecutive,
    aten.lift_fresh,  # a number that Python puts into a tensor is copied to the device
}  # fmt: skip


class Asked(TorchDispatchMode):
    """Notes every operation that would wait for a device."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def __torch_dispatch__(
        self,
        func: Any,
        types: Any,
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        masks = func.overloadpacket in (aten.index, aten.index_put, aten.index_put_) and any(
            i is not None and i.dtype in (torch.bool, torch.uint8) for i in args[1]
        )
        if func.overloadpacket in ASKING or masks:
            self.found.append(str(func))
        return func(*args, **(kwargs or {}))


@contextmanager
def watched() -> Iterator[list[str]]:
    with Asked() as mode:
        yield mode.found


@pytest.fixture(autouse=True)
def as_on_a_card(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take the paths of torch, and those that the CPU does not take for itself."""
    monkeypatch.setenv("TL1BENCH_COMPILE", "never")
    monkeypatch.setattr(group_lasso, "_settled", lambda move, r: False)
    monkeypatch.setattr(exclusive, "_by_newton", exclusive._by_sorting)


def network() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(2, 4, 3), nn.ReLU(), nn.Conv2d(4, 6, 3, groups=2), nn.ReLU(), nn.Flatten(),
        nn.Linear(6 * 16, 5), nn.ReLU(), nn.Linear(5, 3),
    )  # fmt: skip


@pytest.mark.parametrize("sides", ["outgoing", "incoming", "both"])
@pytest.mark.parametrize("penalty", penalties.names())
@pytest.mark.parametrize("name", optimizers.names())
def test_no_step_waits_for_the_device(name: str, penalty: str, sides: str) -> None:
    model = network()
    x = torch.randn(3, 2, 8, 8)
    try:
        optimizer = optimizers.kind(name)(
            model, penalties.load(penalty, lam=0.01), lr=0.1, example_inputs=x, groups=sides,
            weight_decay=1e-4,
        )  # fmt: skip
    except ConfigError as error:
        assert "diagonal metric" in str(error)  # noqa: PT017
        return
    for frozen in (False, True):
        for _ in range(2):
            model.zero_grad()
            model(x).square().sum().backward()
            with watched() as found:
                optimizer.step()
            assert found == []
        if not frozen:
            optimizer.freeze_zeros()


def test_what_waits_is_noticed() -> None:
    t: Tensor = torch.arange(4.0)
    with watched() as found:
        float(t.sum())
        bool((t > 1).any())
        t[t > 1]
        torch.nonzero(t)
        t[torch.arange(2)]
        torch.as_tensor(0.5)
        torch.full((), 0.5)
    assert len(found) == 5
