"""Exact compaction, torch.export's own time included: everything a user of `compact` waits for."""

from __future__ import annotations

import functools
import time
from typing import TYPE_CHECKING

from benchmarks._networks import assert_same, chain, example, half_dead

if TYPE_CHECKING:
    from torch import Tensor, nn

    from tl1bench import Compacted

NETWORKS = ["lenet5", "torchvision/resnet18", "torchvision/mobilenet_v3_large"]


def _right(model: nn.Module, x: Tensor) -> Compacted:
    """Return the compact network once it is known to be the same function, and a smaller one."""
    from tl1bench import compact

    small = compact(model, x)
    assert_same(small.model, model, x)
    assert small.report.weights_after < small.report.weights_before / 2
    return small


@functools.cache
def _network(name: str) -> tuple[nn.Module, Tensor]:
    model, x = half_dead(name), example(name)
    _right(model, x)
    return model, x


@functools.cache
def _chain(layers: int) -> tuple[nn.Module, Tensor]:
    model, x = chain(layers)
    _right(model, x)
    return model, x


class Compact:
    """A network half of whose units are dead."""

    params = (NETWORKS,)
    param_names = ("network",)
    version = "1"
    timer = time.process_time
    timeout = 300

    def setup(self, network: str) -> None:
        self.model, self.x = _network(network)

    def time_compact(self, network: str) -> None:  # noqa: ARG002
        from tl1bench import compact

        compact(self.model, self.x)


class Chain:
    """Plain chains of growing depth: time should grow no faster than the depth."""

    params = ([2, 8, 32],)
    param_names = ("layers",)
    version = "1"
    timer = time.process_time
    timeout = 300

    def setup(self, layers: int) -> None:
        self.model, self.x = _chain(layers)

    def time_compact(self, layers: int) -> None:  # noqa: ARG002
        from tl1bench import compact

        compact(self.model, self.x)


class Outcome:
    """What is left of each network, and our time as a multiple of torch.export's alone."""

    params = (NETWORKS,)
    param_names = ("network",)
    version = "1"

    def setup_cache(self) -> dict[str, tuple[float, float]]:
        import torch

        from tl1bench import compact

        found = {}
        shapes = ({0: torch.export.Dim("batch")},)
        for name in NETWORKS:
            model, x = half_dead(name), example(name)
            report = _right(model, x).report
            seconds: list[list[float]] = [[], []]
            for _ in range(3):
                began = time.process_time()
                compact(model, x)
                between = time.process_time()
                torch.export.export(model, (x,), dynamic_shapes=shapes)
                seconds[0].append(between - began)
                seconds[1].append(time.process_time() - between)
            kept = 100 * report.weights_after / report.weights_before
            found[name] = (kept, min(seconds[0]) / min(seconds[1]))
        return found

    def track_weights_kept_pct(self, found: dict[str, tuple[float, float]], network: str) -> float:
        return found[network][0]

    def track_ratio_to_export(self, found: dict[str, tuple[float, float]], network: str) -> float:
        return found[network][1]

    track_weights_kept_pct.unit = "%"
    track_ratio_to_export.unit = "ratio"
