"""A network of the same widths with fresh weights: what training alone makes of a size."""

from __future__ import annotations

from torch import nn

from tl1bench.errors import ConfigError


def forget(model: nn.Module) -> None:
    """Draw all parameters of `model` anew, as its modules do in the beginning, in place.

    Raises
    ------
    ConfigError
        A module has parameters of its own and no `reset_parameters`.
    """
    for name, module in model.named_modules():
        reset = getattr(module, "reset_parameters", None)
        if reset is not None:
            reset()
        elif any(True for _ in module.parameters(recurse=False)):
            raise ConfigError(
                f"module {name!r} has parameters and no reset_parameters() to draw them anew: "
                "give it one."
            )
