"""Forward and backward of a layer that skips its zeros, as a ratio to the dense layer's."""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

LAYERS = {
    "LeNet-300 fc1": ((128, 784), (300, 784)),
    "LeNet-5 conv2": ((128, 20, 12, 12), (50, 20, 5, 5)),
    "LeNet-5 fc1": ((128, 800), (500, 800)),
}
_ROUNDS = 25


class SparseLayer:
    """On one thread, in turns in one process; the median of the rounds."""

    params = (list(LAYERS), [0.1, 0.03, 0.01])
    param_names = ("layer", "share of the weights that is left")
    version = "2"
    unit = "ratio"
    timeout = 120

    def track_ratio_to_dense(self, layer: str, share: float) -> float:
        import torch
        from torch.nn import functional

        from tl1bench.kernels.convolved import convolved
        from tl1bench.kernels.linear import Places, multiplied
        from tl1bench.kernels.sparse import Pattern

        torch.set_num_threads(1)
        generator = torch.Generator().manual_seed(0)
        x, weight = (torch.randn(size, generator=generator) for size in LAYERS[layer])
        weight *= torch.rand(weight.shape, generator=generator) < share
        places, pattern = Places.of(weight), Pattern.of(weight != 0, weight, x.shape)
        x.requires_grad_(), weight.requires_grad_()

        def skipping() -> Tensor | None:
            if x.dim() > 2:
                return convolved(x, weight, None, pattern) if pattern else None
            return multiplied(x, weight, None, places, held=True) if places else None

        dense = functional.linear if x.dim() == 2 else functional.conv2d
        seconds: list[tuple[float, float]] = []
        for _ in range(_ROUNDS):
            sparse = _seconds(skipping)
            seconds.append((sparse, _seconds(lambda: dense(x, weight))))
        return median(s for s, _ in seconds) / median(d for _, d in seconds)


def _seconds(layer: Callable[[], Tensor | None]) -> float:
    began = time.perf_counter()
    y = layer()
    assert y is not None, "there is no C compiler here"
    y.sum().backward()
    return time.perf_counter() - began
