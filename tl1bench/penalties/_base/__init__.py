"""What penalties are made of: one file a kind."""

from tl1bench.penalties._base.elementwise import Elementwise, restore_sign
from tl1bench.penalties._base.penalty import GroupScale, Penalty, Scale, Step
from tl1bench.penalties._base.per_layer import Composed, PerLayer
from tl1bench.penalties._base.radial import Radial, norms
from tl1bench.penalties._base.ranges import Range

__all__ = [
    "Composed",
    "Elementwise",
    "GroupScale",
    "Penalty",
    "PerLayer",
    "Radial",
    "Range",
    "Scale",
    "Step",
    "norms",
    "restore_sign",
]
