"""A problem: data set × network × training budget."""

from __future__ import annotations

from typing import Any

from pydantic import Field, field_validator, model_validator

from tl1bench import plugins
from tl1bench.config.values import Frozen, Mu, NotNegative, Positive, Share, Side, Slug


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
    shrink_every: int = Field(0, ge=0, description="iterations between compactions; 0 is never")
    curve_points: int = Field(12, ge=1, description="how often validation is read for the curve")

    @model_validator(mode="after")
    def _one_length_and_one_fall(self) -> Budget:
        if (self.epochs > 0) == (self.iterations > 0):
            raise ValueError("give the length as epochs or as iterations, one of them above 0")
        if self.decay and self.model_fields_set & {"hold", "final_lr"}:
            raise ValueError("the learning rate falls by decay or by hold and final_lr: drop one")
        return self


# In iterations, so that a table of a hundred rows is learnt as well as one of ten thousand.
DEFAULT = Budget(batch=32, iterations=3000, debias_epochs=10, lr=0.1, debias_lr=0.05)


class Problem(Frozen):
    """A data set × a network × a training budget, and how its layers are weighed."""

    dataset: Slug
    network: Network
    validation: int | None = Field(None, ge=1, description="by default a sixth, 5,000 at most")
    budget: Budget = DEFAULT
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
