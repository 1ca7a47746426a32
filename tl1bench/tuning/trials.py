"""`tune`: switch on those adapters of a compact network that are faster by measurement.

Whether an index or some zeros pay depends on the processor, the batch and every other layer, so no
rule decides: candidates run interleaved in onnxruntime, and the winner has to win once more.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from tabulate import tabulate
from torch import Tensor, fx, nn

from tl1bench.compaction import Compacted, Report
from tl1bench.errors import CompactionError
from tl1bench.export import export_onnx
from tl1bench.measuring import measure
from tl1bench.tracing import agreement
from tl1bench.tracing.arguments import as_tuple
from tl1bench.tracing.capture import evaluating
from tl1bench.tuning.adapters import Adapters, Draft, Options

VECTORS = (8, 16)
_SINGLE = 6


@dataclass(frozen=True)
class Ratio:
    """Latency over that of the plain compact network, with a 95 % interval."""

    estimate: float
    low: float
    high: float


Cost = Callable[[Sequence[Path]], Sequence[Ratio]]


@dataclass(frozen=True)
class Trial:
    """One measured candidate; `round` 1 tries each alone, round 2 confirms the best together."""

    round: int
    adapters: Adapters
    ratio: Ratio


@dataclass(frozen=True, eq=False)
class Tuned:
    """The network that was fastest, the same function still.

    `plain` is the compact network without adapters and `adapters` what was switched on (nothing, if
    nothing paid). `padding_weights` are the zeros among the report's weights that are there for
    speed alone.
    """

    compacted: Compacted
    plain: Report
    adapters: Adapters
    padding_weights: int
    trials: tuple[Trial, ...]

    @property
    def model(self) -> fx.GraphModule:
        """The network."""
        return self.compacted.model

    @property
    def report(self) -> Report:
        """What compaction did, the padding included."""
        return self.compacted.report

    def __str__(self) -> str:
        rows = [
            (t.round, str(t.adapters), t.ratio.estimate, f"{t.ratio.low:.3f}–{t.ratio.high:.3f}")
            for t in self.trials
        ]
        table = tabulate(rows, headers=("round", "adapters", "latency ratio", "interval"),
                         floatfmt=("d", "", ".3f", ""))  # fmt: skip
        sizes = (
            f"weights {self.plain.weights_before:,} → {self.plain.weights_after:,} compact, "
            f"{self.report.weights_after:,} tuned, of which {self.padding_weights:,} padding zeros"
        )
        return f"{table}\nswitched on: {self.adapters}\n{sizes}"


def tune(
    model: nn.Module,
    example_inputs: Tensor | tuple[Tensor, ...],
    *,
    batch: int = 1,
    threads: int = 1,
    cost: Cost | None = None,
) -> Tuned:
    """Compact `model` and switch on the adapters that make it measurably faster.

    `gather`, `expand` and alignment (see `tl1bench.tuning.adapters`) are first timed one by
    one; those whose whole interval is below 1 are combined. The combination and the best single one
    are timed again, and the faster is taken if its interval stays below 1; otherwise the plain
    compact network is. No candidate has more weights or MACs than `model`.

    Parameters
    ----------
    model, example_inputs
        As for `compact`; float32, since it is exported to be timed.
    batch, threads
        What is timed (see `measure`).
    cost
        Stands in for the measurement: latency ratios of ONNX files to the first of them.

    Returns
    -------
    Tuned
        The network, and what was tried.

    Raises
    ------
    CompactionError, ExportError, MeasurementError
        As `compact`, `export_onnx` and `measure` do.
    """
    inputs = as_tuple(example_inputs)
    draft = Draft(model, inputs)
    judge = cost or (lambda paths: _measured(paths, batch, threads))
    first = _race(draft, inputs, _candidates(draft.options()), judge, 1)
    paying = [t for t in first if t.ratio.high < 1]
    trials, chosen = [*first], Adapters()
    if paying:
        best = min(paying, key=lambda t: t.ratio.estimate)
        finalists = [best.adapters]
        together = _combined(paying)
        if together not in finalists and _fits(draft, together):
            finalists.append(together)
        second = _race(draft, inputs, finalists, judge, 2)
        trials += second
        winner = min(second, key=lambda t: t.ratio.estimate)
        if winner.ratio.high < 1:
            chosen = winner.adapters
    compacted = draft.write(chosen)
    _check_same(model, compacted)
    unpadded = draft.write(Adapters(chosen.gather, chosen.expand)).report
    padding = compacted.report.weights_after - unpadded.weights_after
    return Tuned(compacted, draft.plain.report, chosen, padding, tuple(trials))


def _candidates(options: Options) -> list[Adapters]:
    """Each adapter alone: the layers that save most MACs, all at once, and whole alignments."""
    found = [Adapters(gather=names) for names in _subsets(options.gather)]
    found += [Adapters(expand=names) for names in _subsets(options.expand)]
    for vector in VECTORS:
        align = {
            name: min(-(-left // vector) * vector, full)
            for name, (left, full) in options.widths.items()
            if left % vector
        }
        found += [Adapters(align=align)] if align else []
        found += (
            [Adapters(align={n: w}) for n, w in align.items()] if 1 < len(align) <= _SINGLE else []
        )
    return [c for i, c in enumerate(found) if c not in found[:i]]


def _subsets(saved: Mapping[str, int]) -> list[frozenset[str]]:
    names = sorted(saved, key=lambda name: -saved[name])
    alone = [frozenset({name}) for name in names[:_SINGLE]]
    return [*alone, frozenset(names)] if len(names) > 1 else alone


def _combined(paying: Sequence[Trial]) -> Adapters:
    """Everything that pays alone; of two alignments of a layer, that of the faster trial."""
    together = Adapters()
    for trial in sorted(paying, key=lambda t: -t.ratio.estimate):
        together |= trial.adapters
    return together


def _fits(draft: Draft, adapters: Adapters) -> bool:
    try:
        draft.write(adapters)
    except CompactionError:
        return False
    return True


def _race(
    draft: Draft, inputs: tuple[Tensor, ...], candidates: Sequence[Adapters], judge: Cost, turn: int
) -> list[Trial]:
    fitting = [a for a in candidates if _fits(draft, a)]
    if not fitting:
        return []
    with TemporaryDirectory(prefix="tl1bench-") as folder:
        paths = [Path(folder) / f"{number}.onnx" for number in range(len(fitting) + 1)]
        for adapters, path in zip([Adapters(), *fitting], paths, strict=True):
            export_onnx(draft.write(adapters).model, inputs, path)
        ratios = judge(paths)
    return [Trial(turn, a, r) for a, r in zip(fitting, ratios[1:], strict=True)]


def _measured(paths: Sequence[Path], batch: int, threads: int) -> list[Ratio]:
    table = measure(list(paths), batch=batch, threads=threads, memory_of=()).table
    rows = table.set_index("model").loc[[path.stem for path in paths]]
    columns = (rows["ratio_p50"], rows["ratio_low"], rows["ratio_high"])
    return [Ratio(*map(float, row)) for row in zip(*columns, strict=True)]


@torch.no_grad()
def _check_same(model: nn.Module, small: Compacted) -> None:
    with evaluating(model):
        before = model(*small.example_inputs)
    after = small.model(*small.example_inputs)
    if not agreement.same(before, after, depth=len(small.report.layers)):
        difference = agreement.difference(before, after)
        raise CompactionError(
            f"The tuned network is not the same function (outputs differ by {difference:.1e}): "
            "please report this as a bug."
        )
