"""Norms of groups are taken in place, in C where a compiler is found and in torch elsewhere."""

from __future__ import annotations

import pytest
import torch

from tl1bench.optimizers._blocks import column_squares


@pytest.mark.parametrize("mode", ["never", "auto"])
@pytest.mark.parametrize("shape", [(1, 1), (300, 784), (7, 3)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_column_squares_agree_with_float64(
    mode: str, shape: tuple[int, int], dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TL1BENCH_COMPILE", mode)
    w = torch.randn(shape, generator=torch.Generator().manual_seed(0), dtype=dtype)
    found = column_squares(w)
    assert found.dtype == dtype
    torch.testing.assert_close(found.double(), w.double().square().sum(0), rtol=1e-6, atol=0)
