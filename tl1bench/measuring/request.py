"""What a measurement was asked for, checked before anything is started."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

from tl1bench.errors import MeasurementError
from tl1bench.measuring.graphs import Graph, read_graph
from tl1bench.results import FLOOR

# They differ by a page or two, but for one in twenty: of three, the middle one is right.
MEMORY_PROCESSES = 3


@dataclass(frozen=True)
class Setting:
    """What a timing or a memory measurement is taken at."""

    batch: int
    threads: int


@dataclass(frozen=True)
class Request:
    """Models by label, how often and at which settings they are measured, and what else of them.

    graphs, baseline
        The models in the order given, and the one that ratios refer to.
    batches, threads
        All combinations are settings; the first of both is the headline.
    processes
        How many fresh processes time each setting.
    headline_only, memory_of, operators_of
        Labels: timed at the headline alone; memory measured; operators profiled.
    """

    graphs: Mapping[str, Graph]
    baseline: str
    batches: tuple[int, ...]
    threads: tuple[int, ...]
    processes: int
    headline_only: frozenset[str]
    memory_of: tuple[str, ...]
    operators_of: tuple[str, ...]

    def __post_init__(self) -> None:
        if self.baseline in self.headline_only:
            raise MeasurementError(
                f"{self.baseline!r} is the baseline: it has to be timed at every setting."
            )

    def timed_at(self) -> dict[Setting, list[str]]:
        """Return the labels timed at each setting, the floor's last; the headline comes first."""
        few = [label for label in self.graphs if label not in self.headline_only]
        settings = [Setting(*pair) for pair in product(self.batches, self.threads)]
        return {s: [*(few if s != settings[0] else self.graphs), FLOOR] for s in settings}

    def on_first_threads(self) -> list[Setting]:
        """Return the settings of memory and operators: every batch, the first thread count."""
        return [Setting(batch, self.threads[0]) for batch in self.batches]

    def memory_jobs(self) -> list[tuple[str, Setting, bool, int]]:
        """Return label, setting, arena and number of each process whose memory is read.

        The floor has its own processes; there are none where no model's memory was asked for.
        """
        labels = (*self.memory_of, FLOOR) if self.memory_of else ()
        numbers = range(min(self.processes, MEMORY_PROCESSES))
        return list(product(labels, self.on_first_threads(), (True, False), numbers))

    def steps(self) -> int:
        """Return how many worker processes it takes."""
        profiled = len(self.operators_of) * len(self.batches)
        timing = self.processes * len(self.batches) * len(self.threads)
        return 1 + len(self.memory_jobs()) + profiled + timing


def read_models(
    paths: Sequence[str | Path], labels: Sequence[str] | None = None
) -> dict[str, Graph]:
    """Read ONNX files and name them, by their stems unless `labels` are given.

    Raises
    ------
    MeasurementError
        A file is missing or not ONNX, labels are not as many or not different, or the models take
        different inputs.
    """
    named = dict(zip(_labels(paths, labels), map(read_graph, paths), strict=True))
    _same_inputs(named)
    return named


def find(graphs: Mapping[str, Graph], key: str | Path) -> str:
    """Return the label of the model that `key`, a label or a path, names.

    Raises
    ------
    MeasurementError
        It names none, or several.
    """
    if str(key) in graphs:
        return str(key)
    found = [label for label, graph in graphs.items() if graph.path == Path(key).resolve()]
    if len(found) != 1:
        raise MeasurementError(f"{str(key)!r} names {len(found)} of {', '.join(graphs)}.")
    return found[0]


def counts(name: str, value: int | Sequence[int]) -> tuple[int, ...]:
    """Return one number or several as a tuple.

    Raises
    ------
    MeasurementError
        There is none, one is below 1, or two are equal; the message calls them `name`.
    """
    values = (value,) if isinstance(value, int) else tuple(value)
    if not values or any(v < 1 for v in values) or len(set(values)) < len(values):
        raise MeasurementError(
            f"{name} must be one or several different numbers from 1, not {value}."
        )
    return values


def _labels(paths: Sequence[str | Path], labels: Sequence[str] | None) -> list[str]:
    if isinstance(paths, str | Path) or not paths:
        raise MeasurementError("measure takes a list of at least one ONNX file.")
    if labels is None:
        stems = Counter(Path(path).stem for path in paths)
        labels = [Path(p).stem if stems[Path(p).stem] == 1 else str(p) for p in paths]
    if len(labels) != len(paths):
        raise MeasurementError(f"{len(labels)} labels were given for {len(paths)} files.")
    twice = [label for label, count in Counter([*labels, FLOOR]).items() if count > 1]
    if twice:
        raise MeasurementError(
            f"Labels must differ from each other and from {FLOOR!r}: {twice[0]!r} is there twice."
        )
    return list(labels)


def _same_inputs(graphs: Mapping[str, Graph]) -> None:
    first, *others = graphs
    for label in others:
        if graphs[label].inputs != graphs[first].inputs:
            raise MeasurementError(
                f"{first!r} and {label!r} take different inputs and cannot be compared."
            )
