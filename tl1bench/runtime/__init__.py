"""Running ONNX files with onnxruntime, and timing them: everything that a worker process does.

`session` opens a file with the protocol's options, `timing` holds the timing loop, and
`python -m tl1bench.runtime FOLDER` is the worker process itself. numpy and onnxruntime are the only
large imports here: a process with torch in it is twelve times as big and its thread pools compete.
"""

from tl1bench.runtime.session import available, bind, feed, open_session
from tl1bench.runtime.timing import Plan, Timing, time_models

__all__ = ["Plan", "Timing", "available", "bind", "feed", "open_session", "time_models"]
