"""Peak memory, as VmHWM of the process that asv starts for each benchmark.

asv's own `peakmem_` reads `ru_maxrss`, which a child inherits from its parent on Linux.
"""

from pathlib import Path

STATUS = Path("/proc/self/status")


def _nothing() -> None:
    pass


def _import_tl1bench() -> None:
    import tl1bench  # noqa: F401


def _import_torch() -> None:
    import torch  # noqa: F401


def _compact_resnet18() -> None:
    from benchmarks._networks import example, half_dead
    from tl1bench import compact

    name = "torchvision/resnet18"
    compact(half_dead(name), example(name))


def _train_lenet5() -> None:
    from benchmarks.shrinking import training

    step = training("lenet5").step
    for _ in range(3):
        step()


WORK = {
    "nothing": _nothing,
    "import tl1bench": _import_tl1bench,
    "import torch": _import_torch,
    "compact resnet18": _compact_resnet18,
    "train lenet5": _train_lenet5,
}


class Peak:
    """Mebibytes that the process had at most; `nothing` is asv's own share."""

    params = (list(WORK),)
    param_names = ("what",)
    version = "1"
    unit = "MiB"
    timeout = 300

    def setup(self, what: str) -> None:  # noqa: ARG002
        if not STATUS.is_file():
            raise NotImplementedError("VmHWM is Linux's")

    def track_peak_mib(self, what: str) -> float:
        WORK[what]()
        lines = STATUS.read_text(encoding="ascii").splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024
