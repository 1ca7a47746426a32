"""Proof on data that two networks are one function: float64 outputs and every decision."""

from __future__ import annotations

import copy
from dataclasses import dataclass

import torch
from torch import nn

from tl1bench.errors import CompactionError
from tl1bench.tracing import agreement
from tl1bench.training.evaluation import predictions
from tl1bench.training.examples import Examples
from tl1bench.training.skipping import all_zeros_skipped

# Enough to see any difference of function; all examples in float64 would cost more than training.
FLOAT64_EXAMPLES = 1000


@dataclass(frozen=True)
class Equality:
    """How far two networks agree.

    max_abs_difference
        max |f(x) − g(x)| / max(1, max |f(x)|) in float64 over the first 1,000 examples.
    changed_predictions
        Examples of the whole split whose predicted class differs; where float32 rounding alone
        separates two nearly equal scores, float64 decides. Numbers are no decisions: none of them.
    error_pct
        Error of the second network's float32 predictions on the whole split.
    """

    max_abs_difference: float
    changed_predictions: int
    error_pct: float


@torch.no_grad()
def compare(full: nn.Module, small: nn.Module, examples: Examples) -> Equality:
    """Compare two float64 networks in evaluation mode on the same examples.

    Parameters
    ----------
    full, small
        The networks.
    examples
        What they are compared on.

    Returns
    -------
    Equality
        How far they agree.
    """
    rows = torch.arange(min(FLOAT64_EXAMPLES, len(examples)), device=examples.y.device)
    x = examples.batch(rows)[0].double()
    difference = agreement.difference(full(x), small(x))
    after, task = predictions(_fast(small), examples), examples.task
    changed = _changed(full, small, after, examples) if task.decides else 0
    return Equality(difference, changed, task.error_pct(after, examples.y))


def _changed(full: nn.Module, small: nn.Module, after: torch.Tensor, examples: Examples) -> int:
    dense, predicted = _fast(full), examples.task.predicted
    with all_zeros_skipped(dense):
        before = predictions(dense, examples)
    doubtful = (before != after).nonzero().flatten()
    if not len(doubtful):
        return 0
    x = examples.batch(doubtful)[0].double()
    return int((predicted(full(x)) != predicted(small(x))).sum())


def _fast(network: nn.Module) -> nn.Module:
    """Return a float32 copy in the memory format in which convolutions take half the time."""
    copied = copy.deepcopy(network).float()
    for parameter in copied.parameters():
        if parameter.dim() == 4:
            parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)
    return copied


def prove(full: nn.Module, small: nn.Module, examples: Examples, what: str) -> Equality:
    """Compare as `compare` does and refuse any difference.

    Parameters
    ----------
    full, small
        The networks, in float64 and evaluation mode.
    examples
        What they are compared on.
    what
        What the small one is, for the message.

    Returns
    -------
    Equality
        How far they agree.

    Raises
    ------
    CompactionError
        Outputs differ by more than `agreement.FLOAT64`, or a prediction changed.
    """
    equality = compare(full, small, examples)
    if equality.max_abs_difference > agreement.FLOAT64 or equality.changed_predictions:
        raise CompactionError(
            f"The compact network of {what} is not the same function (outputs differ by "
            f"{equality.max_abs_difference:.1e}, {equality.changed_predictions} predictions "
            "changed): please report this as a bug with the weights file."
        )
    return equality
