"""A check as a row: what was found, what is allowed, whether it held."""

from __future__ import annotations

from tools.gpu_proof.scale import Row


def row(what: str, found: object, allowed: object, held: bool) -> Row:
    """Return a check."""
    return {"what": what.strip("_"), "found": found, "allowed": allowed, "held": held}


def most(what: str, found: float, allowed: float) -> Row:
    """Return a check of a number that is to be at most `allowed`."""
    return row(what, found, allowed, found <= allowed)
