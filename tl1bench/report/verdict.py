"""The results in plain words, generated from the table: who wins, who ties, who loses."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import pandas as pd

from tl1bench import results
from tl1bench.results import DENSE, HERO, Objective, statistics
from tl1bench.results.comparison import ALPHA, Effect, Versus, versus
from tl1bench.results.evidence import Evidence
from tl1bench.results.printed import between, display, number, p_value, signed

# What is counted, in the plural.
WANTED: dict[Objective, str] = {
    "weights": "weights of the compact network",
    "nonzero": "non-zero weights",
    "macs": "MACs",
    "latency": "microseconds",
}
_ALONE = (
    "Nothing but integrated TL1 was trained beside dense: add a method to `methods:` to compare it "
    "with."
)


@dataclass(frozen=True)
class Line:
    """One comparison: its outcome (wins, ties, trades, loses) and its sentence."""

    baseline: str
    outcome: str
    sentence: str


@dataclass(frozen=True)
class Verdict:
    """A headline, the comparisons by problem, and what the number of seeds can show at all.

    Problems on which nothing was learned take no part.
    """

    wanted: str
    headline: str
    dense: tuple[str, ...]
    lines: tuple[tuple[str, tuple[Line, ...]], ...]
    power: tuple[str, ...]


def judge(table: pd.DataFrame, evidence: Evidence, by: Objective | None = None) -> Verdict:
    """Compare integrated TL1 with every baseline and with dense on every problem.

    Parameters
    ----------
    table
        Rows of runs.csv.
    evidence
        The profile.
    by
        What is wanted small, points being chosen anew by that; the profile's own when not given.

    Returns
    -------
    Verdict
        In plain words.
    """
    by = by or evidence.by
    if by != evidence.by:
        table = table.assign(selected=results.select(table, evidence.tolerance_pct, by))
    baselines = [m for m in evidence.methods if m not in (DENSE, HERO)]
    learned = tuple(filter(evidence.learned, evidence.problems))
    found = [v for problem in learned for v in versus(table, problem, HERO, baselines, by)]
    return Verdict(
        wanted=WANTED[by],
        headline=_headline(found, by) if baselines else _ALONE,
        dense=tuple(s for p in learned for s in _against_dense(table, p, evidence)),
        lines=tuple(
            (
                problem,
                tuple(
                    Line(display(v.baseline), v.outcome, _sentence(v, by, evidence))
                    for v in found
                    if v.problem == problem
                ),
            )
            for problem in dict.fromkeys(v.problem for v in found)
        ),
        power=tuple(s for p in learned for s in _power(table, p, evidence)),
    )


def _headline(found: list[Versus], by: Objective) -> str:
    if not found:
        return (
            "Integrated TL1 and a baseline have no seed in common on a problem on which anything "
            "was learned: nothing to compare."
        )
    counts = Counter(v.outcome for v in found)
    problems = len({v.problem for v in found})
    parts = [
        f"wins {counts['wins']}",
        f"ties {counts['ties']}",
        f"trades error for size in {counts['trades']}",
        f"loses {counts['loses']}",
    ]
    text = (
        f"Where {WANTED[by]} are to be few: of {len(found)} comparison{'s' * (len(found) > 1)} "
        f"with other methods on {problems} problem{'s' * (problems > 1)}, integrated TL1 "
        f"{', '.join(parts[:-1])} and {parts[-1]}."
    )
    if counts["wins"] == 0:
        text += " No advantage over any of them is shown by these data."
    return text


def _sentence(v: Versus, by: Objective, evidence: Evidence) -> str:
    name = evidence.name(v.problem, v.baseline)
    endings = {
        "wins": f"wins against {name}",
        "ties": f"ties with {name}, no difference being shown",
        "trades": f"trades with {name}, better in one and worse, or leaning so, in the other",
        "loses": f"loses to {name}",
    }
    seeds = f"{v.seeds} seed{'s' * (v.seeds > 1)}"
    p = [p_value(effect.p_holm, ALPHA) for effect in (v.error, v.size)]
    return (
        f"{_hero(v.problem, evidence)} {endings[v.outcome]}: test "
        f"{evidence.task(v.problem).error} {_points(v.error)} points, "
        f"{WANTED[by]} × {_ratio(v.size)} ({seeds}; Holm-adjusted p {p[0]} and {p[1]})."
    )


def _hero(problem: str, evidence: Evidence) -> str:
    name = evidence.name(problem, HERO)
    return name[0].upper() + name[1:]


def _against_dense(table: pd.DataFrame, problem: str, evidence: Evidence) -> list[str]:
    task = evidence.task(problem)
    chosen = table[(table["problem"] == problem) & table["selected"] & (table["method"] == HERO)]
    for v in versus(table, problem, HERO, [DENSE]):
        kept = 100 * chosen["weights_compact"].mean() / chosen["weights_dense"].mean()
        text = (
            f"{problem}: {evidence.name(problem, HERO)} keeps {number(kept)} % of the weights at a "
            f"test {task.error} of {chosen['test_error_pct'].mean():.2f} {task.unit}, "
            f"{_points(v.error)} points from dense"
        )
        ratio = chosen["latency_ratio_p50"].mean()
        if math.isfinite(ratio):
            text += f"; its latency is {number(100 * ratio)} % of dense's"
        return [text + "."]
    return []


def _power(table: pd.DataFrame, problem: str, evidence: Evidence) -> list[str]:
    chosen = table[(table["problem"] == problem) & table["selected"]]
    errors = chosen.pivot_table(index="seed", columns="method", values="test_error_pct")
    if HERO not in errors or len(errors.columns) < 2:
        return []
    others = errors.drop(columns=HERO)
    spread = others.rsub(errors[HERO], axis=0).std()
    seeds = int(errors[HERO].notna().sum())
    if seeds < 2 or spread.dropna().empty:
        return [f"{problem}: one seed, which can show no difference at all."]
    least = statistics.minimum_detectable_difference(float(spread.median()), seeds)
    return [
        f"{problem}: with {seeds} seeds a difference in test {evidence.task(problem).error} has to "
        f"reach about {number(least)} points to be found four times in five."
    ]


def _points(effect: Effect) -> str:
    return _with_interval(effect, signed)


def _ratio(effect: Effect) -> str:
    return _with_interval(effect, number)


def _with_interval(effect: Effect, form: Callable[[float], str]) -> str:
    # The interval of one seed is the value itself: it says nothing.
    i = effect.interval
    return between(i.estimate, i.low, i.high, form) if i.n > 1 else form(i.estimate)
