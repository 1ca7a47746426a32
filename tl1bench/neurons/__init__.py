"""The one definition of a neuron: which weights make a unit, which read it, and groups of weights.

A unit is a class of channels that can only live or die together. Units come from the same channel
analysis that compaction uses, so that a penalised group of weights that becomes zero is a unit that
compaction removes.
"""

from tl1bench.neurons.anatomy import Anatomy
from tl1bench.neurons.groups import Groups, TensorSlice, Units, make_groups
from tl1bench.neurons.units import SIDES, groups, units
from tl1bench.neurons.weights import weight_layers

__all__ = [
    "SIDES",
    "Anatomy",
    "Groups",
    "TensorSlice",
    "Units",
    "groups",
    "make_groups",
    "units",
    "weight_layers",
]
