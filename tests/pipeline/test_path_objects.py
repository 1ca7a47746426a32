"""What is configured of a path arrives where it is walked."""

from __future__ import annotations

import dataclasses

from tl1bench.config import Path, Problem
from tl1bench.pipeline import path_objects

OWN = {
    "lr": 0.25, "growth": 1.7, "epochs": 3, "branch_epochs": 4, "dense_branch_epochs": 5,
    "branch_below": 0.4, "dense_epochs": 6, "steps": 7, "align": 8,
}  # fmt: skip


def test_every_setting_of_a_plan_is_read_from_the_problem() -> None:
    path = Path(margin_pct=2.5, **OWN)
    problem = Problem(dataset="digits", network={"name": "mlp"}, path=path)
    assert dataclasses.asdict(path_objects.plan(problem)) == {**OWN, "margin": 2.5}
    assert path_objects.plan(problem, lams=2).steps == 2
