"""The rows as a page: a line of sums, a table, what was refused and why."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from importlib.metadata import version
from importlib.util import find_spec

from benchmarks.zoo._trial import Row

_HEAD = """\
# Networks that no one here wrote

Torchvision's classifiers, timm's and tiny networks of transformers with random weights, of which
40 % of the units of every layer are set to zero at random, layer by layer in turn: a unit with its
bias and BatchNorm; its weights alone; all that reads an input. Each is compacted and held against
the original in float64 at another batch size than the traced one, then both are exported to ONNX.
*error* is max |a − b| / max(1, max |a|); *exact* means at most 1e-10, or 1e-4 where the network
computes in float32 whatever its weights are, or has more than 10⁸ parameters. *weights* is the
share of the weights of layers that is kept / that would be if every layer could choose for itself:
a residual stream loses a channel only when all of its members do, so with random zeros hardly ever.
*MACs* and *ONNX* are shares too, of multiplications and of the file's bytes.

Written by `python -m benchmarks.zoo`; whether a network is *larger* is asked of parameters, numbers
with buffers, bytes, MACs, numbers and bytes in ONNX.
"""


def is_wrong(row: Row) -> bool:
    """Whether a network became another function or larger."""
    return not row.refused and (not row.exact or bool(row.grown))


def page(rows: Sequence[Row], networks: int) -> str:
    """Return the page of all rows that there are, of so many networks.

    Parameters
    ----------
    rows
        In the order of the table.
    networks
        How many there are to be tried.

    Returns
    -------
    str
        Markdown.
    """
    fine = [row for row in rows if not row.refused]
    refused = [row for row in rows if row.refused]
    parts = [
        _HEAD,
        _summary(rows, networks),
        "| network | parameters | zero | verdict | error | weights | MACs | ONNX | no rule for "
        "| trace s | compaction s | ONNX s |\n|---|---|---|---|---|---|---|---|---|---|---|---|\n"
        + "\n".join(map(_line, fine)),
    ]
    if refused:
        parts.append(
            "## Refused\n\n" + "\n".join(f"* {r.name}: {_plain(r.refused)}" for r in refused)
        )
    without = [row for row in fine if row.onnx]
    if without:
        parts.append(
            "## Without ONNX\n\n" + "\n".join(f"* {r.name}: {_plain(r.onnx)}" for r in without)
        )
    return "\n\n".join(part.strip() for part in parts) + "\n"


def told(row: Row) -> str:
    """Return a row as one line for a terminal."""
    if row.refused:
        return f"{row.name}: {row.refused}"
    onnx = "–" if row.onnx_kept is None else f"{row.onnx_kept:.3f}"
    return (f"{row.name}: {_verdict(row)}, error {row.error:.0e}, weights {row.weights_kept:.3f} / "
            f"{row.weights_ideal:.3f}, MACs {row.macs_kept:.3f}, ONNX {onnx}")  # fmt: skip


def _summary(rows: Sequence[Row], networks: int) -> str:
    fine = [row for row in rows if not row.refused]
    wrong = sum(not row.exact for row in fine)
    grown = sum(bool(row.grown) for row in fine)
    files = [row.onnx_kept for row in fine if row.onnx_kept is not None]
    installed = [p for p in ("torch", "torchvision", "timm", "transformers") if find_spec(p)]
    packages = ", ".join(f"{package} {version(package)}" for package in installed)
    return (
        f"**{len(rows)} of {networks} networks tried: {len(fine)} compacted, of which {wrong} "
        f"wrong and {grown} larger; {len(rows) - len(fine)} refused; {len(files)} written to ONNX. "
        f"Of the weights {_mean([row.weights_kept for row in fine])} are kept on average, of the "
        f"MACs {_mean([row.macs_kept for row in fine])}, of the ONNX files {_mean(files)}.** "
        f"One thread of {platform.machine()}; {packages}."
    )


def _mean(shares: Sequence[float]) -> str:
    return f"{sum(shares) / len(shares):.3f}" if shares else "–"


def _verdict(row: Row) -> str:
    right = "exact" if row.exact else "WRONG"
    if row.exact and row.precision != "float64":
        right += f" ({row.precision})"
    return ", ".join([right, *(f"LARGER: {what}" for what in row.grown)])


def _line(row: Row) -> str:
    onnx = "–" if row.onnx_kept is None else f"{row.onnx_kept:.3f}"
    cells = (
        row.name, f"{row.parameters / 1e6:.2f} M", f"{row.zeros:.2f}", _verdict(row),
        f"{row.error:.0e}", f"{row.weights_kept:.3f} / {row.weights_ideal:.3f}",
        f"{row.macs_kept:.3f}", onnx, ", ".join(sorted(row.opaque)) or "–",
        f"{row.trace_s:.1f}", f"{row.compact_s:.1f}", f"{row.export_s:.1f}" if onnx != "–" else "–",
    )  # fmt: skip
    return f"| {' | '.join(cells)} |"


def _plain(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|").replace("<", "‹").replace(">", "›")
