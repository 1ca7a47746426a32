"""Stage 7: draw figures, tables and the page from the collected results alone."""

from __future__ import annotations

from tl1bench import figures, files, results
from tl1bench.config import Config
from tl1bench.report import as_logged, page, tables
from tl1bench.results import guessing, layout
from tl1bench.results.evidence import Evidence


def run(config: Config) -> None:
    """Write `figures/`, `tables/` and this profile's section of `reports/index.html`."""
    table = results.read(config.reports / layout.RUNS)
    evidence = Evidence(
        build=config.reports / layout.EVIDENCE,
        reports=config.reports,
        profile=config.profile,
        problems=tuple(config.problems),
        methods=tuple(config.methods),
        tasks={n: config.datasets[p.dataset].task for n, p in config.problems.items()},
        guesses=guessing.marks(table[table["selected"]]),
        as_coded=tuple(
            name
            for name, problem in config.problems.items()
            if problem.network.name == as_logged.NETWORK
        ),
        tolerance_pct=config.select.tolerance_pct,
        by=config.select.by,
        command=f"tl1bench run --profile {config.profile}",
    )
    with files.atomic_path(config.reports / layout.FIGURES) as draft:
        draft.mkdir()
        captions = figures.save_all(table, evidence, draft, formats=("png", "svg"))
    every = tables.every(table, evidence)
    with files.atomic_path(config.reports / layout.TABLES) as draft:
        draft.mkdir()
        tables.write_all(every, draft)
    page.write(config.reports.parent, table, evidence, captions, every)
