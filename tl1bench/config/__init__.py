"""The one reader of params.yaml: text in, validated and frozen models out, torch-free."""

from tl1bench.config.data import Data, Preprocess, Reading
from tl1bench.config.load import load
from tl1bench.config.method import Method
from tl1bench.config.problem import Budget, Decay, Network, Problem
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
    "Preprocess",
    "Problem",
    "Reading",
    "Select",
    "load",
]
