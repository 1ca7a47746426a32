"""A method: what makes the zeros, and how strongly."""

from __future__ import annotations

from typing import Any

from pydantic import Field, field_validator

from tl1bench import plugins
from tl1bench.config.values import Frozen, Growth, Lams, Slug


class Method(Frozen):
    """What makes a network sparser: a penalty with its optimiser, or a file of `methods`.

    `hyper` are the penalty's hyper-parameters, or the method's, `hyper_for` those that differ on a
    problem. λs are needed where a problem has a `budget`; on a `path` they are found, and taken as
    its steps where they are given. `growth` is how many times as strong each step of a path makes
    the penalty, `growth_for` where that differs on a problem; the path's own when not given.
    """

    method: str = "penalised"
    penalty: str = ""
    optimizer: str = "proximal_sgd"
    lam: Lams = ()
    lam_for: dict[Slug, Lams] = Field(default_factory=dict)
    growth: Growth | None = None
    growth_for: dict[Slug, Growth] = Field(default_factory=dict)
    hyper: dict[str, Any] = Field(default_factory=dict)
    hyper_for: dict[Slug, dict[str, Any]] = Field(default_factory=dict)

    @field_validator("optimizer")
    @classmethod
    def _optimizer_exists(cls, name: str) -> str:
        known = plugins.module_names("optimizers")
        if name not in known:
            raise ValueError(f"there is no optimiser {name!r}; choose one of {', '.join(known)}")
        return name

    def on(self, problem: str) -> Method:
        """Return the method as it is tried on `problem`."""
        own = {**self.hyper, **self.hyper_for.get(problem, {})}
        growth = self.growth_for.get(problem, self.growth)
        update = {
            "lam": self.lams(problem), "lam_for": {},
            "growth": growth, "growth_for": {},
            "hyper": own, "hyper_for": {},
        }  # fmt: skip
        return self.model_copy(update=update)

    def lams(self, problem: str) -> tuple[float, ...]:
        """Return the λs to try on `problem`, rising; none where they are to be found."""
        return tuple(sorted(self.lam_for.get(problem, self.lam)))
