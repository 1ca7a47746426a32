"""The kinds of values that params.yaml holds."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field


def _way_up(path: Path) -> Path:
    if set(path.parts) - {".."}:
        raise ValueError("must be . or lead up by .. alone, to the folder of the checkout")
    return path


def _plain(path: Path) -> Path:
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_./-]*", str(path)) or ".." in path.parts:
        raise ValueError("must be a path in the checkout, of letters, digits and any of _ . / -")
    return path


Slug = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]*$", max_length=100)]
# DVC puts these into commands and folders as they stand: the way up to the checkout, and a file in
# it whose name no shell takes for more.
WayUp = Annotated[Path, AfterValidator(_way_up)]
PlainPath = Annotated[Path, AfterValidator(_plain)]
Share = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Side = Literal["outgoing", "incoming", "both", "as_coded"]
Growth = Annotated[float, Field(gt=1, allow_inf_nan=False)]
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
