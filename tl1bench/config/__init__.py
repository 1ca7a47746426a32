"""The one reader of params.yaml: text in, validated and frozen models out, torch-free."""

from tl1bench.config.load import load
from tl1bench.config.method import Method
from tl1bench.config.problem import Budget, Data, Decay, Network, Problem
from tl1bench.config.profile import Config
from tl1bench.config.settings import Compact, Measure, Select

__all__ = [
    "Budget",
    "Compact",
    "Config",
    "Data",
    "Decay",
    "Measure",
    "Method",
    "Network",
    "Problem",
    "Select",
    "load",
]
