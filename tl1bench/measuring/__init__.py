"""Measuring ONNX files: the protocol over fresh worker processes. Imports no torch.

`protocol` runs it, `measurement` is what comes out, `graphs` reads the files, `workers` starts the
processes, `profiling` says where a network's time goes, `sessions` shows how far a result repeats.
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
