"""Examples stay on the device: an epoch sends its order and shifts, and reads one number back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from tl1bench.config import Budget
from tl1bench.training import Augmentation, Examples
from tl1bench.training.epochs import Epochs
from tl1bench.training.loop import _Batches

BATCH, COUNT, SHAPE = 8, 67, (1, 8, 8)


@dataclass(frozen=True)
class Copy:
    numbers: int
    waits: bool


@dataclass
class Border(TorchDispatchMode):
    """Notes what crosses from the CPU to the device that stands for a card, and back."""

    there: list[Copy] = field(default_factory=list)
    back: int = 0

    def __post_init__(self) -> None:
        super().__init__()

    def __torch_dispatch__(
        self,
        func: Any,
        types: Any,
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        given = dict(kwargs or {})
        if func.overloadpacket is torch.ops.aten._local_scalar_dense:
            self.back += 1
            return 0.5
        out = func(*args, **given)
        before, after = (
            {t.device.type for t in tree_leaves(some) if isinstance(t, Tensor) and t.dim()}
            for some in ((args, given), out)
        )
        if before == {"cpu"} and after == {"meta"}:
            self.there.append(Copy(out.numel(), not given.get("non_blocking")))
        self.back += before == {"meta"} and after == {"cpu"}
        return out


def on_a_device() -> Examples:
    x = torch.zeros(COUNT, *SHAPE, dtype=torch.uint8, device="meta")
    return Examples(x, torch.zeros(COUNT, dtype=torch.long, device="meta"), 1 / 255)


@pytest.mark.parametrize("shift", [0, 2])
def test_an_epoch_sends_its_order_and_shifts_at_once_and_reads_its_loss(shift: int) -> None:
    model = nn.Sequential(nn.Conv2d(1, 3, 3), nn.ReLU(), nn.Flatten(), nn.Linear(108, 4))
    model.to("meta")
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with Border() as border:
        Epochs(on_a_device(), batch=BATCH, augmentation=Augmentation(shift))(model, optimizer)
    assert border.there == [Copy(COUNT, waits=True), Copy(3 * COUNT, waits=True)]
    assert border.back == 1


def test_batches_of_a_budget_send_no_more() -> None:
    budget = Budget(batch=BATCH, epochs=1, debias_epochs=1, lr=0.1, debias_lr=0.1, shift=1)
    batches = _Batches(on_a_device(), budget, seed=0)
    with Border() as border:
        for position in range(4):
            batches.draw(position)
    assert border.there == [Copy(COUNT, waits=True), *[Copy(3 * BATCH, waits=False)] * 4]
    assert border.back == 0
