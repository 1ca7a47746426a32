"""The page: one section a profile, and an index.html that opens from disk and holds them all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from markupsafe import Markup

from tl1bench.figures import FORMATS, load
from tl1bench.files import write_text
from tl1bench.report.as_logged import remark
from tl1bench.report.doubts import doubts
from tl1bench.report.templates import environment
from tl1bench.report.typeset import Table
from tl1bench.report.verdict import judge
from tl1bench.results import Objective, ResultsError, guessing, layout
from tl1bench.results.evidence import Evidence
from tl1bench.results.printed import display

_TEMPLATES = Path(__file__).parent
# On top, right below the verdict.
_TOP = "two_objectives"
# The trade-offs are what one comes for; the rest follows by name.
_FIRST = ("accuracy_nonzero", "accuracy_macs", "accuracy_latency", "accuracy_size")


@dataclass(frozen=True)
class Picture:
    """A figure on the page: where it is, what it says."""

    name: str
    title: str
    alt: str
    caption: str
    formats: tuple[str, ...]


def section(
    table: pd.DataFrame,
    evidence: Evidence,
    captions: Mapping[str, str],
    tables: Sequence[Table],
) -> str:
    """Return one profile's part of the page, links being relative to the folder of profiles.

    Parameters
    ----------
    table
        The results table.
    evidence
        The profile.
    captions
        Caption of each figure by name, as `figures.save_all` returns them; the formats found in
        the profile's `figures/` are offered for download, and svg is shown.
    tables
        What `tables.every` returned.

    Returns
    -------
    str
        HTML, escaped.
    """
    rest = [n for n in captions if n not in (_TOP, *_FIRST)]
    order = [n for n in (_TOP, *_FIRST) if n in captions] + rest
    pictures = [_picture(name, captions[name], evidence.reports) for name in order]
    machines: dict[str, list[tuple[str, str]]] = {}
    for problem in evidence.problems:
        found = evidence.measurement(problem)
        on = {problem: found, f"{problem} on the GPU": found.get("cuda") or {"rows": ()}}
        machines |= {name: machine_record(r["machine"]) for name, r in on.items() if r["rows"]}
    times = table.groupby(["problem", "method"], sort=False, as_index=False)["train_seconds"]
    training = times.agg(["count", "sum"]).to_dict("records")
    return (
        environment(_TEMPLATES)
        .get_template("section.html")
        .render(
            profile=evidence.profile,
            alarms=_alarms(table, evidence),
            error=evidence.error,
            notes=sorted({evidence.task(p).note for p in evidence.problems} - {""}),
            remarks=[remark(table, problem, evidence) for problem in evidence.as_coded],
            verdicts=[judge(table, evidence, by) for by in _verdicts(evidence)],
            doubts=doubts(table, evidence),
            trusted=evidence.trusted(),
            top=[picture for picture in pictures if picture.name == _TOP],
            pictures=[picture for picture in pictures if picture.name != _TOP],
            tables=tables,
            machines=machines,
            command=evidence.command,
            training=[(r["problem"], display(r["method"]), r["count"], r["sum"]) for r in training],
            runs=len(table),
            seeds=sorted({int(seed) for seed in table["seed"]}),
            tolerance=evidence.tolerance_pct,
        )
    )


def _alarms(table: pd.DataFrame, evidence: Evidence) -> list[str]:
    """Return a word on each problem on which nothing was learned, and on methods that guess."""
    chosen, found = table[table["selected"]], []
    for problem in evidence.problems:
        task = evidence.task(problem)
        guesses = [m for m in evidence.methods if (problem, m) in evidence.guesses]
        if not evidence.learned(problem):
            dense = guessing.of_dense(chosen, problem)
            found.append(
                f"{guessing.alarm(problem, task, dense)} No method is compared or called best "
                "there."
            )
        elif guesses:
            names = ", ".join(display(m) for m in guesses)
            found.append(f"On {problem} no better than {task.guess}: {names}.")
    return found


def _verdicts(evidence: Evidence) -> list[Objective]:
    """Return by what points are compared: as selected, by non-zero weights and by MACs."""
    return list(dict.fromkeys((evidence.by, "nonzero", "macs")))


def _picture(name: str, caption: str, reports: Path) -> Picture:
    title = (load(name).__doc__ or name).strip().splitlines()[0].rstrip(".")
    first = caption.split(". ")[0].rstrip(".")
    saved = (kind for kind in FORMATS if (reports / layout.FIGURES / f"{name}.{kind}").is_file())
    return Picture(name, title, f"Figure: {first}.", caption, tuple(saved))


def machine_record(machine: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """Return the machine's record as (name, printed value), nested names joined by a space."""
    found: list[tuple[str, str]] = []
    for key, value in machine.items():
        name = f"{prefix}{key}".replace("_", " ")
        if isinstance(value, Mapping):
            found += machine_record(value, f"{name} ")
        elif isinstance(value, list):
            found.append((name, ", ".join(str(v) for v in value) or "none"))
        elif isinstance(value, bool):
            found.append((name, "yes" if value else "no"))
        elif value not in ("", None):
            found.append((name, str(value)))
    return found


def profiles(reports: Path) -> tuple[str, ...]:
    """Return the profiles with results: `paper`, `default`, by name after that."""
    found = (path.parent.name for path in reports.glob(f"*/{layout.RUNS}"))
    return tuple(sorted(found, key=lambda name: (name != "paper", name != "default", name)))


def index(reports: Path) -> str:
    """Return the page of every profile under `reports` whose runs.csv exists.

    Raises
    ------
    ResultsError
        No profile has results.
    """
    names = profiles(reports)
    if not names:
        raise ResultsError(
            f"No {layout.RUNS} under {reports}: run `tl1bench run` or `dvc repro` first."
        )
    parts = [(name, _written(reports / name / layout.SECTION)) for name in names]
    return environment(_TEMPLATES).get_template("index.html").render(parts=parts)


def _written(file: Path) -> Markup | None:
    """Return a profile's section; one without it still gets its link.

    It is our own escaped output, and were it not, the page's policy lets no script run.
    """
    text = file.read_text(encoding="utf-8") if file.is_file() else ""
    return Markup(text) if text else None  # nosec B704


def write(
    reports: Path,
    table: pd.DataFrame,
    evidence: Evidence,
    captions: Mapping[str, str],
    tables: Sequence[Table],
) -> None:
    """Write this profile's section, then `reports`/index.html of all profiles.

    Parameters
    ----------
    reports
        The folder of profiles.
    table, evidence, captions, tables
        Those of `section`.
    """
    write_text(evidence.reports / layout.SECTION, section(table, evidence, captions, tables))
    write_text(reports / layout.INDEX, index(reports))
