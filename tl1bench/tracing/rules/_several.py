"""Calls with several results, each of which has channels of its own."""

from __future__ import annotations

from dataclasses import dataclass

from torch import fx

from tl1bench.tracing.channels import Known
from tl1bench.tracing.writer import Emitter


@dataclass(frozen=True, eq=False)
class Several:
    """`known` of each result in turn, as `getitem` takes them."""

    known: tuple[Known | None, ...]

    def write(self, node: fx.Node, place: int, out: Emitter) -> fx.Node | None:
        """Write the `getitem` that takes the result at `place`.

        Parameters
        ----------
        node
            The `getitem`.
        place
            Which result.
        out
            The ledger that is written.

        Returns
        -------
        Node or None
            In the new graph; None when the call is gone.
        """
        del place
        return out.copy(node)
