"""Every torchvision classifier under several zero patterns: is it the same function, how small?

`python tests/compaction/zoo.py docs/compaction.md` computes the table and writes it there, network
by network; with names of networks behind the file only those are computed anew.
"""

from __future__ import annotations

import gc
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import torch
from marked import read_between, write_between
from torch import nn

from tl1bench.compaction import Compactor
from tl1bench.errors import CompactionError
from tl1bench.tracing import agreement
from tl1bench.tracing.analysis import analyse
from tl1bench.tracing.graph import op_name
from tl1bench.tracing.rules import rule_of
from tl1bench.tracing.site import Site

SHARE = 0.4
PATTERNS = ("filters", "constants", "columns")
# Networks whose attention windows or patches fix the size of the image.
SIZES = {"inception_v3": 80, "maxvit_t": 224, "alexnet": 64}
WIDE = 150_000_000  # from as many parameters on float32 has to do: memory
TOLERANCE = {torch.float64: agreement.FLOAT64, torch.float32: agreement.ONNXRUNTIME}


@dataclass(frozen=True)
class Row:
    """One network under one pattern."""

    pattern: str
    error: float
    kept: float
    ideal: float
    opaque: tuple[str, ...]
    seconds: float


@dataclass(frozen=True)
class Entry:
    """One network under all patterns; `refused` is the reason when it was."""

    name: str
    parameters: int
    kind: torch.dtype
    rows: tuple[Row, ...] = ()
    trace_s: float = 0.0
    refused: str = ""

    @property
    def error(self) -> float:
        return max((row.error for row in self.rows), default=0.0)

    @property
    def verdict(self) -> str:
        if self.refused:
            return f"refused: {self.refused}"
        return "exact" if self.error <= TOLERANCE[self.kind] else "WRONG"

    def line(self) -> str:
        shares = [f"{row.kept:.3f} / {row.ideal:.3f}" for row in self.rows] or ["–"] * 3
        opaque = sorted({name for row in self.rows for name in row.opaque})
        slowest = max((row.seconds for row in self.rows), default=0.0)
        cells = [
            self.name, f"{self.parameters / 1e6:.1f} M", self.verdict,
            f"{self.error:.0e}", str(self.kind).removeprefix("torch."), *shares,
            ", ".join(opaque) or "–", f"{self.trace_s:.1f}", f"{slowest:.1f}",
        ]  # fmt: skip
        return f"| {' | '.join(cells)} |"


HEAD = """\
| network | parameters | verdict | worst error | type | filters | constants | columns | no rule for | export s | compaction s |
|---|---|---|---|---|---|---|---|---|---|---|"""  # noqa: E501


def names() -> list[str]:
    from torchvision import models

    return models.list_models(module=models)


def build(name: str) -> tuple[nn.Module, int]:
    """Return the network with random weights and statistics, and the size of its images."""
    from torchvision import models

    torch.manual_seed(0)
    size, options = SIZES.get(name, 64), {}
    if name in ("googlenet", "inception_v3"):
        options["init_weights"] = False
    if name.startswith("vit_"):
        size = 2 * int(name.split("_")[-1])
        options["image_size"] = size
    network = models.get_model(name, weights=None, num_classes=10, **options).eval()
    _randomise(network)
    # Statistics of data, as after training: with made-up ones deep networks amplify rounding
    # a million times, and nothing can be told from a comparison.
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    for norm in norms:
        norm.train().momentum = 1.0
    with torch.no_grad():
        network(torch.randn(8, 3, size, size))
    for norm in norms:
        norm.eval()
    return network, size


def _randomise(network: nn.Module) -> None:
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.weight.uniform_(0.5, 1.5)
                module.bias.normal_(0, 0.3)
            elif isinstance(module, nn.Conv2d | nn.Linear):
                nn.init.kaiming_normal_(module.weight)
                if module.bias is not None:
                    module.bias.normal_(0, 0.1)
        # ConvNeXt starts its branches at 1e-6, where no error of theirs would be seen.
        for key, value in network.named_parameters():
            if key.endswith("layer_scale"):
                value.uniform_(0.5, 1.5)


def zeroed(compactor: Compactor, weights: dict[str, torch.Tensor], pattern: str):
    """Return the weights with 40 % of the filters or columns of every layer zero, at random.

    `filters`: a filter with its bias and the BatchNorm behind it; `constants`: the filter alone, so
    that bias and shift stay behind; `columns`: everything that reads one input. The last layer's
    filters stay.
    """
    draw = torch.Generator().manual_seed(1)
    traced = compactor.traced
    state = analyse(traced, rule_of)
    sites = [(n, s) for n in traced.calls if (s := state.plan(n, Site)) is not None]
    weights = {name: value.clone() for name, value in weights.items()}
    for node, site in sites:
        weight = weights[traced.names[site.matrix]]
        if pattern == "columns":
            if weight.shape[1] > 1 and site is not sites[0][1]:
                weight[:, torch.rand(weight.shape[1], generator=draw) < SHARE] = 0
            continue
        if site is sites[-1][1]:
            continue
        dead = torch.rand(len(weight), generator=draw) < SHARE
        weight[dead] = 0
        if pattern == "filters":
            vectors = [site.bias] if site.bias is not None else []
            for user in node.users:
                if op_name(user) == "batch_norm":
                    vectors += user.args[1:3]
            for vector in vectors:
                if vector in traced.names:  # Swin v2 computes its bias from two parameters
                    weights[traced.names[vector]][dead] = 0
    return weights


def entry(name: str) -> Entry:
    """Compact one network under every pattern."""
    network, size = build(name)
    parameters = sum(p.numel() for p in network.parameters())
    kind = torch.float64 if parameters < WIDE else torch.float32
    network = network.to(kind)
    start = time.perf_counter()
    try:
        compactor = Compactor(network, torch.randn(2, 3, size, size, dtype=kind))
    except CompactionError as error:
        return Entry(name, parameters, kind, refused=str(error))
    trace_s = time.perf_counter() - start
    original = {key: value.clone() for key, value in network.state_dict().items()}
    x = torch.randn(3, 3, size, size, dtype=kind)
    found = [row(name, network, compactor, original, x, pattern) for pattern in PATTERNS]
    return Entry(name, parameters, kind, tuple(found), trace_s)


def row(
    name: str, network: nn.Module, compactor: Compactor, original: dict[str, torch.Tensor],
    x: torch.Tensor, pattern: str,
) -> Row:  # fmt: skip
    """Compact with the pattern's zeros and compare at another batch size than the traced one."""
    weights = zeroed(compactor, original, pattern)
    with torch.no_grad():
        for key, value in network.state_dict().items():
            value.copy_(weights[key])
    start = time.perf_counter()
    small = compactor.compact(weights)
    seconds = time.perf_counter() - start
    with torch.no_grad():
        expected, result = network(x), small.model(x)
    scale = float(expected.abs().max())
    if float((expected[0] - expected[1]).abs().max()) < 1e-6 * scale:
        raise AssertionError(f"{name} under {pattern} hardly depends on its input.")
    report = small.report
    return Row(
        pattern,
        float((result - expected).abs().max()) / scale,
        report.weights_after / report.weights_before,
        report.weights_ideal / report.weights_before,
        report.opaque,
        seconds,
    )


def write(path: Path, chosen: list[str]) -> None:
    """Compute the lines of the chosen networks and put them into the table."""
    lines = {line.split("|")[1].strip(): line for line in read_between(path, "zoo").splitlines()}
    for name in chosen:
        lines[name] = entry(name).line()
        gc.collect()
        known = [lines[n] for n in names() if n in lines]
        write_between(path, "zoo", "\n".join([HEAD, *known]))


if __name__ == "__main__":
    write(Path(sys.argv[1]), sys.argv[2:] or names())
