"""The one reader of params.yaml: text in, validated and frozen models out, torch-free."""

from tl1bench.config.data import Data, Preprocess, Reading
from tl1bench.config.load import load
from tl1bench.config.method import Method
from tl1bench.config.problem import Budget, Decay, Network, Path, Problem
from tl1bench.config.profile import DENSE, PENALISED, Config
from tl1bench.config.settings import Compact, Measure, Select

__all__ = [
    "DENSE",
    "PENALISED",
    "Budget",
    "Compact",
    "Config",
    "Data",
    "Decay",
    "Measure",
    "Method",
    "Network",
    "Path",
    "Preprocess",
    "Problem",
    "Reading",
    "Select",
    "load",
]
