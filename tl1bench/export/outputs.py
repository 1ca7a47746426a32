"""What a network returns: its tensors in order, and the keys that lead to them."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from tl1bench.errors import CompactionError, ExportError
from tl1bench.tracing.capture import evaluating
from tl1bench.tracing.inputs import Inputs, joined


def outputs(model: nn.Module, inputs: Inputs) -> list[Tensor]:
    """Return the outputs of a network in eval mode, out of tuples, lists and mappings in order.

    Raises
    ------
    ExportError
        They are no tensors.
    """
    return [tensor for _, tensor in named_outputs(model, inputs)]


def named_outputs(model: nn.Module, inputs: Inputs) -> list[tuple[str, Tensor]]:
    """Return the outputs of a network in eval mode with their names.

    Parameters
    ----------
    model
        The network.
    inputs
        What it is called with.

    Returns
    -------
    list of (str, Tensor)
        The name is the path of keys, `boxes_0` for the first in a list under `boxes`; empty where
        no mapping is on the way.

    Raises
    ------
    ExportError
        There is something else than tensors and None among them.
    """
    try:
        with evaluating(model), torch.no_grad():
            value: Any = inputs.call(model)
    except CompactionError as error:
        raise ExportError(str(error)) from error
    found: list[tuple[str, Tensor]] = []
    for path, leaf in pytree.tree_flatten_with_path(value)[0]:
        if isinstance(leaf, Tensor):
            found.append((joined(path), leaf))
        elif leaf is not None:
            raise ExportError(
                f"Only networks that return tensors can be exported, not {type(leaf).__name__}."
            )
    if not found:
        raise ExportError("Only networks that return tensors can be exported.")
    return found
