"""Network → one checked ONNX file.

`writer` writes ordinary networks directly by the `operations`, anything else goes through torch's
exporter; `int8` quantises; `onnx_file` chooses among them and checks
the result against torch; `predicting` says how well a file predicts.
"""

from tl1bench.export.onnx_file import ExportReport, export_onnx
from tl1bench.export.predicting import accuracy

__all__ = ["ExportReport", "accuracy", "export_onnx"]
