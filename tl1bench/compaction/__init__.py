"""Exact compaction: remove every channel that provably cannot matter, change nothing else.

From a model to a smaller one: `tracing.capture` traces it, `tracing.analysis` follows every
channel through it by the rule of each operation, `decide` says which stay, `compactor` has every
rule write its call into a new graph (`tracing.writer`), `report` says what was done, and `archive`
is the file.
"""

from tl1bench.compaction.compacted import Compacted
from tl1bench.compaction.compactor import Compactor, compact, load_compacted
from tl1bench.compaction.report import LayerReport, Report

__all__ = ["Compacted", "Compactor", "LayerReport", "Report", "compact", "load_compacted"]
