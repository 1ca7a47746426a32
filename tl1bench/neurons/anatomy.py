"""A network's units and groups as plain data: found once for a problem, used by all its runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from tl1bench.neurons.groups import Groups, TensorSlice, Units, make_groups
from tl1bench.neurons.units import groups, units


@dataclass(frozen=True, eq=False)
class Anatomy:
    """All units of a network, and its groups seen from the wanted side."""

    units: tuple[Units, ...]
    groups: tuple[Groups, ...]

    @classmethod
    def of(
        cls,
        model: nn.Module,
        example_inputs: Tensor | tuple[Tensor, ...],
        side: str | Sequence[str],
    ) -> Anatomy:
        """Trace `model`.

        Parameters
        ----------
        model
            The network.
        example_inputs
            Inputs with a batch in their first dimension.
        side
            As for `groups`.

        Returns
        -------
        Anatomy
            Units and groups.

        Raises
        ------
        CompactionError
            The network cannot be traced.
        ValueError
            `side` is unknown or its length is wrong.
        """
        return cls(units(model, example_inputs), groups(model, example_inputs, side))

    def to_json(self) -> dict[str, Any]:
        """Return lists and numbers that `from_json` reads."""
        return {
            "units": [
                {
                    "count": family.count,
                    "produced": [_plain(piece) for piece in family.produced],
                    "consumed": [_plain(piece) for piece in family.consumed],
                    "removable": family.removable,
                }
                for family in self.units
            ],
            "groups": [
                {
                    "layer": block.layer,
                    "layers": block.layers,
                    "slices": [_plain(piece) for piece in block.slices],
                }
                for block in self.groups
            ],
        }

    @classmethod
    def from_json(cls, content: Mapping[str, Any], model: nn.Module) -> Anatomy:
        """Read what `to_json` gave for a network with the parameters of `model`."""
        shapes = {name: parameter.shape for name, parameter in model.named_parameters()}
        return cls(
            tuple(
                Units(
                    family["count"],
                    tuple(_piece(piece) for piece in family["produced"]),
                    tuple(_piece(piece) for piece in family["consumed"]),
                    family["removable"],
                )
                for family in content["units"]
            ),
            tuple(
                make_groups(
                    block["layer"],
                    block["layers"],
                    [_piece(piece) for piece in block["slices"]],
                    shapes,
                )
                for block in content["groups"]
            ),
        )


def _plain(piece: TensorSlice) -> dict[str, Any]:
    return {
        "tensor": piece.tensor,
        "dim": piece.dim,
        "index": piece.index.tolist(),
        "blocks": piece.blocks,
        "flat": piece.flat,
    }


def _piece(content: Mapping[str, Any]) -> TensorSlice:
    return TensorSlice(**{**content, "index": torch.tensor(content["index"], dtype=torch.int64)})
