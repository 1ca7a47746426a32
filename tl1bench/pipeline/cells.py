"""What a cell, a problem × method, depends on, and how long its jobs take beside others."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tl1bench import files

if TYPE_CHECKING:
    from tl1bench.config import Config


def depends(
    config: Config, problem: str, method: str, code: str, without: frozenset[str] = frozenset()
) -> dict[str, Any]:
    """Return settings, data and code of a cell, ready to be digested with what tells jobs apart.

    Parameters
    ----------
    config
        The profile.
    problem, method
        The cell.
    code
        "paths" or "lists": which of the method's two digests of code.
    without
        Settings of the method that tell its jobs apart, or are none of theirs.

    Returns
    -------
    dict
        To be written as JSON.
    """
    sources, settings = config.build / "sources", config.methods[method].on(problem)
    made = files.read_json(sources / "methods" / f"{method}.json")
    chosen = config.problems[problem].model_dump(mode="json", exclude={"methods"})
    return {
        "profile": config.profile,
        "problem": [problem, chosen],
        "method": [method, settings.model_dump(mode="json", exclude=set(without))],
        "problem_sources": files.read_json(sources / "problems" / f"{problem}.json"),
        "code": [made[code], made["of"]],
        "device": config.device,
    }


def epoch_length(config: Config, problem: str) -> float:
    """Return how long an epoch of the dense network takes, relative to other problems: its flops.

    Parameters
    ----------
    config
        The profile.
    problem
        One of its problems.

    Returns
    -------
    float
        Of which the longest jobs are known, which begin first.
    """
    found = files.read_json(config.build / "sources" / "problems" / f"{problem}.json")
    return float(found["flops"] * found["data"]["train"])
