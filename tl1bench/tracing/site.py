"""One affine call in normal form: convolutions, linear layers, products with a known matrix."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor, fx

from tl1bench.tracing import arguments
from tl1bench.tracing.analysis import Analysis
from tl1bench.tracing.channels import Bools

PRODUCTS = ("mm", "matmul", "addmm")


@dataclass(frozen=True, eq=False)
class Site:
    """One affine call in normal form: out[o] = Σ_i weight[o, i] ∗ in[i] + bias[o].

    `weight` is (groups, outputs a group, inputs a group, positions), a view of the stored tensor.
    `border`: some output positions see fewer input positions than others (zero padding), so a
    constant input does not give a constant output.
    """

    source: fx.Node
    matrix: fx.Node
    bias: fx.Node | None
    weight: Tensor
    groups: int
    border: bool
    out_dim: int
    in_dim: int
    axis: int
    nonzero: Bools
    shared: bool
    convolution: bool

    @property
    def depthwise(self) -> bool:
        """One input channel a group."""
        return self.groups > 1 and self.weight.shape[2] == 1

    def reads(self, rows: Bools) -> Bools:
        """Mark inputs to which one of the `rows` (channel,) gives a weight that is not zero."""
        chosen = rows.reshape(self.groups, -1, 1)
        read: Bools = (self.nonzero & chosen).any(axis=1).reshape(-1)
        return read


def normal_form(node: fx.Node, name: str, state: Analysis) -> Site | None:
    """Read the call of operation `name`; None when it has no normal form.

    That is when its weights depend on the input or its layout is unusual.

    Parameters
    ----------
    node
        The call.
    name
        Its ATen operation.
    state
        The passes over the network.

    Returns
    -------
    Site or None
        The call in normal form.
    """
    read = _operands(node, name)
    source, matrix, bias = read["input"], read["weight"], read.get("bias")
    if state.tensor(source) is not None:
        return None
    stored, offset = state.tensor(matrix), state.tensor(bias)
    if stored is None or (bias is not None and offset is None):
        return None
    ndim, convolution = node.meta["val"].dim(), name.startswith("conv")
    fits = ndim == stored.dim() if convolution else _is_product(ndim, source, stored, offset)
    if not fits:
        return None
    transposed = name.startswith("conv_transpose") or name in PRODUCTS
    groups = int(read.get("groups") or 1) if convolution else 1
    weight = _in_groups(stored, groups, transposed)
    return Site(
        source=source,
        matrix=matrix,
        bias=bias,
        weight=weight,
        groups=groups,
        border=convolution and has_border(name, stored, read),
        out_dim=int(transposed),
        in_dim=int(not transposed),
        axis=1 if convolution else ndim - 1,
        nonzero=(weight != 0).any(dim=-1).numpy(),
        shared=state.shared(matrix) or (bias is not None and state.shared(bias)),
        convolution=convolution,
    )


def _is_product(ndim: int, source: fx.Node, stored: Tensor, offset: Tensor | None) -> bool:
    """Whether a matrix stands on the right of an input of two or more axes, with a vector bias."""
    if stored.dim() != 2 or ndim < 2 or source.meta["val"].dim() != ndim:
        return False
    return offset is None or offset.dim() == 1


def _in_groups(stored: Tensor, groups: int, transposed: bool) -> Tensor:
    """Return the weight as (groups, outputs a group, inputs a group, positions), a view."""
    if not transposed:
        weight = stored.unflatten(0, (groups, -1)).flatten(3) if stored.dim() > 2 else stored[None]
    else:
        weight = stored.unflatten(0, (groups, -1)).transpose(1, 2)
        weight = weight.flatten(3) if stored.dim() > 2 else weight
    return weight if weight.dim() == 4 else weight.unsqueeze(-1)


def _operands(node: fx.Node, name: str) -> dict[str, Any]:
    found = arguments.given(node)
    if name not in PRODUCTS:
        return found
    pair = ("mat1", "mat2") if name == "addmm" else tuple(found)[:2]
    bias = found.get("self") if name == "addmm" else None
    if found.get("alpha", 1) != 1 or found.get("beta", 1) != 1:
        bias = found["mat1"]  # depends on the input: no normal form
    return {"input": found[pair[0]], "weight": found[pair[1]], "bias": bias}


def has_border(name: str, weight: Tensor, read: dict[str, Any]) -> bool:
    """Whether zero padding lets some outputs see fewer inputs than others.

    Parameters
    ----------
    name
        ATen operation.
    weight
        As stored.
    read
        The call's arguments by name.

    Returns
    -------
    bool
        Whether there is a border.
    """
    if name.startswith("conv_transpose"):
        return True
    padding = read.get("padding", 0)
    if padding == "same":
        return any(size > 1 for size in weight.shape[2:])
    if padding == "valid":
        return False
    return any(padding) if isinstance(padding, (list, tuple)) else bool(padding)
