"""A method: what makes the zeros, and how strongly."""

from __future__ import annotations

from typing import Any

from pydantic import Field, field_validator

from tl1bench import plugins
from tl1bench.config.values import Frozen, Lams, Slug


class Method(Frozen):
    """A penalty with its optimiser, and the λs to try."""

    penalty: str = ""
    optimizer: str = "proximal_sgd"
    lam: Lams
    lam_for: dict[Slug, Lams] = Field(default_factory=dict)
    hyper: dict[str, Any] = Field(default_factory=dict)

    @field_validator("optimizer")
    @classmethod
    def _optimizer_exists(cls, name: str) -> str:
        known = plugins.module_names("optimizers")
        if name not in known:
            raise ValueError(f"there is no optimiser {name!r}; choose one of {', '.join(known)}")
        return name

    def lams(self, problem: str) -> tuple[float, ...]:
        """Return the λs to try on `problem`."""
        return self.lam_for.get(problem, self.lam)
