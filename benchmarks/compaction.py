"""Exact compaction, torch.export's own time included: everything a user of `compact` waits for."""

import time

from benchmarks._networks import assert_same, chain, example, half_dead


class Compact:
    """A network half of whose units are dead."""

    params = (["lenet5", "torchvision/resnet18", "torchvision/mobilenet_v3_large"],)
    param_names = ("network",)
    version = "1"
    timeout = 300

    def setup(self, network: str) -> None:
        self.model, self.x = half_dead(network), example(network)

    def time_compact(self, network: str) -> None:  # noqa: ARG002
        from tl1bench import compact

        compact(self.model, self.x)

    def track_weights_kept_pct(self, network: str) -> float:  # noqa: ARG002
        from tl1bench import compact

        small = compact(self.model, self.x)
        assert_same(small.model, self.model, self.x)
        return 100 * small.report.weights_after / small.report.weights_before

    track_weights_kept_pct.unit = "%"

    def track_ratio_to_export(self, network: str) -> float:  # noqa: ARG002
        """Return seconds of `compact` / of the `torch.export.export` that it starts with."""
        import torch

        from tl1bench import compact

        seconds: list[list[float]] = [[], []]
        shapes = ({0: torch.export.Dim("batch")},)
        for _ in range(3):
            for spent, work in zip(
                seconds,
                (
                    lambda: compact(self.model, self.x),
                    lambda: torch.export.export(self.model, (self.x,), dynamic_shapes=shapes),
                ),
                strict=True,
            ):
                began = time.perf_counter()
                work()
                spent.append(time.perf_counter() - began)
        return min(seconds[0]) / min(seconds[1])

    track_ratio_to_export.unit = "ratio"


class Chain:
    """Plain chains of growing depth: time should grow no faster than the depth."""

    params = ([4, 16, 64],)
    param_names = ("layers",)
    version = "1"
    timeout = 300

    def setup(self, layers: int) -> None:
        self.model, self.x = chain(layers)

    def time_compact(self, layers: int) -> None:  # noqa: ARG002
        from tl1bench import compact

        compact(self.model, self.x)

    def track_weights_kept_pct(self, layers: int) -> float:  # noqa: ARG002
        from tl1bench import compact

        small = compact(self.model, self.x)
        assert_same(small.model, self.model, self.x)
        return 100 * small.report.weights_after / small.report.weights_before

    track_weights_kept_pct.unit = "%"
