"""The worker process: `python -m tl1bench.runtime FOLDER`.

Reads FOLDER/job.json (`task` and that task's settings) and writes FOLDER/result.json, which holds
`error` alone when the job was refused. Timed calls go to FOLDER/samples.npy, the
probes around them to FOLDER/probes.npy.
"""

from __future__ import annotations

import gc
import json
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from tl1bench.errors import MeasurementError
from tl1bench.runtime.session import bind, feed, fixed_batch, one_line, open_session
from tl1bench.runtime.timing import Plan, time_models

Job = Mapping[str, Any]


def main(folder: Path) -> None:
    """Do the job that lies in `folder`."""
    job = json.loads((folder / "job.json").read_text(encoding="utf-8"))
    tasks = {"inspect": inspect, "time": time_all, "memory": measure_memory, "profile": profile}
    if "torch" in sys.modules:
        result = {"error": "The worker process has torch loaded, so it cannot measure."}
    else:
        try:
            result = tasks[job["task"]](folder, job)
        except MeasurementError as error:
            result = {"error": str(error)}
    (folder / "result.json").write_text(json.dumps(result), encoding="utf-8")


def inspect(folder: Path, job: Job) -> dict[str, Any]:
    """Open and run every model once at every batch; write the optimised graphs as N.onnx.

    Raises
    ------
    MeasurementError
        One does not run.
    """
    _limit_memory(job["provider"])
    for number, path in enumerate(job["models"]):
        optimized = folder / f"{number}.onnx"
        session = open_session(path, 1, job["provider"], optimized_to=optimized)
        for batch in job["batches"]:
            try:
                bind(session, feed(session, batch), job["provider"])()
            except MeasurementError as error:
                raise MeasurementError(f"{path}: {error}") from error
            except Exception as error:  # onnxruntime's exceptions share no base class but this
                raise MeasurementError(f"{path} does not run: {one_line(error)}") from error
    return {}


def _limit_memory(provider: str) -> None:
    """Let a network that needs more memory than there is fail, before the machine does.

    Devices reserve addresses by the terabyte: nothing is limited there.
    """
    if provider != "cpu" or sys.platform != "linux":
        return
    import resource

    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    free = next(int(x.split()[1]) for x in lines if x.startswith("MemAvailable:"))
    most = pages * resource.getpagesize() + free * 1024
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    if all(most < limit or limit == resource.RLIM_INFINITY for limit in (soft, hard)):
        resource.setrlimit(resource.RLIMIT_AS, (most, hard))


def time_all(folder: Path, job: Job) -> dict[str, Any]:
    """Time all models interleaved; `on_cpu` is CPU time over wall time while doing so."""
    sessions = [open_session(path, job["threads"], job["provider"]) for path in job["models"]]
    calls = [bind(s, feed(s, job["batch"]), job["provider"]) for s in sessions]
    # One example on one thread of the host, whatever is measured: small, and always the same.
    sensor = open_session(job["probe"])
    probe = bind(sensor, feed(sensor, fixed_batch(sensor) or 1))
    wall, cpu = time.perf_counter(), time.process_time()
    timing = time_models(calls, probe, Plan(**job["plan"]), np.random.default_rng(job["seed"]))
    on_cpu = (time.process_time() - cpu) / (time.perf_counter() - wall)
    np.save(folder / "samples.npy", timing.samples_ns)
    np.save(folder / "probes.npy", timing.probe_ns)
    return {"first_ns": timing.first_ns.tolist(), "on_cpu": on_cpu}


def measure_memory(_: Path, job: Job) -> dict[str, float]:
    """Return this process's memory when empty, after loading a model, after `runs` runs."""
    empty = memory_mib()
    session = open_session(job["model"], job["threads"], job["provider"], arena=job["arena"])
    gc.collect()
    loaded = memory_mib()
    call = bind(session, feed(session, job["batch"]), job["provider"])
    for _run in range(job["runs"]):
        call()
    used = memory_mib()
    return {
        "uss_empty_mib": empty.unique,
        "uss_load_mib": loaded.unique,
        "uss_run_mib": used.unique,
        # Running maps more of the libraries' files: the peak of loading is read before that.
        "uss_peak_mib": max(loaded.unique_peak, used.unique_peak),
        "hwm_mib": used.resident_peak,
    }


def profile(folder: Path, job: Job) -> dict[str, Any]:
    """Run one model under onnxruntime's profiler; the result names the profiler's file."""
    prefix = folder / "profile"
    session = open_session(job["model"], job["threads"], job["provider"], profile_to=prefix)
    call = bind(session, feed(session, job["batch"]), job["provider"])
    for _ in range(job["runs"]):
        call()
    return {"file": session.end_profiling()}


class Memory(NamedTuple):
    """A process's memory in MiB.

    `unique` are the pages that only this process has and has written to. Clean ones are those of
    the libraries' files: they count as its own or not depending on who else has onnxruntime loaded,
    which moved the sum by 8 of 35 MiB. `resident_peak` is the most of both that was in memory at
    once (VmHWM), `unique_peak` that without the files' pages that are there now.
    """

    unique: float
    resident_peak: float
    unique_peak: float


def memory_mib() -> Memory:
    """Return the memory of this process.

    Raises
    ------
    MeasurementError
        Where the kernel does not tell: anywhere but on Linux.
    """
    try:
        rollup = Path("/proc/self/smaps_rollup").read_text(encoding="utf-8")
        status = Path("/proc/self/status").read_text(encoding="utf-8")
    except OSError as error:
        raise MeasurementError(
            "Memory is read from /proc/self/smaps_rollup, which this system lacks: "
            "measure without memory (memory_of=())."
        ) from error
    kib = {
        key: int(value.split()[0])
        for key, _, value in (line.partition(":") for line in (rollup + status).splitlines())
        if key in ("Private_Dirty", "VmHWM", "RssFile")
    }
    unique, peak = kib["Private_Dirty"] / 1024, kib["VmHWM"] / 1024
    return Memory(unique, peak, peak - kib["RssFile"] / 1024)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
