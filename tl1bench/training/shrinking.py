"""Compaction of a network in place while it is trained: dead units leave, optimiser state too.

What changes against training without it: a dead unit, one that nothing reads, is gone for good,
where plain proximal descent could revive it. Where none would have been revived the result is the
same up to the order of summation while zeros are frozen (debiasing), and with penalties of single
weights throughout. A penalty of groups has one more effect: weights *into* a dead unit get no
gradient and merely fade, but as long as they are there they lengthen the groups of the units they
come from; cut out, they no longer do, and those units die somewhat earlier. s_g stays √|g| of the
original layer. The penalty's value loses what such weights added to it. Dead units that stay, so
that a width is a multiple, go on as without cutting.

Source: the exact criterion of `tl1bench.compaction`, restricted to what keeps every parameter the
same object, so that an optimiser goes on without noticing.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from tl1bench.neurons import Groups, TensorSlice, Units, make_groups
from tl1bench.tracing import agreement
from tl1bench.tracing.arguments import as_tuple
from tl1bench.tracing.capture import evaluating
from tl1bench.training import dead
from tl1bench.training.slicing import Axis, Backup, correct_sizes, slice_tensors


@dataclass(frozen=True, eq=False)
class Shrunk:
    """What one call of `shrink` (or a chain of them) did.

    `units` describe the network as it is now; `removed` counts the units that left in this call;
    `kept` gives for a sliced axis (tensor, dim) the original positions that are left; `shapes` are
    the original shapes of the sliced tensors; `refused` says why nothing was done, or is empty.
    """

    units: tuple[Units, ...]
    removed: int
    kept: Mapping[Axis, Tensor]
    shapes: Mapping[str, torch.Size]
    refused: str
    _step: Mapping[Axis, Tensor]

    def groups(
        self, groups: Sequence[Groups], parameters: Mapping[str, Tensor]
    ) -> tuple[Groups, ...]:
        """Return `groups` of the network before this call as groups of the present `parameters`."""
        shapes = {name: tensor.shape for name, tensor in parameters.items()}
        renewed = []
        for block in groups:
            slices = [_renew_flat(s, shapes) if s.flat else _renew(s, self._step)
                     for s in block.slices]  # fmt: skip
            if all(piece.index.shape[0] for piece in slices):
                renewed.append(make_groups(block.layer, block.layers, slices, shapes))
        return tuple(renewed)

    def expand(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Scatter a present state dict into the original shapes, zeros elsewhere: same function."""
        full = dict(state)
        for name, shape in self.shapes.items():
            value = state[name]
            for dim in range(value.dim()):
                index = self.kept.get((name, dim))
                if index is not None:
                    size = [*value.shape[:dim], shape[dim], *value.shape[dim + 1 :]]
                    value = value.new_zeros(size).index_copy_(dim, index.to(value.device), value)
            full[name] = value
        return full


@torch.no_grad()
def shrink(
    model: nn.Module,
    optimizer: torch.optim.Optimizer | None,
    units: Sequence[Units],
    example_inputs: Tensor | tuple[Tensor, ...],
    previous: Shrunk | None = None,
    align: int = 1,
) -> Shrunk:
    """Remove in place every removable unit that nothing reads: all its outgoing weights are 0.

    Parameters stay the same objects with smaller `.data`, their gradients are cleared, tensors of
    the same shape in the optimiser's state are sliced alike, and sizes noted in modules are
    corrected. Removing a unit may leave its producers unread, so this goes on until nothing
    changes; every family keeps at least one unit. No autograd graph of the network may be alive
    (delete the loss first): it remembers the shapes that the parameters had.

    Parameters
    ----------
    model
        The network, on any device, in any mode.
    optimizer
        What trains it; None for nothing.
    units
        Units of the network as it is.
    example_inputs
        When the results on them change by more than rounding (a forward pass with literal sizes),
        everything is put back and the result's `refused` says so.
    previous
        The result of the last call, with which `expand` leads back to the original shapes.
    align
        A family keeps a multiple of so many units, or all that it had: dead ones stay as they are.

    Returns
    -------
    Shrunk
        What was done.
    """
    gone = dead.leaving(units, _tensors(model), align)
    return cut(model, optimizer, units, gone, example_inputs, previous)


@torch.no_grad()
def cut(
    model: nn.Module,
    optimizer: torch.optim.Optimizer | None,
    units: Sequence[Units],
    gone: Sequence[Tensor],
    example_inputs: Tensor | tuple[Tensor, ...],
    previous: Shrunk | None = None,
) -> Shrunk:
    """Remove in place the units that `gone` marks, which nothing reads; as `shrink` does.

    Parameters
    ----------
    model, optimizer, units, example_inputs, previous
        As for `shrink`.
    gone
        (count,) of booleans for each family.

    Returns
    -------
    Shrunk
        What was done.
    """
    inputs, tensors = as_tuple(example_inputs), _tensors(model)
    removed = sum(int(d.sum()) for d in gone)
    old_kept = dict(previous.kept) if previous else {}
    old_shapes = dict(previous.shapes) if previous else {}
    if not removed:
        return Shrunk(tuple(units), 0, old_kept, old_shapes, "", {})
    step = _survivors(units, gone, tensors)
    backup = Backup(model, optimizer)
    before = _outputs(model, inputs)
    shapes = {name: tensors[name].shape for name, _ in step}
    slice_tensors(tensors, optimizer, step)
    correct_sizes(model, backup.groups)
    try:
        same = agreement.same(before, _outputs(model, inputs))
    except (RuntimeError, ValueError) as error:
        same, reason = False, str(error).splitlines()[0]
    else:
        reason = "the results change"
    if not same:
        backup.restore()
        refused = f"the forward pass has literal sizes ({reason})"
        return Shrunk(tuple(units), 0, old_kept, old_shapes, refused, {})
    kept = dict(old_kept)
    for axis, index in step.items():
        kept[axis] = kept[axis][index] if axis in kept else index
    return Shrunk(
        units=tuple(_renew_units(u, d, step) for u, d in zip(units, gone, strict=True)),
        removed=removed,
        kept=kept,
        shapes={**shapes, **old_shapes},
        refused="",
        _step=step,
    )


def _tensors(model: nn.Module) -> dict[str, Tensor]:
    return dict([*model.named_parameters(), *model.named_buffers()])


def _survivors(
    units: Sequence[Units], gone: Sequence[Tensor], tensors: Mapping[str, Tensor]
) -> dict[Axis, Tensor]:
    """For every axis that loses something the positions that are left."""
    left: dict[Axis, Tensor] = {}
    for family, known in zip(units, gone, strict=True):
        if not known.any():
            continue
        for piece in (*family.produced, *family.consumed):
            axis = (piece.tensor, piece.dim)
            size = tensors[piece.tensor].shape[piece.dim]
            mask = left.setdefault(axis, torch.ones(size, dtype=torch.bool))
            mask[piece.index[known].reshape(-1)] = False
    return {axis: mask.nonzero().reshape(-1) for axis, mask in left.items()}


def _outputs(model: nn.Module, inputs: tuple[Tensor, ...]) -> list[Tensor]:
    with evaluating(model):
        return agreement.leaves(model(*inputs))


def _renew(
    piece: TensorSlice, step: Mapping[Axis, Tensor], alive: Tensor | None = None
) -> TensorSlice:
    """Renumber the positions of a piece; rows of positions that left are dropped."""
    left, index = step.get((piece.tensor, piece.dim)), piece.index
    if left is None:
        return (
            piece
            if alive is None
            else TensorSlice(piece.tensor, piece.dim, index[alive], piece.blocks)
        )
    size = int(max(index.max(), left.max())) + 1
    place = torch.full((size,), -1)
    place[left] = torch.arange(len(left))
    renumbered = place[index]
    rows = (renumbered >= 0).all(dim=1) if alive is None else alive
    return TensorSlice(piece.tensor, piece.dim, renumbered[rows], piece.blocks)


def _renew_flat(piece: TensorSlice, shapes: Mapping[str, torch.Size]) -> TensorSlice:
    """All positions of the tensor as it is now: an `as_coded` block is always the whole layer."""
    count = math.prod(shapes[piece.tensor][1:])
    return TensorSlice(piece.tensor, piece.dim, torch.arange(count)[:, None], flat=True)


def _renew_units(family: Units, gone: Tensor, step: Mapping[Axis, Tensor]) -> Units:
    alive = ~gone
    return Units(
        count=int(alive.sum()),
        produced=tuple(_renew(s, step, alive) for s in family.produced),
        consumed=tuple(_renew(s, step, alive) for s in family.consumed),
        removable=family.removable,
    )
