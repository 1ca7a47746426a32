"""Exact compaction: remove every channel that provably cannot matter, change nothing else.

`graph` traces a model, `analysis` follows every channel through it by the `rules` of each family of
operations, `decide` says which stay, `emit` writes the smaller network, `report` what was done.
"""

from tl1bench.compaction.compactor import Compacted, Compactor, compact, load_compacted
from tl1bench.compaction.report import LayerReport, Report

__all__ = ["Compacted", "Compactor", "LayerReport", "Report", "compact", "load_compacted"]
