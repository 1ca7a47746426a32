"""Independent jobs over local processes, with one progress bar that knows the time left."""

from __future__ import annotations

import tempfile
import threading
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from tl1bench import progress
from tl1bench.pipeline import devices

Job = TypeVar("Job")
Tick = Callable[[float], None]


def each(
    function: Callable[[Job, Tick], Any],
    jobs: Sequence[Job],
    workers: int | str,
    label: str,
    sizes: Sequence[float] | None = None,
    device: str = "cpu",
) -> list[Any]:
    """Return `[function(job, tick) for job in jobs]`, run side by side in fresh processes.

    Parameters
    ----------
    function
        A module-level function; calls `tick(share)` with the share of the job that is done.
    jobs
        Picklable job descriptions.
    workers
        Number of processes or "auto" for as many as cores and cards take (`devices.count`); a
        single job or worker runs right here.
    label
        What the progress bar is called.
    sizes
        Relative lengths of the jobs, for the time left; equal when not given.
    device
        Of params.yaml, for jobs that use it: each process is shown one of the cards.

    Returns
    -------
    list
        Of the results, in the order of the jobs.
    """
    if not jobs:
        return []
    lengths = list(sizes) if sizes is not None else [1.0] * len(jobs)
    cards = devices.cards(device)
    count = min(devices.count(workers, cards), len(jobs))
    # Longest first: the last job to finish is then a short one.
    order = sorted(range(len(jobs)), key=lambda i: -lengths[i])
    with tempfile.TemporaryDirectory() as folder:
        marks = [Path(folder) / str(i) for i in range(len(jobs))]
        with _bar(label, marks, lengths):
            if count == 1:
                done = [_call(function, jobs[i], marks[i]) for i in order]
            else:
                started: dict[str, Any] = {}
                if len(cards) > 1:
                    chosen = devices.places(cards, count)
                    started = {"initializer": devices.take, "initargs": (Path(folder), chosen)}
                work = [(jobs[i], marks[i]) for i in order]
                done = _spread(function, work, count, started)
    results: list[Any] = [None] * len(jobs)
    for i, result in zip(order, done, strict=True):
        results[i] = result
    return results


def _spread(
    function: Callable[[Job, Tick], Any],
    work: Sequence[tuple[Job, Path]],
    count: int,
    started: Mapping[str, Any],
) -> list[Any]:
    import joblib

    # Workers that have grown are replaced, as it should be; nobody needs to read of it.
    warnings.filterwarnings("ignore", "A worker stopped while some jobs", UserWarning)
    tasks = [joblib.delayed(_call)(function, job, mark) for job, mark in work]
    with joblib.parallel_config("loky", n_jobs=count, inner_max_num_threads=1, **started):
        return list(joblib.Parallel(batch_size=1)(tasks))


def _call(function: Callable[[Job, Tick], Any], job: Job, mark: Path) -> Any:
    # A one-line file is the plainest channel back: torn reads are skipped, no manager process.
    def tick(share: float) -> None:
        mark.write_text(f"{share:.4f}")

    result = function(job, tick)
    mark.write_text("1")
    return result


@contextmanager
def _bar(label: str, marks: Sequence[Path], lengths: Sequence[float]) -> Iterator[None]:
    stop = threading.Event()
    with progress.bar() as shown:
        task = shown.add_task(f"{label} ({len(marks)} runs)", total=sum(lengths))

        def follow() -> None:
            while not stop.wait(0.3):
                shown.update(task, completed=_done(marks, lengths))

        thread = threading.Thread(target=follow, daemon=True)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()
            shown.update(task, completed=_done(marks, lengths))


def _done(marks: Sequence[Path], lengths: Sequence[float]) -> float:
    total = 0.0
    for mark, length in zip(marks, lengths, strict=True):
        try:
            total += length * float(mark.read_text())
        except (OSError, ValueError):
            continue
    return total
