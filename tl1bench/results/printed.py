"""How numbers and names are printed, in figures, tables and sentences alike."""

from __future__ import annotations

import math
from collections.abc import Callable

NOTHING = "–"
_NAMES = {
    "dense": "dense",
    "l1": "ℓ1",
    "group_lasso": "group lasso",
    "sparse_group_lasso": "sparse group lasso",
    "tl1": "TL1",
    "integrated_tl1": "integrated TL1",
    "magnitude": "magnitude pruning",
    "random": "random pruning",
    "torch_pruning": "torch-pruning",
    "cges": "CGES",
    "mcp": "MCP",
    "scad": "SCAD",
    "l0": "ℓ0",
    "l2": "ℓ2",
    "log_sum": "log-sum",
    "l_half": "ℓ1/2",
}


def display(method: str) -> str:
    """Return the name of `method` as it is printed."""
    return _NAMES.get(method, method.replace("_", " "))


def number(value: float) -> str:
    """Return `value` with three significant digits and no exponent, such as 0.0123 or 18,300."""
    if value == 0 or not math.isfinite(value):
        return f"{value:g}"
    digits = max(0, 2 - math.floor(math.log10(abs(value))))
    rounded = round(value, 2 - math.floor(math.log10(abs(value))))
    return f"{rounded:,.{digits}f}"


def signed(value: float) -> str:
    """Return `value` with its sign and two decimals; what rounds to zero has none."""
    text = f"{value:+.2f}"
    return "0.00" if float(text) == 0 else text.replace("-", "−")


def known(value: float, form: Callable[[float], str] = number) -> str:
    """Return `value` as `form` prints it, a dash when it is not known."""
    return form(value) if math.isfinite(value) else NOTHING


def count(value: float) -> str:
    """Return `value` as a whole number, a dash when it is not known."""
    return known(value, "{:,.0f}".format)


def spread(mean: float, sd: float, form: Callable[[float], str] = "{:.2f}".format) -> str:
    """Return mean ± standard deviation, the mean alone when there is no deviation.

    Parameters
    ----------
    mean, sd
        Of one sample, in one unit; `sd` is NaN where there is none.
    form
        How each of the two is printed.

    Returns
    -------
    str
        Such as `1.25 ± 0.10`.
    """
    return f"{form(mean)} ± {form(sd)}" if math.isfinite(sd) else form(mean)


def between(value: float, low: float, high: float, form: Callable[[float], str]) -> str:
    """Return a value with its interval.

    Parameters
    ----------
    value, low, high
        In one unit; NaN where not known.
    form
        How each of the three is printed.

    Returns
    -------
    str
        Such as `0.25 [0.20, 0.31]`; without the brackets when an end is not known, a dash when the
        value is not.
    """
    if not math.isfinite(value):
        return NOTHING
    ends = math.isfinite(low) and math.isfinite(high)
    return f"{form(value)} [{form(low)}, {form(high)}]" if ends else form(value)


def p_value(p: float, level: float) -> str:
    """Return `p` with three decimals, with more when they would hide on which side of `level`."""
    if p < 0.001:
        return "< 0.001"
    return f"{p:.4f}" if f"{p:.3f}" == f"{level:.3f}" else f"{p:.3f}"
