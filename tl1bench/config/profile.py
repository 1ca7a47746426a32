"""One pipeline: which problems, methods, λs and seeds, and where its files lie."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from tl1bench import plugins
from tl1bench.config.data import Data
from tl1bench.config.method import Method
from tl1bench.config.problem import Problem
from tl1bench.config.settings import Compact, Measure, Select
from tl1bench.config.values import Frozen, PlainPath, Slug, WayUp

# The method that trains with a penalty, and the one that all others are held against.
PENALISED, DENSE = "penalised", "dense"


class Config(Frozen):
    """One pipeline: which problems, methods, λs and seeds, and where its files lie."""

    root: WayUp = Path()
    params: PlainPath = Path("params.yaml")
    profile: Slug = "own"
    device: str = Field("auto", pattern=r"^(auto|cpu|cuda(:\d+)?)$")
    workers: int | Literal["auto"] = "auto"
    data: Path = Path("data")
    seeds: tuple[Annotated[int, Field(ge=0)], ...] = Field((0, 1, 2), min_length=1)
    select: Select = Select()
    compact: Compact = Compact()
    measure: Measure = Measure()
    datasets: dict[Slug, Data] = Field(min_length=1)
    problems: dict[Slug, Problem] = Field(min_length=1)
    methods: dict[Slug, Method] = Field(min_length=1)

    @model_validator(mode="before")
    @classmethod
    def _a_name_says_what_it_is(cls, values: dict[str, Any]) -> dict[str, Any]:
        methods = values.get("methods")
        if not isinstance(methods, dict):
            return values
        ours = plugins.module_names("methods")
        named = {
            name: {"method" if name in ours else "penalty": name, **(settings or {})}
            if isinstance(settings, dict | None)
            else settings
            for name, settings in methods.items()
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
        penalties, ours = plugins.module_names("penalties"), plugins.module_names("methods")
        for name, method in self.methods.items():
            if method.method not in ours:
                raise ValueError(
                    f"methods.{name}: there is no method {method.method!r}; name one of "
                    f"{', '.join(ours)} with `method:`"
                )
            if method.method == PENALISED and method.penalty not in penalties:
                raise ValueError(
                    f"methods.{name}: there is no penalty {method.penalty!r}; name one of "
                    f"{', '.join(penalties)} with `penalty:`"
                )
            for key in ("lam_for", "growth_for", "hyper_for"):
                for problem in getattr(method, key).keys() - self.problems.keys():
                    raise ValueError(f"methods.{name}.{key}.{problem}: there is no such problem")
        return self

    @model_validator(mode="after")
    def _penalties_grow_along_paths(self) -> Config:
        for name, method in self.methods.items():
            grows = method.growth_for or method.growth is not None
            if grows and (method.method != PENALISED or name == DENSE):
                raise ValueError(
                    f"methods.{name}: `growth` is for penalties that walk a path; drop it, and "
                    "give a method's own options in `hyper:`"
                )
            for problem in method.growth_for:
                if self.problems[problem].budget:
                    raise ValueError(
                        f"methods.{name}.growth_for.{problem}: it has a budget, and no path on "
                        "which to grow; drop it"
                    )
        return self

    @model_validator(mode="after")
    def _methods_fit_problems(self) -> Config:
        for name, problem in self.problems.items():
            for method in set(problem.methods or ()) - self.methods.keys():
                raise ValueError(f"problems.{name}.methods: there is no method {method!r}")
            if problem.path and (DENSE not in self.methods or not problem.takes(DENSE)):
                raise ValueError(
                    f"problems.{name}.path: paths begin at a dense network: add `{DENSE}:` to "
                    "the methods"
                )
            for method, settings in self.methods.items():
                by_lam = settings.method == PENALISED and settings.lams(name)
                if problem.budget and problem.takes(method) and not by_lam:
                    raise ValueError(
                        f"methods.{method}: {name} has a budget and trains each λ by itself: give "
                        "`lam:`, leave the method out with `problems.{name}.methods`, or give the "
                        "problem a `path:`"
                    )
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
            if data.path is None and data.task == "regression":
                raise ValueError(f"datasets.{name}.task: it has classes; leave `task:` out")
            # Its own folder is what the pipeline depends on, so that a changed file is noticed.
            place = self.data / name
            if data.path is not None and place not in (data.path, data.path.parent):
                raise ValueError(
                    f"datasets.{name}.path: put the file into {place}/ and write "
                    f"{place / data.path.name}"
                )
        for name, problem in self.problems.items():
            if problem.dataset not in self.datasets:
                raise ValueError(
                    f"problems.{name}.dataset: {problem.dataset!r} is not among `datasets:` "
                    f"({', '.join(self.datasets)}); add it there"
                )
        return self

    def methods_on(self, problem: str) -> dict[str, Method]:
        """Return all methods as they are tried on `problem`."""
        return {name: method.on(problem) for name, method in self.methods.items()}

    @property
    def build(self) -> Path:
        """Folder of the intermediate files."""
        return Path("build") / self.profile

    @property
    def reports(self) -> Path:
        """Folder of the results."""
        return Path("reports") / self.profile
