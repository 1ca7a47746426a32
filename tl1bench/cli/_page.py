"""The page that `tl1bench compact --report` writes: one file that opens from disk."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tl1bench.files import write_text
from tl1bench.report.templates import environment

if TYPE_CHECKING:
    from tl1bench.compaction import Report
    from tl1bench.export import ExportReport
    from tl1bench.measuring import Measurement


@dataclass(frozen=True)
class Findings:
    """What was done to one network and what was measured.

    `equality` is a sentence; `latency` compares the files of `dense` and `small`, in this order.
    """

    source: str
    report: Report
    equality: str
    dense: ExportReport
    small: ExportReport
    latency: Measurement
    tuning: str | None


def write(findings: Findings, target: Path) -> None:
    """Write the page."""
    page = environment(Path(__file__).parent)
    page.filters.update(count=lambda n: f"{n:,}", percent=_percent)
    machine = findings.latency.machine
    text = page.get_template("compact.html").render(
        source=findings.source,
        report=findings.report,
        cards=_cards(findings),
        facts=_facts(findings),
        trusted=machine["trusted"],
        reason=machine["reason"],
    )
    write_text(target, text)


def _cards(f: Findings) -> Sequence[tuple[str, str, str]]:
    row = _row(f.latency)
    return (
        ("weights left", _percent((f.report.weights_after, f.report.weights_before)),
         f"{f.report.weights_before:,} → {f.report.weights_after:,}"),
        ("MACs left", _percent((f.report.macs_after, f.report.macs_before)),
         f"{f.report.macs_before:,} → {f.report.macs_after:,}"),
        ("ONNX file", _percent((f.small.size_bytes, f.dense.size_bytes)),
         f"{f.dense.size_bytes / 1024:,.1f} → {f.small.size_bytes / 1024:,.1f} KiB"),
        ("latency", f"{row['ratio_p50']:.3f} ×",
         f"95 % interval {row['ratio_low']:.3f}–{row['ratio_high']:.3f}"),
    )  # fmt: skip


def _facts(f: Findings) -> list[tuple[str, str]]:
    machine, row = f.latency.machine, _row(f.latency)
    protocol = machine["protocol"]
    facts = [
        ("same function", f.equality),
        ("same in ONNX", f"onnxruntime and torch differ by {f.small.max_rel_difference:.1e} at "
         f"most, batches of 1 and 7; opset {f.small.opset}"),
        ("latency", f"p50 {row['p50_us']:.1f} µs against {_row(f.latency, 0)['p50_us']:.1f} µs, "
         f"paired, batch {row['batch']}, {row['threads']} thread(s), "
         f"{protocol['processes']} processes, {protocol['mode']} protocol"),
        ("machine", f"{machine['cpu']}, onnxruntime {machine['versions']['onnxruntime']}"),
    ]  # fmt: skip
    if f.small.flushed_denormals:
        facts.append(("denormal weights", f"{f.small.flushed_denormals:,} became 0"))
    if f.tuning is not None:
        facts.append(("tuning", f.tuning))
    return facts


def _row(latency: Measurement, position: int = 1) -> dict[str, Any]:
    return {str(k): v for k, v in latency.table.iloc[position].to_dict().items()}


def _percent(pair: tuple[int, int]) -> str:
    after, before = pair
    return f"{100 * after / before:.1f} %" if before else "–"
