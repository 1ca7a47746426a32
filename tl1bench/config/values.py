"""The kinds of values that params.yaml holds."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

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


class Frozen(BaseModel):
    """Nothing changes after reading, and an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")
