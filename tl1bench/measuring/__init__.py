"""Measuring ONNX files: the protocol over fresh worker processes. Imports no torch.

`request` is what was asked for, `modes` how much that is, `protocol` does it with the workers of
`bench`, `summaries` says which calls count and what they come to, `footprints` what memory comes
to, `measurement` is what comes out. `graphs` reads the files, `machine` says whether it was quiet,
`profiling` where a network's time goes, `sessions` how far a result repeats.
"""

from tl1bench.measuring.measurement import Measurement
from tl1bench.measuring.profiling import profile
from tl1bench.measuring.protocol import measure
from tl1bench.measuring.sessions import negative_control, repeatability

__all__ = [
    "Measurement",
    "measure",
    "negative_control",
    "profile",
    "repeatability",
]
