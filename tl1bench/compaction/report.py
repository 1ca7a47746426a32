"""What compaction did, layer by layer: units, weights, MACs, and what could not go and why."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class LayerReport:
    """One layer with weights. Weights exclude biases; MACs are for one sample.

    `weights_ideal` is what would be left if no other layer had a say: rows times columns, over the
    rows that the result needs and the live inputs that those read. `macs_nonzero` is what the full
    layer would need if zeros cost nothing: a theoretical count.
    `reasons` says of the units that stay how many do so for which reason: "used" by the result,
    forced or asked for by an operation, or coupled to a unit of another layer that is used.
    """

    name: str
    kind: str
    units_before: int
    units_after: int
    inputs_before: int
    inputs_after: int
    weights_before: int
    weights_nonzero: int
    weights_ideal: int
    weights_after: int
    macs_before: int
    macs_nonzero: int
    macs_after: int
    reasons: dict[str, int]

    @property
    def kept_because(self) -> str:
        """The reasons in words, `5 used, 1 coupled to stem`."""
        return ", ".join(f"{count} {reason}" for reason, count in self.reasons.items())


@dataclass(frozen=True)
class Rest:
    """Numbers that a network stores beside the weights of its layers: `kind` says which.

    Biases, those of normalisation (statistics among them), and all others: free parameters,
    buffers, constants and indices that compaction put in.
    """

    kind: str
    numbers_before: int
    numbers_nonzero: int
    numbers_after: int


@dataclass(frozen=True)
class Report:
    """The whole network: totals over layers, operations without a rule, and the architecture.

    `weights_…` are sums over `layers`, `numbers_…` count all that is stored, once: layers and
    `rest`. `uncovered` has for each operation without a rule how many stored numbers it reads.
    MACs are those of convolutions, linear and recurrent layers and matrix products, one sample,
    1 MAC = 2 FLOPs.
    `architecture` joins the widths: live inputs of a multi-layer perceptron, filters, live inputs
    of the layer behind a flatten, hidden units; the output is left out.
    `fixed_batch` is the only batch size that the network takes; None for all that take any.
    """

    layers: tuple[LayerReport, ...]
    weights_before: int
    weights_nonzero: int
    weights_ideal: int
    weights_after: int
    macs_before: int
    macs_nonzero: int
    macs_after: int
    opaque: tuple[str, ...]
    architecture: str
    rest: tuple[Rest, ...]
    numbers_before: int
    numbers_nonzero: int
    numbers_after: int
    uncovered: dict[str, int]
    fixed_batch: int | None = None

    def __str__(self) -> str:
        """Return a table, one line a layer."""
        head = ("layer", "kind", "units", "inputs", "weights", "non-zero", "MACs",
                "of non-zero", "kept because")  # fmt: skip
        rows = [head] + [
            (
                layer.name, layer.kind,
                f"{layer.units_before} → {layer.units_after}",
                f"{layer.inputs_before} → {layer.inputs_after}",
                f"{layer.weights_before:,} → {layer.weights_after:,}",
                f"{layer.weights_nonzero:,}",
                f"{layer.macs_before:,} → {layer.macs_after:,}",
                f"{layer.macs_nonzero:,}",
                layer.kept_because,
            )
            for layer in self.layers
        ]  # fmt: skip
        rows += [
            (rest.kind, "", "", "", f"{rest.numbers_before:,} → {rest.numbers_after:,}",
             f"{rest.numbers_nonzero:,}", "", "", "")
            for rest in self.rest
        ]  # fmt: skip
        rows.append(
            ("total", "", "", "", f"{self.numbers_before:,} → {self.numbers_after:,}",
             f"{self.numbers_nonzero:,}", f"{self.macs_before:,} → {self.macs_after:,}",
             f"{self.macs_nonzero:,}", self.architecture)
        )  # fmt: skip
        widths = [max(len(row[i]) for row in rows) for i in range(len(head))]
        lines = [
            "  ".join(c.ljust(w) for c, w in zip(r, widths, strict=True)).rstrip() for r in rows
        ]
        if self.opaque:
            lines.append("kept whole (no rule): " + ", ".join(map(self._share, self.opaque)))
        if self.fixed_batch is not None:
            lines.append(f"takes batches of {self.fixed_batch} alone: the network fixes their size")
        return "\n".join(lines)

    def _share(self, name: str) -> str:
        """Return an operation with the share of all numbers that it reads, where there are any."""
        read = self.uncovered.get(name, 0)
        return f"{name} ({read / self.numbers_before:.1%} of all numbers)" if read else name
