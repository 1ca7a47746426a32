"""Adapters of a compact network that may or may not pay, switched on by measurement."""

from tl1bench.tuning.trials import Ratio, Trial, Tuned, tune

__all__ = ["Ratio", "Trial", "Tuned", "tune"]
