"""The one reader of params.yaml: text in, validated and frozen models out, torch-free."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

from tl1bench import plugins
from tl1bench.errors import ConfigError

Slug = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]*$")]
Share = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Side = Literal["outgoing", "incoming", "both", "as_coded"]
Lams = Annotated[
    tuple[NotNegative, ...],
    Field(min_length=1),
    BeforeValidator(lambda v: [v] if isinstance(v, int | float) else v),
]

# One value stands for all layers.
Mu = Annotated[
    tuple[Share, ...],
    Field(min_length=1),
    BeforeValidator(lambda v: [v] if isinstance(v, int | float) else v),
]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Data(_Frozen):
    """A data set that the profile reads: one of ours, or a user's own .npz or CSV file."""

    path: Path | None = None
    label: str | None = None


class Network(_Frozen):
    """Which network, with which options."""

    name: str
    options: dict[str, Any] = {}


class Decay(_Frozen):
    """A learning rate in steps: `factor` times what it was, after every `every` iterations."""

    factor: float = Field(gt=0, le=1)
    every: int = Field(ge=1)


class Budget(_Frozen):
    """How a problem is trained; the same for every method.

    The penalised phase lasts `epochs`, or so many `iterations`: the learning rate rises linearly
    from 0 over the share `warmup`, is `lr` until the share `hold`, then falls linearly to
    `lr * final_lr`; or it follows `decay`. λ rises linearly over the share `ramp`. The debias phase
    lasts `debias_epochs`: the zero pattern is frozen, no penalty, from `debias_lr` linearly to 0.
    """

    batch: int = Field(128, ge=1)
    epochs: NotNegative = 0.0
    iterations: int = Field(0, ge=0)
    debias_epochs: NotNegative = 0.0
    lr: Positive
    debias_lr: Positive = 0.5
    momentum: float = Field(0.9, ge=0, lt=1)
    warmup: Share = 0.0
    hold: Share = 0.5
    final_lr: Share = 0.1
    decay: Decay | None = None
    ramp: Share = 0.25
    shift: int = Field(0, ge=0, le=8, description="random shifts by up to so many pixels")
    shrink_every: int = Field(0, ge=0, description="iterations between compactions; 0 is never")
    curve_points: int = Field(12, ge=1, description="how often validation is read for the curve")

    @model_validator(mode="after")
    def _one_length_and_one_fall(self) -> Budget:
        if (self.epochs > 0) == (self.iterations > 0):
            raise ValueError("give the length as epochs or as iterations, one of them above 0")
        if self.decay and self.model_fields_set & {"hold", "final_lr"}:
            raise ValueError("the learning rate falls by decay or by hold and final_lr: drop one")
        return self


class Problem(_Frozen):
    """A data set × a network × a training budget, and how its layers are weighed."""

    dataset: Slug
    network: Network
    validation: int = Field(5000, ge=1)
    budget: Budget
    groups: Side | tuple[Side, ...] = "outgoing"
    layer_weights: tuple[NotNegative, ...] | None = None
    mu: Mu | None = None

    @field_validator("network")
    @classmethod
    def _network_exists(cls, network: Network) -> Network:
        known = plugins.module_names("models")
        if network.name not in known and not network.name.startswith("torchvision/"):
            raise ValueError(
                f"there is no network {network.name!r}; choose one of {', '.join(known)} "
                "or torchvision/<network>"
            )
        return network


class Method(_Frozen):
    """A penalty with its optimiser, and the λs to try."""

    penalty: str = ""
    optimizer: str = "proximal_sgd"
    lam: Lams
    lam_for: dict[Slug, Lams] = {}
    hyper: dict[str, Any] = {}

    @field_validator("optimizer")
    @classmethod
    def _optimizer_exists(cls, name: str) -> str:
        known = plugins.module_names("optimizers")
        if name not in known:
            raise ValueError(f"there is no optimiser {name!r}; choose one of {', '.join(known)}")
        return name

    @field_validator("hyper")
    @classmethod
    def _hyper_in_range(cls, hyper: dict[str, Any]) -> dict[str, Any]:
        if "a" in hyper and not (_is_number(hyper["a"]) and hyper["a"] > 0):
            raise ValueError(f"a is {hyper['a']!r}; it must be a number greater than 0")
        for key in ("mu", "mu_first", "mu_last"):
            value = hyper.get(key, 0)
            for mu in value if isinstance(value, list | tuple) else [value]:
                if not (_is_number(mu) and 0 <= mu <= 1):
                    raise ValueError(f"{key} is {mu!r}; it must lie in [0, 1]")
        return hyper

    def lams(self, problem: str) -> tuple[float, ...]:
        """Return the λs to try on `problem`."""
        return self.lam_for.get(problem, self.lam)


class Select(_Frozen):
    """How the operating point is chosen on the validation split."""

    tolerance_pct: NotNegative = 0.5


class Compact(_Frozen):
    """How networks are compacted.

    `gather`: a linear layer picks its live inputs by an index first where at least this share of
    them is dead; null for never. Smaller, and at batch 1 no slower; at large batches it can be.
    """

    gather: Share | None = None


class Measure(_Frozen):
    """The measuring protocol's settings."""

    mode: Literal["quick", "full"] = "quick"
    batches: tuple[Annotated[int, Field(ge=1)], ...] = Field((1,), min_length=1)
    threads: tuple[Annotated[int, Field(ge=1)], ...] = Field((1,), min_length=1)
    processes: int = Field(5, ge=2)

    @model_validator(mode="after")
    def _headline_is_there(self) -> Measure:
        if 1 not in self.batches or 1 not in self.threads:
            raise ValueError("batches and threads must both hold 1, the headline of runs.csv")
        return self


class Config(_Frozen):
    """One pipeline: which problems, methods, λs and seeds, and where its files lie."""

    root: Path = Path()
    params: Path = Path("params.yaml")
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
    def _names_exist(self) -> Config:
        if isinstance(self.workers, int) and self.workers < 1:
            raise ValueError(f"workers is {self.workers}; it must be auto or at least 1")
        if len(set(self.seeds)) < len(self.seeds):
            raise ValueError("seeds must differ from each other")
        penalties = plugins.module_names("penalties")
        for name, method in self.methods.items():
            if method.penalty not in penalties:
                raise ValueError(
                    f"methods.{name}: there is no penalty {method.penalty!r}; name one of "
                    f"{', '.join(penalties)} with `penalty:`"
                )
            for problem in method.lam_for.keys() - self.problems.keys():
                raise ValueError(f"methods.{name}.lam_for.{problem}: there is no such problem")
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
        for name, problem_ in self.problems.items():
            if problem_.dataset not in self.datasets:
                raise ValueError(
                    f"problems.{name}.dataset: {problem_.dataset!r} is not among `datasets:` "
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


def load(path: Path) -> Config:
    """Read and validate `path`.

    Raises
    ------
    ConfigError
        The file is missing or no YAML, a key is unknown, or a value is impossible; the message
        names the key's path and what is allowed.
    """
    try:
        raw = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"Cannot read {path}: {error.strerror}. Name one by --params.") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"{path} is not valid YAML: {' '.join(str(error).split())}.") from error
    if not isinstance(raw, Mapping):
        raise ConfigError(f"{path} must hold a mapping of keys such as `problems:`.")
    try:
        return Config.model_validate(dict(raw))
    except ValidationError as error:
        faults = "; ".join(_fault(dict(e)) for e in error.errors())
        raise ConfigError(f"{path}: {faults}.") from error


def _fault(error: dict[str, Any]) -> str:
    where = ".".join(str(part) for part in error["loc"] if part != "function-before[<lambda>()]")
    if error["type"] == "extra_forbidden":
        return f"{where} is not a known key"
    message = str(error["msg"]).removeprefix("Value error, ")
    if error["type"] == "missing":
        message = "is missing"
    given = error["input"]
    shown = f" = {given!r}" if _is_number(given) or isinstance(given, str) else ""
    return f"{where}{shown}: {message}" if where else message


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
