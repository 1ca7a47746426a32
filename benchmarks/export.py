"""Writing one checked ONNX file: our own writer and, where it is needed, torch's."""

from __future__ import annotations

import functools
import time
from typing import TYPE_CHECKING

from benchmarks._networks import example, half_dead

if TYPE_CHECKING:
    from torch import Tensor, nn


@functools.cache
def _network(name: str, writer: str) -> tuple[nn.Module, Tensor, int]:
    """Return a compact network, inputs and the size of its file, known to compute the same."""
    from tl1bench import compact, export_onnx
    from tl1bench.tracing.agreement import ONNXRUNTIME

    x = example(name)
    model = compact(half_dead(name), x).model
    report = export_onnx(model, x, "small.onnx", writer=writer)
    assert report.max_rel_difference <= ONNXRUNTIME
    return model, x, report.size_bytes


class Export:
    """The compact form of a network half of whose units are dead."""

    params = (
        ["lenet5", "torchvision/resnet18", "torchvision/mobilenet_v3_large"],
        ["direct", "torch"],
    )
    param_names = ("network", "writer")
    version = "1"
    timer = time.process_time
    timeout = 300

    def setup(self, network: str, writer: str) -> None:
        if writer == "torch" and network != "lenet5":
            raise NotImplementedError("torch's exporter is timed on one network alone")
        self.model, self.x, self.size_bytes = _network(network, writer)

    def time_export(self, network: str, writer: str) -> None:  # noqa: ARG002
        from tl1bench import export_onnx

        export_onnx(self.model, self.x, "small.onnx", writer=writer)

    def track_size_bytes(self, network: str, writer: str) -> int:  # noqa: ARG002
        return self.size_bytes

    track_size_bytes.unit = "bytes"
