"""What an optimiser does to each parameter, as rows of a table."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from tabulate import tabulate
from torch import Tensor

from tl1bench.neurons import Groups
from tl1bench.penalties import Penalty


@dataclass(frozen=True)
class Row:
    """One parameter: how it is penalised, in which groups, or why not.

    `penalty` is empty where it is not penalised, `groups` where each weight is for itself.
    """

    name: str
    shape: tuple[int, ...]
    trained: bool
    penalty: str
    groups: str
    reason: str


def rows(
    named: Mapping[str, Tensor],
    layers: Mapping[str, tuple[Penalty, float]],
    blocks: Sequence[Groups],
    reasons: Mapping[str, str],
) -> tuple[Row, ...]:
    """Return a row for each parameter.

    Parameters
    ----------
    named
        All parameters.
    layers
        Penalty and c_l of each penalised one.
    blocks
        The groups, empty where the penalty has none.
    reasons
        Why each other one is not penalised.

    Returns
    -------
    tuple of Row
        In the order of `named`.
    """
    found: dict[str, list[str]] = {}
    for block in blocks:
        names = list(dict.fromkeys(piece.tensor for piece in block.slices))
        for name in names:
            others = ", ".join(n for n in names if n != name)
            shared = f", with {others}" if others else ""
            found.setdefault(name, []).append(f"{block.count} of {block.members}{shared}")
    return tuple(
        Row(
            name,
            tuple(p.shape),
            p.requires_grad,
            _told(*layers[name]) if name in layers else "",
            "; ".join(found.get(name, ())),
            reasons.get(name, "") if p.requires_grad else "rests: requires_grad is False",
        )
        for name, p in named.items()
    )


def _told(penalty: Penalty, weight: float) -> str:
    """Return the penalty of a layer in words."""
    mixing = getattr(penalty, "mixing", None)
    parts = [penalty.public_name, f"λ={penalty.lam:g}"]
    parts += [f"μ={mixing:.2g}"] if mixing is not None else []
    parts += [f"c={weight:g}"] if weight != 1 else []
    return " ".join(parts)


def printed(table: Iterable[Row]) -> str:
    """Return the table as text, one line a parameter."""
    return tabulate(
        [
            (
                row.name,
                "×".join(map(str, row.shape)),
                row.penalty or "not penalised",
                row.groups or ("each weight by itself" if row.penalty else ""),
                row.reason,
            )
            for row in table
        ],
        headers=("parameter", "shape", "penalty", "groups", "why not"),
        disable_numparse=True,
    )
