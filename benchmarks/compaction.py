"""Exact compaction and export, torch.export's own time included."""


class Compaction:
    """A network half of whose units are zero."""

    params = (["mlp", "lenet5", "resnet"],)
    param_names = ("network",)
    version = "1"
    timeout = 120

    def setup(self, network: str) -> None:
        import torch

        from tl1bench import compact, models

        torch.set_num_threads(1)
        self.x = torch.rand(4, 1, 28, 28, generator=torch.Generator().manual_seed(0))
        self.model = models.build(network, (1, 28, 28), 10, seed=0).eval()
        with torch.no_grad():
            for name, p in self.model.named_parameters():
                if p.dim() > 1 and "weight" in name:
                    p[::2] = 0
        self.small = compact(self.model, (self.x,))
        assert self.small.report.weights_after < 0.6 * self.small.report.weights_before

    def time_compact(self, network: str) -> None:  # noqa: ARG002
        from tl1bench import compact

        compact(self.model, (self.x,))

    def time_export(self, network: str) -> None:  # noqa: ARG002
        from tl1bench import export_onnx

        export_onnx(self.small.model, (self.x,), "small.onnx")

    def track_weights_kept_pct(self, network: str) -> float:  # noqa: ARG002
        report = self.small.report
        return 100 * report.weights_after / report.weights_before
