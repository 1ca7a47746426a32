"""What machine a number comes from, and whether it was too busy for the number to be trusted."""

from __future__ import annotations

import math
import os
import platform
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import psutil

# Only flags that decide which kernels run; the whole list is hundreds of words.
FLAG_PREFIXES = ("sse4", "avx", "fma", "f16c", "amx", "asimd", "sve", "bf16", "i8mm")
# Others may keep this share of the cores busy before a number stops being trusted.
OTHERS_SHARE = 0.25
# Load averages lag by a minute and count our own earlier work: only a plain overload counts.
LOAD_PER_CORE = 1.5
LEAST_ON_CPU = 0.95
LEAST_QUIET = 0.25


@dataclass(frozen=True)
class Load:
    """The machine's load at one moment; times are seconds since an arbitrary start."""

    wall_s: float
    busy_s: float  # CPU time spent by everything, summed over cores
    own_s: float  # CPU time spent by this process and the children it has waited for
    average: tuple[float, float, float]  # over 1, 5 and 15 minutes
    cores: int


def load(clock: Callable[[], float] = time.perf_counter) -> Load:
    """Sample the load now."""
    total = psutil.cpu_times()
    # `guest` is already inside `user`; time stolen by the host counts as someone else's work.
    counted = ("user", "nice", "system", "irq", "softirq", "steal")
    own = psutil.Process().cpu_times()
    return Load(
        wall_s=clock(),
        busy_s=sum(getattr(total, name, 0.0) for name in counted),
        own_s=own.user + own.system + own.children_user + own.children_system,
        average=psutil.getloadavg(),
        cores=psutil.cpu_count() or 1,
    )


def others(start: Load, end: Load) -> float:
    """Cores that other processes kept busy between two samples (0 when no time passed)."""
    wall = end.wall_s - start.wall_s
    if wall <= 0:
        return 0.0
    used = (end.busy_s - start.busy_s) - (end.own_s - start.own_s)
    return max(0.0, used / wall)


@dataclass(frozen=True)
class Watch:
    """Loads around a measurement: a short look before, the measurement, a short look after."""

    before: tuple[Load, Load]
    after: tuple[Load, Load]

    def spans(self) -> dict[str, float]:
        """Cores used by others before, during and after."""
        return {
            "before": others(*self.before),
            "during": others(self.before[1], self.after[0]),
            "after": others(*self.after),
        }


def look(
    seconds: float = 0.25,
    sample: Callable[[], Load] = load,
    sleep: Callable[[float], None] = time.sleep,
) -> tuple[Load, Load]:
    """Take two samples with this process asleep in between.

    Parameters
    ----------
    seconds
        How long.
    sample, sleep
        The load and the way to sleep; tests bring their own.

    Returns
    -------
    tuple of Load
        Before and after.
    """
    first = sample()
    sleep(seconds)
    return first, sample()


def busy(watch: Watch, threads: int = 1) -> str:
    """Say why the machine was too busy to trust a timing on `threads` threads; empty if it was not.

    Busy means: others used more than a quarter of the cores before, during or after; or during the
    measurement they left fewer than `threads` cores; or the 1-minute load average before exceeded
    1.5 per core.
    """
    cores = watch.before[0].cores
    spans = watch.spans()
    for when, used in spans.items():
        if used > OTHERS_SHARE * cores:
            return f"other processes kept {used:.2f} of {cores} cores busy {when} the measurement"
    # A tenth of a core is the system's own noise.
    if spans["during"] + threads > cores + 0.1:
        return (
            f"{threads} threads were measured while others left {cores - spans['during']:.2f} cores"
        )
    average = watch.before[0].average[0]
    if average > LOAD_PER_CORE * cores:
        return f"the load average was {average:.2f} on {cores} cores before the measurement"
    return ""


def _cpu() -> tuple[str, list[str]]:
    model, flags = "", ""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    for line in lines:
        key, _, value = (part.strip() for part in line.partition(":"))
        if key == "model name":
            model = model or value
        elif key in ("flags", "Features"):
            flags = flags or value
    chosen = sorted(flag for flag in flags.split() if flag.startswith(FLAG_PREFIXES))
    return model or platform.processor() or platform.machine(), chosen


def _governor() -> str:
    path = Path("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")
    try:
        return path.read_text(encoding="utf-8").strip()
    except OSError:
        return "unknown"


def _gpus() -> list[str]:
    files = sorted(Path("/proc/driver/nvidia/gpus").glob("*/information"))
    lines = [line for file in files for line in file.read_text(encoding="utf-8").splitlines()]
    return [line.partition(":")[2].strip() for line in lines if line.startswith("Model:")]


def version(*names: str) -> str:
    """Version of the first of these distributions that is installed, or "unknown"."""
    for name in names:
        try:
            return metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return "unknown"


def record() -> dict[str, Any]:
    """Return what stays the same while measuring: hardware, governor, versions. JSON-able."""
    model, flags = _cpu()
    affinity = getattr(os, "sched_getaffinity", None)
    return {
        "cpu": model,
        "cpu_flags": flags,
        "cores": psutil.cpu_count() or 1,
        "cores_physical": psutil.cpu_count(logical=False) or 1,
        "cores_allowed": len(affinity(0)) if affinity else psutil.cpu_count() or 1,
        "governor": _governor(),
        "gpus": _gpus(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "system": f"{platform.system()} {platform.release()}",
        "versions": {
            "python": platform.python_version(),
            "numpy": version("numpy"),
            "onnxruntime": version("onnxruntime", "onnxruntime-gpu"),
            "onnx": version("onnx"),
            "tl1bench": version("tl1bench"),
        },
    }


def identity() -> dict[str, Any]:
    """Return the part of `record` that timings depend on: elsewhere they are another machine's."""
    own = record()
    names = ("cpu", "cpu_flags", "cores", "cores_allowed", "gpus")
    return {**{name: own[name] for name in names}, "onnxruntime": own["versions"]["onnxruntime"]}


def trust(
    watch: Watch,
    threads: Sequence[int],
    on_cpu: float | None = None,
    quiet: Mapping[int, float] | None = None,
) -> dict[str, Any]:
    """Return load before and after, and whether to trust what was measured. JSON-able.

    Parameters
    ----------
    watch
        Loads around the measurement.
    threads
        The thread counts that were measured.
    on_cpu
        The smallest share of a one-thread worker's timed wall time that it spent on a core; under
        95 % it was pushed aside, whoever did it (also a container's quota).
    quiet
        The share of undisturbed calls by thread count; under a quarter there is too little to go
        by.

    Returns
    -------
    dict
        `reasons` against trusting each of `threads`, empty ones for what can be trusted; `trusted`
        and `reason` are the answer for the fewest.
    """
    reasons = {n: _doubt(watch, n, on_cpu, (quiet or {}).get(n, 1.0)) for n in threads}
    reason = reasons[min(threads)]
    return {
        "load_before": list(watch.before[0].average),
        "load_after": list(watch.after[1].average),
        "others_cores": {when: round(used, 3) for when, used in watch.spans().items()},
        "on_cpu": on_cpu,
        "quiet": {str(n): round(share, 3) for n, share in (quiet or {}).items()},
        "trusted": not reason,
        "reason": reason,
        "reasons": {str(n): why for n, why in reasons.items()},
    }


def _doubt(watch: Watch, threads: int, on_cpu: float | None, quiet: float) -> str:
    if reason := busy(watch, threads):
        return reason
    if on_cpu is not None and math.isfinite(on_cpu) and on_cpu < LEAST_ON_CPU:
        return f"a worker was on a core for only {on_cpu:.0%} of the time it was timed"
    if quiet < LEAST_QUIET:
        return f"something slowed the machine down during {1 - quiet:.0%} of the timed calls"
    return ""
