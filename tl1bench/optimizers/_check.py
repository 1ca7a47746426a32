"""`check`: what training a network with a penalty would come to, on one page, before training."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from torch import Tensor, nn

from tl1bench.errors import CompactionError
from tl1bench.neurons.outlook import Family, Outlook, outlook
from tl1bench.optimizers._chosen import Penalise
from tl1bench.optimizers._given import Given

_LINES = 20  # of each list: the whole is to stay on one page


@dataclass(frozen=True)
class Check:
    """What a network has for a penalty: its `str` is one page.

    `penalised` and `exempt` are parameters by name, the second with the reason why not; `weights`
    counts the single weights of each. `outlook` is None where the network cannot be traced, and
    `untraced` then says why: elementwise penalties act all the same, but nothing can leave.
    """

    penalised: dict[str, tuple[int, ...]]
    exempt: dict[str, str]
    weights: tuple[int, int]
    outlook: Outlook | None
    untraced: str

    @property
    def could_leave(self) -> tuple[Family, ...]:
        """The units that leave once all weights that leave them are zero."""
        return tuple(f for f in self._families if not f.reason)

    @property
    def must_stay(self) -> tuple[Family, ...]:
        """The units that cannot leave, each family with its reason."""
        return tuple(f for f in self._families if f.reason)

    @property
    def _families(self) -> tuple[Family, ...]:
        return self.outlook.families if self.outlook is not None else ()

    def __str__(self) -> str:
        """Return the page."""
        return "\n".join(self._lines())

    def _lines(self) -> Iterator[str]:
        if self.outlook is None:
            yield f"not traced: {self.untraced} Elementwise penalties act all the same."
        else:
            whole = ", ".join(self.outlook.opaque) or "none"
            yield f"traced: {self.outlook.calls} calls; kept whole, without a rule: {whole}"
        yield (
            f"penalised: {len(self.penalised)} of {len(self.penalised) + len(self.exempt)} "
            f"parameters, {self.weights[0]:,} of {sum(self.weights):,} numbers in them"
        )
        yield from _first(f"  {n} {'×'.join(map(str, s))}" for n, s in self.penalised.items())
        yield "not penalised:"
        yield from _first(f"  {n} {why}" for why, n in Counter(self.exempt.values()).most_common())
        if self.outlook is None:
            return
        total = sum(f.count for f in self._families)
        yield f"could leave: {sum(f.count for f in self.could_leave):,} of {total:,} units"
        yield from _first(f"  {_told(f)}" for f in self.could_leave)
        yield "must stay:"
        yield from _first(f"  {_told(f)}: {f.reason}" for f in self.must_stay)


def _told(family: Family) -> str:
    made, read = (_few(names) for names in (family.made_by, family.read_by))
    return (
        f"{family.count}"
        + (f" made by {made}" if made else "")
        + (f" read by {read}" if read else "")
    )


def _few(names: tuple[str, ...]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def _first(lines: Iterator[str]) -> Iterator[str]:
    every = list(lines)
    yield from every[:_LINES]
    if len(every) > _LINES:
        yield f"  … and {len(every) - _LINES} more"


def check(
    model: nn.Module,
    example_inputs: Tensor | tuple[Tensor, ...],
    penalise: Penalise | None = None,
) -> Check:
    """Say before training what of `model` is traced, grouped and penalised, and what could leave.

    Parameters
    ----------
    model
        The network; it stays as it is.
    example_inputs
        Inputs with a batch in their first dimension.
    penalise
        As for the optimisers.

    Returns
    -------
    Check
        Print it.

    Raises
    ------
    ConfigError
        `penalise` names what there is not, or a weight has no shape yet.
    """
    given = Given.read(model, penalise, None)
    inside = sum(p.numel() for p in given.penalised.values())
    total = sum(p.numel() for p in given.named.values())
    found, untraced = None, ""
    try:
        found = outlook(model, example_inputs)
    except CompactionError as error:
        untraced = str(error)
    return Check(
        {name: tuple(p.shape) for name, p in given.penalised.items()},
        given.reasons,
        (inside, total - inside),
        found,
        untraced,
    )
