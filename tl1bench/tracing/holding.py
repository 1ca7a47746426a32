"""Modules that hold tensors under dotted names."""

from __future__ import annotations

from torch import Tensor, nn


def hold(root: nn.Module, name: str, tensor: Tensor, learnt: bool) -> None:
    """Put a tensor into `root` under its dotted name, with plain modules on the way.

    Parameters
    ----------
    root
        The module.
    name
        Dotted name of the tensor.
    tensor
        What is held.
    learnt
        Whether it is a parameter; a buffer otherwise.
    """
    path, _, last = name.rpartition(".")
    holder = root
    for part in path.split(".") if path else []:
        if part not in holder._modules:
            holder.add_module(part, nn.Module())
        holder = holder.get_submodule(part)
    if learnt:
        holder.register_parameter(last, nn.Parameter(tensor))
    else:
        holder.register_buffer(last, tensor)
