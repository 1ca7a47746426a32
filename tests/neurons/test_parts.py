"""Norms of groups are taken in place, in C where a compiler is found and in torch elsewhere."""

from __future__ import annotations

import pytest
import torch

from tl1bench import penalties
from tl1bench.kernels import group_lasso
from tl1bench.neurons import TensorSlice
from tl1bench.neurons.groups import make_groups
from tl1bench.neurons.parts import SlicePart, rows_of

LAYOUTS = {
    "contiguous": torch.contiguous_format,
    "channels_last": torch.channels_last,
}


@pytest.mark.parametrize("mode", ["never", "auto"])
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(
    ("dim", "index", "blocks", "flat"),
    [
        (0, torch.arange(12)[:, None], 1, False),
        (0, torch.tensor([[11, 0], [3, 4]]), 1, False),
        (1, torch.arange(6)[:, None], 1, False),
        (1, torch.arange(6).view(3, 2), 1, False),
        (1, torch.tensor([[5], [1]]), 1, False),
        (1, torch.arange(12)[:, None], 2, False),
        (1, torch.tensor([[9], [2], [0]]), 2, False),
        (1, torch.arange(54)[:, None], 1, True),
    ],
    ids=["rows", "some rows", "columns", "flattened", "some columns", "grouped", "some grouped",
         "as coded"],
)  # fmt: skip
def test_a_part_reduces_and_scales_what_gathering_would(
    mode: str,
    layout: str,
    dtype: torch.dtype,
    dim: int,
    index: torch.Tensor,
    blocks: int,
    flat: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TL1BENCH_COMPILE", mode)
    generator = torch.Generator().manual_seed(0)
    w = torch.randn(12, 6, 3, 3, generator=generator, dtype=dtype)
    w = w.contiguous(memory_format=LAYOUTS[layout])
    piece = TensorSlice("w", dim, index, blocks, flat)
    block = make_groups(0, 1, [piece], {"w": w.shape})
    gathered = block.gather({"w": w})
    part = SlicePart.of(piece, w)
    torch.testing.assert_close(part.squares(w), gathered.square().sum(1), rtol=2e-6, atol=0)
    shorter, amount = w.clone(), float(gathered.norm(dim=1).median())
    rows = rows_of(part, shorter)
    if rows is not None and group_lasso.shorten_([rows], len(index), amount):
        wanted = penalties.load("group_lasso", lam=amount, group_scale="one").prox(gathered, 1.0)
        expected = w.clone()
        block.scatter_({"w": expected}, wanted)
        torch.testing.assert_close(shorter, expected, rtol=1e-5, atol=1e-6)
        assert mode == "auto"
    else:
        assert torch.equal(shorter, w)
        assert mode == "never" or dtype == torch.float64 or flat or blocks > 1 or not part.whole
    factor = torch.rand(len(index), generator=generator, dtype=dtype)
    expected = w.clone()
    block.scatter_({"w": expected}, gathered * factor[:, None])
    part.scale_(w, factor)
    torch.testing.assert_close(w, expected, rtol=1e-6, atol=0)
