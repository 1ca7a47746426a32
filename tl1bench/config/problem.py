"""A problem: data set × network × training budget."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from tl1bench import plugins
from tl1bench.config.values import Frozen, Growth, Mu, NotNegative, Positive, Share, Side, Slug


class Network(Frozen):
    """Which network, with which options."""

    name: str
    options: dict[str, Any] = Field(default_factory=dict)


class Decay(Frozen):
    """A learning rate in steps: `factor` times what it was, after every `every` iterations."""

    factor: float = Field(gt=0, le=1)
    every: int = Field(ge=1)


class Budget(Frozen):
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
    lr: Positive = 0.1
    debias_lr: Positive = 0.5
    momentum: float = Field(0.9, ge=0, lt=1)
    warmup: Share = 0.0
    hold: Share = 0.5
    final_lr: Share = 0.1
    decay: Decay | None = None
    ramp: Share = 0.25
    shift: int = Field(0, ge=0, le=8, description="random shifts by up to so many pixels")
    flip: bool = Field(False, description="every second image is mirrored, by chance")
    shrink_every: int = Field(0, ge=0, description="iterations between compactions; 0 is never")
    align: int = Field(1, ge=1, description="in training widths are cut to multiples")
    curve_points: int = Field(12, ge=1, description="how often validation is read for the curve")

    @model_validator(mode="after")
    def _one_length_and_one_fall(self) -> Budget:
        if (self.epochs > 0) == (self.iterations > 0):
            raise ValueError("give the length as epochs or as iterations, one of them above 0")
        if self.decay and self.model_fields_set & {"hold", "final_lr"}:
            raise ValueError("the learning rate falls by decay or by hold and final_lr: drop one")
        return self


class Path(Frozen):
    """How a problem's paths are walked; the same for every method.

    One dense start of `dense_epochs` at the constant rate `lr` serves all methods at a seed; from a
    copy of it the dense network is trained on for `dense_branch_epochs`. Each of up to `steps`
    steps lasts `epochs` and makes the penalty `growth` times as strong, or keeps 1/`growth` of the
    weights, where the method has no growth of its own. Once less than the share `branch_below` of
    the weights is left a branch follows each step: zeros frozen, no penalty, `branch_epochs` with a
    rate from `lr` linearly to 0. The path ends when a branch's validation error exceeds dense by
    more than `margin_pct` points. `batch` auto makes an epoch some two hundred iterations long,
    with batches from 8 to 128. While it trains, a network keeps dead units that make its widths
    multiples of `align`.
    """

    batch: Annotated[int, Field(ge=1)] | Literal["auto"] = 128
    lr: Positive
    dense_epochs: int = Field(1, ge=1)
    dense_branch_epochs: int = Field(0, ge=0, description="0: as many as any branch")
    growth: Growth = 1.35
    epochs: int = Field(2, ge=1)
    branch_epochs: int = Field(8, ge=1)
    branch_below: float = Field(0.1, gt=0, le=1)
    margin_pct: NotNegative = 1.5
    steps: int = Field(30, ge=1)
    shift: int = Field(0, ge=0, le=8, description="random shifts by up to so many pixels")
    flip: bool = Field(False, description="every second image is mirrored, by chance")
    shrink_every: int = Field(0, ge=0, description="iterations between compactions; 0: an epoch")
    align: int = Field(1, ge=1, description="in training widths are cut to multiples")


# For a table or some thousand images that nobody has tuned anything for.
_DEFAULT = Path(
    batch="auto", lr=0.1, dense_epochs=15, dense_branch_epochs=30, growth=1.15, epochs=1,
    branch_epochs=30, branch_below=0.7, margin_pct=3, steps=20,
)  # fmt: skip


class Problem(Frozen):
    """A data set × a network × how it is trained, and how its layers are weighed.

    `path` walks one regularisation path a method and seed; `budget` trains each λ by itself.
    `methods` are those that are tried on the problem; all when not given.
    """

    dataset: Slug
    network: Network
    validation: int | None = Field(None, ge=1, description="by default a sixth, 5,000 at most")
    path: Path | None = None
    budget: Budget | None = None
    methods: tuple[Slug, ...] | None = None
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

    @model_validator(mode="before")
    @classmethod
    def _a_path_by_default(cls, values: Any) -> Any:
        if isinstance(values, dict) and not values.keys() & {"path", "budget"}:
            return {**values, "path": _DEFAULT}
        return values

    @model_validator(mode="after")
    def _path_or_budget(self) -> Problem:
        if (self.path is None) == (self.budget is None):
            raise ValueError("give either `path:` (one path a method) or `budget:` (one run a λ)")
        return self

    def takes(self, method: str) -> bool:
        """Return whether `method` is tried on this problem."""
        return self.methods is None or method in self.methods
