"""`compact`: the same function with fewer channels, and its file format."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from torch import Tensor, fx, nn

from tl1bench.compaction import archive, sizes
from tl1bench.compaction.compacted import Compacted
from tl1bench.compaction.counting import make_report
from tl1bench.compaction.decide import decide
from tl1bench.compaction.report import Report
from tl1bench.errors import CompactionError
from tl1bench.tracing.analysis import Analysis, analyse
from tl1bench.tracing.capture import bare, trace
from tl1bench.tracing.channels import Bools
from tl1bench.tracing.graph import Traced
from tl1bench.tracing.inputs import Inputs
from tl1bench.tracing.program import load_program
from tl1bench.tracing.reading import read
from tl1bench.tracing.rules import rule_of
from tl1bench.tracing.sliced import Gather
from tl1bench.tracing.writer import Emitter

_Attempt = tuple[Analysis, Bools, bool, Gather, int]
Examples: TypeAlias = Tensor | Mapping[str, Any] | Sequence[Any]


class Compactor:
    """A network traced once, to be compacted with as many sets of weights as one likes.

    Tracing takes longer than all the rest: many runs of one architecture share it.
    """

    def __init__(
        self,
        model: nn.Module,
        example_inputs: Examples = (),
        *,
        kwargs: Mapping[str, Any] | None = None,
        dynamic_shapes: Any = None,
    ) -> None:
        """Trace `model`, which stays as it is.

        Parameters
        ----------
        model, example_inputs, kwargs, dynamic_shapes
            As in `compact`, errors too.
        """
        inputs = Inputs.of(example_inputs, kwargs).sized(bare(model), dynamic_shapes)
        self._inputs = inputs
        self.traced = trace(model, inputs)

    def compact(
        self,
        weights: Mapping[str, Tensor] | None = None,
        gather: float | None = None,
        align: int = 1,
    ) -> Compacted:
        """Compact the traced network, as it is or with other `weights` in it.

        Parameters
        ----------
        weights
            A state dict of the traced model, of the same shapes and types; None for its own.
        gather, align
            As in `compact`.

        Returns
        -------
        Compacted
            Of these weights.

        Raises
        ------
        CompactionError
            When the weights are not those of the traced network, or not finite.
        """
        if align < 1:
            raise CompactionError(f"align is {align}: give a whole number from 1 on.")
        traced = self.traced if weights is None else self.traced.with_weights(weights)
        own = self._inputs
        return Compacted(*compact_traced(traced, gather, align), own.args, own.kwargs, own.sizes)


def compact(
    model: nn.Module,
    example_inputs: Examples = (),
    gather: float | None = None,
    align: int = 1,
    *,
    kwargs: Mapping[str, Any] | None = None,
    dynamic_shapes: Any = None,
) -> Compacted:
    """Return the same function as `model` in eval mode, without the channels that cannot matter.

    Parameters
    ----------
    model
        Any network that `torch.export` can trace; it stays as it is.
    example_inputs
        What it is called with: a tensor, or a tuple of arguments. Tensors may lie in lists, tuples
        and dicts; None, numbers and texts are constants. Their first dimension holds a batch of at
        least 2 samples and becomes free, unless the network fixes its size (the report says so);
        a tensor with another first size than the first tensor's has no batch.
    gather
        Share of zero input columns from which on a linear layer picks its live inputs by an
        index_select first; None for never.
    align
        Every layer keeps a multiple of this number of units, or all that it had: units that could
        go stay as zeros, and count. Devices that compute in tiles like 8 or 16.
    kwargs
        Arguments by name, `{"input_ids": x, "attention_mask": m}`.
    dynamic_shapes
        Sizes that are free besides that of the batch, as `torch.export` takes them:
        `{"x": {1: torch.export.Dim("length")}}`.

    Returns
    -------
    Compacted
        With parameters under their old names. Parameters and MACs are never more than before.

    Raises
    ------
    CompactionError
        When the network cannot be traced, draws random numbers or changes its buffers in eval mode,
        or holds integer, complex, quantised or non-finite weights; when `align` is below 1.
    """
    compactor = Compactor(model, example_inputs, kwargs=kwargs, dynamic_shapes=dynamic_shapes)
    return compactor.compact(gather=gather, align=align)


def load_compacted(path: str | Path) -> fx.GraphModule:
    """Read a file written by `Compacted.save`; the module is in eval mode.

    Raises
    ------
    CompactionError
        When the file is missing or neither an exported program nor tensors with a graph.
    """
    if Path(path).suffix == ".safetensors":
        return archive.read(Path(path))
    program = load_program(path)
    try:
        state = analyse(read(program), rule_of)
        return write(state, decide(state) | True, False)[0]
    except CompactionError as error:
        raise CompactionError(f"{path}: {error}") from error
    except Exception as error:  # a graph from elsewhere may be wrong in whatever way
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise CompactionError(f"{path} is no network that works ({reason[:200]}).") from error


def compact_traced(
    traced: Traced, gather: float | None = None, align: int = 1
) -> tuple[fx.GraphModule, Report]:
    """Return the compact module, never larger than the traced one, and the report.

    Indices, padding, and then the smaller network itself are given up where they cost more than is
    saved. What is computed from known tensors is stored in their place where that is less now.

    Parameters
    ----------
    traced, gather, align
        The network; the others as in `compact`.

    Returns
    -------
    tuple of GraphModule and Report
        As `write` returns them.
    """
    small, report = _compacted(traced, gather, align)
    if traced.computed:
        other = _compacted(traced.folded(), gather, align)
        if is_no_larger(*other, traced) and sizes.count(other[0]) < sizes.count(small):
            return other
    return small, report


def _compacted(traced: Traced, gather: float | None, align: int) -> tuple[fx.GraphModule, Report]:
    for attempt in _attempts(analyse(traced, rule_of), gather, align):
        small, report = write(*attempt)
        if is_no_larger(small, report, traced):
            break
    return small, report


def _attempts(state: Analysis, gather: float | None, align: int) -> Iterator[_Attempt]:
    for multiple in dict.fromkeys((align, 1)):
        keep = decide(state, multiple)
        for picked in dict.fromkeys((gather, None)):
            yield state, keep, True, picked, multiple
    yield state, keep | True, False, None, 1


def is_no_larger(small: nn.Module, report: Report, traced: Traced) -> bool:
    """Whether a compact module has at most the MACs, parameters, numbers and bytes of another.

    Parameters
    ----------
    small
        The compact module.
    report
        What was done.
    traced
        The network before.

    Returns
    -------
    bool
        Whether it is.
    """
    pairs = zip(sizes.stored(small), sizes.given(traced), strict=True)
    return report.macs_after <= report.macs_before and all(now <= was for now, was in pairs)


def write(
    state: Analysis, keep: Bools, folding: bool, gather: Gather = None, align: int = 1
) -> tuple[fx.GraphModule, Report]:
    """Write the compact module and the report of what was done.

    Parameters
    ----------
    state
        The passes over the network.
    keep
        (label,) which channels stay.
    folding
        Whether constants are folded into what reads them.
    gather
        Where an index picks live inputs.
    align
        A layer that reads some of its inputs reads a multiple of this number.

    Returns
    -------
    tuple of GraphModule and Report
        The module in eval mode, and what was done.
    """
    emitter = Emitter(state, keep, folding, gather, align)
    emitter.enter_inputs()
    for node, rule in state.ruled:
        emitter.enter(node, rule.emit(node, emitter))
    module = emitter.close()
    return module, make_report(state, keep, emitter, module)
