"""What compaction brings at run time: onnxruntime in processes without torch, interleaved."""

from __future__ import annotations

from benchmarks._networks import assert_same, dense, example, half_dead

NETWORK = "lenet5"


class _Measured:
    """LeNet-5 dense, with half of its units zero but present (masked), and without them."""

    version = "1"
    timeout = 300

    def setup_cache(self) -> dict[str, dict[str, float]]:
        from tl1bench import compact, export_onnx, measure

        x, masked = example(NETWORK), half_dead(NETWORK)
        small = compact(masked, x).model
        assert_same(small, masked, x)
        models = {"dense": dense(NETWORK), "masked": masked, "compact": small}
        for name, model in models.items():
            export_onnx(model, x, f"{name}.onnx")
        table = measure([f"{name}.onnx" for name in models], batch=1, threads=1).table
        return {str(row["model"]): dict(row) for row in table.to_dict("records")}


class Latency(_Measured):
    """Microseconds a call, batch 1, one thread; `floor` is an Identity graph."""

    params = (["dense", "masked", "compact", "floor"],)
    param_names = ("model",)
    unit = "µs"

    def track_p50_us(self, measured: dict[str, dict[str, float]], model: str) -> float:
        return float(measured[model]["p50_us"])

    def track_min_us(self, measured: dict[str, dict[str, float]], model: str) -> float:
        return float(measured[model]["min_us"])


class Ratio(_Measured):
    """Latency as a multiple of the dense network's, paired over processes."""

    params = (["masked", "compact"],)
    param_names = ("model",)
    unit = "ratio"

    def track_p50_ratio(self, measured: dict[str, dict[str, float]], model: str) -> float:
        return float(measured[model]["ratio_p50"])


class Memory(_Measured):
    """A fresh process that loads one model and runs it: peak (VmHWM) and unique set size."""

    params = (["dense", "masked", "compact"],)
    param_names = ("model",)
    unit = "MiB"

    def track_peak_mib(self, measured: dict[str, dict[str, float]], model: str) -> float:
        return float(measured[model]["hwm_mib"])

    def track_unique_mib(self, measured: dict[str, dict[str, float]], model: str) -> float:
        return float(measured[model]["uss_run_mib"])
