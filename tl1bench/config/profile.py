"""One pipeline: which problems, methods, λs and seeds, and where its files lie."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from tl1bench import plugins
from tl1bench.config.method import Method
from tl1bench.config.problem import Data, Problem
from tl1bench.config.settings import Compact, Measure, Select
from tl1bench.config.values import Frozen, PlainPath, Slug, WayUp


class Config(Frozen):
    """One pipeline: which problems, methods, λs and seeds, and where its files lie."""

    root: WayUp = Path()
    params: PlainPath = Path("params.yaml")
    profile: Slug
    device: str = Field("auto", pattern=r"^(auto|cpu|cuda(:\d+)?)$")
    workers: int | Literal["auto"] = "auto"
    data: Path = Path("data")
    seeds: tuple[Annotated[int, Field(ge=0)], ...] = Field(min_length=1)
    select: Select = Select()
    compact: Compact = Compact()
    measure: Measure = Measure()
    datasets: dict[Slug, Data] = Field(min_length=1)
    problems: dict[Slug, Problem] = Field(min_length=1)
    methods: dict[Slug, Method] = Field(min_length=1)

    @model_validator(mode="before")
    @classmethod
    def _penalty_defaults_to_the_name(cls, values: dict[str, Any]) -> dict[str, Any]:
        methods = values.get("methods")
        if not isinstance(methods, dict):
            return values
        named = {
            name: {"penalty": name, **method} if isinstance(method, dict) else method
            for name, method in methods.items()
        }
        return {**values, "methods": named}

    @model_validator(mode="after")
    def _runs_are_possible(self) -> Config:
        if isinstance(self.workers, int) and self.workers < 1:
            raise ValueError(f"workers is {self.workers}; it must be auto or at least 1")
        if len(set(self.seeds)) < len(self.seeds):
            raise ValueError("seeds must differ from each other")
        return self

    @model_validator(mode="after")
    def _methods_exist(self) -> Config:
        penalties = plugins.module_names("penalties")
        for name, method in self.methods.items():
            if method.penalty not in penalties:
                raise ValueError(
                    f"methods.{name}: there is no penalty {method.penalty!r}; name one of "
                    f"{', '.join(penalties)} with `penalty:`"
                )
            for problem in method.lam_for.keys() - self.problems.keys():
                raise ValueError(f"methods.{name}.lam_for.{problem}: there is no such problem")
        return self

    @model_validator(mode="after")
    def _data_exist(self) -> Config:
        ours = tuple(n.replace("_", "-") for n in plugins.module_names("datasets"))
        for name, data in self.datasets.items():
            if data.path is None and name not in ours:
                raise ValueError(
                    f"datasets.{name}: give a path to your own file, or name one of ours: "
                    f"{', '.join(ours)}"
                )
            # Its own folder is what the pipeline depends on, so that a changed file is noticed.
            if data.path is not None and data.path.parent != self.data / name:
                raise ValueError(
                    f"datasets.{name}.path: put the file into {self.data / name}/ and write "
                    f"{self.data / name / data.path.name}"
                )
        for name, problem in self.problems.items():
            if problem.dataset not in self.datasets:
                raise ValueError(
                    f"problems.{name}.dataset: {problem.dataset!r} is not among `datasets:` "
                    f"({', '.join(self.datasets)}); add it there"
                )
        return self

    @property
    def build(self) -> Path:
        """Folder of the intermediate files."""
        return Path("build") / self.profile

    @property
    def reports(self) -> Path:
        """Folder of the results."""
        return Path("reports") / self.profile
