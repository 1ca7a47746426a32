"""Which channels stay: those needed, those forced, and those that operations ask for besides."""

from __future__ import annotations

import numpy as np
from torch import fx

from tl1bench.tracing.analysis import Analysis
from tl1bench.tracing.channels import Bools, Ints
from tl1bench.tracing.graph import op_name
from tl1bench.tracing.regular import missing
from tl1bench.tracing.rules._base import Rule
from tl1bench.tracing.site import Site

PADDING = "zeros to align the width"


def decide(state: Analysis, align: int = 1) -> Bools:
    """Return for every label whether its class stays.

    A class stays when one of its members is needed or forced; rules then add what a border, equal
    groups or a layer without inputs ask for, until nothing changes. Layers that keep no multiple
    of `align` units ask for one more, and again.

    Parameters
    ----------
    state
        The passes over the network.
    align
        Layers keep a multiple of this number of units, or all that they had.

    Returns
    -------
    ndarray
        (label,).
    """
    classes = state.channels.classes()
    alive = np.zeros(int(classes.max(initial=-1)) + 1, dtype=bool)
    for some in state.channels.forced.values():
        for ids in some:
            alive[classes[ids]] = True
    for known in state.everything():
        alive[classes[known.ids[known.needed]]] = True
    keep = _settled(state, classes, alive)
    while align > 1 and len(more := _short(state, keep, classes, align)):
        state.channels.ask(more, PADDING)
        alive[classes[more]] = True
        keep = _settled(state, classes, alive)
    return keep


def _settled(state: Analysis, classes: Ints, alive: Bools) -> Bools:
    """Let rules ask for more until nothing changes, in `alive` (class,); return (label,)."""
    keep: Bools = alive[classes]
    changed, turn = True, 0
    # Demands travel from results to operands, so the last call goes first.
    asking = [(node, rule, type(rule).more is not Rule.more) for node, rule in state.ruled[::-1]]
    while goes_on(changed, turn):
        changed = False
        for node, rule, asks in asking:
            wanted = rule.more(node, state, keep) if asks else []
            if node in state.written:
                wanted = [*wanted, *rows(node, state, keep)]
            for more, reason in wanted:
                if not keep[more].all():
                    state.channels.ask(more[~keep[more]], reason)
                    alive[classes[more]] = True
                    keep = alive[classes]
                    changed = True
        turn += 1
    return keep


def _short(state: Analysis, keep: Bools, classes: Ints, align: int) -> Ints:
    """Return a dropped unit of each layer that keeps no multiple of `align`.

    One at a time, and one of layers that share units: equal groups and heads may ask for more.
    """
    found: list[int] = []
    asked = np.zeros(len(classes), dtype=bool)
    for node, rule in state.ruled:
        ids = _units(node, rule, state)
        dropped = ids[~keep[ids]]
        if len(dropped) and (len(ids) - len(dropped)) % align and not asked[classes[ids]].any():
            found.append(int(dropped[0]))
            asked[classes[ids]] = True
    return np.array(found, dtype=np.int64)


def _units(node: fx.Node, rule: Rule, state: Analysis) -> Ints:
    if state.plan(node, Site) is not None:
        return state.flows[node].ids
    held = rule.holds(node, state)
    return np.empty(0, dtype=np.int64) if held is None else held.units.ids


def rows(node: fx.Node, state: Analysis, keep: Bools) -> list[tuple[Ints, str]]:
    """Return the labels that a tensor which is written, along several axes, needs for equal rows.

    Parameters
    ----------
    node
        A call.
    state
        The passes over the network.
    keep
        (label,) which channels stay so far.

    Returns
    -------
    list of (labels, reason)
        One pair.
    """
    ids = state.tables[node].ids
    return [(missing(ids, keep[ids]), f"equal rows of {op_name(node)}")]


def goes_on(changed: bool, turn: int) -> bool:  # noqa: ARG001
    """Whether rules are asked once more: as long as one wanted something in the last turn."""
    return changed
