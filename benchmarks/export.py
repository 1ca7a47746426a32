"""Writing one checked ONNX file: our own writer and, where it is needed, torch's."""

from benchmarks._networks import example, half_dead

TOLERANCE = 1e-4


class Export:
    """The compact form of a network half of whose units are dead."""

    params = (
        ["lenet5", "torchvision/resnet18", "torchvision/mobilenet_v3_large"],
        ["direct", "torch"],
    )
    param_names = ("network", "writer")
    version = "1"
    timeout = 300

    def setup(self, network: str, writer: str) -> None:
        from tl1bench import compact

        if writer == "torch" and network != "lenet5":
            raise NotImplementedError("torch's exporter is timed on one network alone")
        self.x = example(network)
        self.model = compact(half_dead(network), self.x).model

    def time_export(self, network: str, writer: str) -> None:  # noqa: ARG002
        from tl1bench import export_onnx

        export_onnx(self.model, self.x, "small.onnx", writer=writer)

    def track_size_bytes(self, network: str, writer: str) -> int:  # noqa: ARG002
        from tl1bench import export_onnx

        report = export_onnx(self.model, self.x, "small.onnx", writer=writer)
        assert report.max_rel_difference <= TOLERANCE
        return report.size_bytes

    track_size_bytes.unit = "bytes"
