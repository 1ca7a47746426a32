"""Where channels live in weights: the link between labels and positions in tensors."""

from __future__ import annotations

from dataclasses import dataclass

from torch import fx

from tl1bench.tracing.channels import Ints


@dataclass(frozen=True, eq=False)
class Slot:
    """Axis `dim` of the tensor behind `tensor` is laid out by the channels `ids`.

    `role` is "produced" (weights that make the channel), "consumed" (weights that read it), "both"
    (depthwise filters), or "" where groups of penalties are laid out by the layer alone.
    `blocks` > 1 belongs to the input side of a grouped convolution: `ids` then run over all input
    channels, and channel q·n+p is slice p of the q-th block of rows. `fixed`: a module of torch
    notes the extent of this axis, so that only compaction changes it, never a cut in place.
    """

    tensor: fx.Node
    dim: int
    ids: Ints
    role: str
    blocks: int = 1
    fixed: bool = False
