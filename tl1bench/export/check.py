"""Whether an ONNX file computes what torch does: onnxruntime beside the network."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from torch import Tensor, nn

from tl1bench.errors import ExportError
from tl1bench.export.outputs import outputs
from tl1bench.runtime import open_session
from tl1bench.tracing import agreement
from tl1bench.tracing.inputs import Inputs

BATCHES = (1, 7)
"""Samples with which a file is tried, where a network takes any."""
_CHUNK = 64


def checked(proto: onnx.ModelProto, name: str) -> bytes:
    """Return the content of a valid model.

    Raises
    ------
    ExportError
        It is none; `name` says whose.
    """
    try:
        onnx.checker.check_model(proto, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise ExportError(f"{name} became an invalid ONNX file ({error}).") from error
    content: bytes = proto.SerializeToString()
    return content


def allowed(results: Sequence[Tensor]) -> float:
    """Return how far onnxruntime may be from torch: further for numbers of half precision.

    Raises
    ------
    ExportError
        They are bfloat16, which onnxruntime does not compute with on the CPU.
    """
    kinds = {t.dtype for t in results if t.is_floating_point()}
    if torch.bfloat16 in kinds:
        raise ExportError(
            "onnxruntime has no bfloat16 on the CPU: convert the network by .half() or .float()."
        )
    halves = [agreement.rounding(kind) for kind in kinds if kind == torch.float16]
    return max([agreement.ONNXRUNTIME, *halves])


def expected(model: nn.Module, inputs: Inputs) -> list[list[Tensor]]:
    """Return the outputs for the example's samples repeated to every batch of `tried`.

    Parameters
    ----------
    model
        The network.
    inputs
        Examples.

    Returns
    -------
    list of list of Tensor
        One an output, for each batch.

    Raises
    ------
    ExportError
        The network cannot take such a batch, or its outputs are no tensors.
    """
    found = []
    for batch in tried(inputs):
        try:
            found.append(outputs(model, batch))
        except (RuntimeError, ValueError, IndexError, AssertionError) as error:
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
            raise ExportError(
                f"{type(model).__name__} cannot take a batch of {batch.size} ({reason})."
            ) from error
    return found


def tried(inputs: Inputs) -> list[Inputs]:
    """Return what a file is tried with: `BATCHES`, or the example where the batch is fixed."""
    return [inputs.repeated(count) for count in BATCHES] if inputs.free else [inputs]


def feeds(sources: Sequence[str], inputs: Sequence[Tensor]) -> Iterator[dict[str, Any]]:
    """Yield what onnxruntime takes, in small batches."""
    for parts in zip(*(x.split(_CHUNK) for x in inputs), strict=True):
        yield {n: x.detach().cpu().numpy() for n, x in zip(sources, parts, strict=True)}


def run(content: bytes, sources: Sequence[str], inputs: Sequence[Tensor]) -> Any:
    """Return the first output for all examples.

    Parameters
    ----------
    content
        An ONNX model.
    sources
        Names of its inputs.
    inputs
        Examples, one tensor an input.

    Returns
    -------
    ndarray
        (example, …).

    Raises
    ------
    ExportError
        onnxruntime cannot run it on these inputs.
    """
    try:
        opened = session(content)
        return np.concatenate([opened.run(None, f)[0] for f in feeds(sources, inputs)])
    except Exception as error:
        # onnxruntime's own exceptions share no base class below Exception.
        reason = str(error).strip().splitlines()[0]
        raise ExportError(f"onnxruntime cannot run the file on these inputs ({reason}).") from error


def session(content: bytes) -> Any:
    """Return a session of an ONNX model on one thread of the CPU."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])


def compare(
    content: bytes, inputs: Inputs, wanted: list[list[Tensor]], names: Sequence[str]
) -> float:
    """Return the largest relative difference between onnxruntime and torch over all batches.

    Parameters
    ----------
    content
        An ONNX model.
    inputs
        Examples.
    wanted
        What `expected` returns.
    names
        Names of the model's inputs.

    Returns
    -------
    float
        See `agreement.difference`.

    Raises
    ------
    ExportError
        onnxruntime cannot run the model.
    """
    try:
        opened = session(content)
        gaps = []
        for batch, want in zip(tried(inputs), wanted, strict=True):
            named = zip(names, batch.tensors, strict=True)
            taken = {entry.name for entry in opened.get_inputs()}  # what is unused may be left out
            feed = {name: x.detach().cpu().numpy() for name, x in named if name in taken}
            found = [torch.from_numpy(np.asarray(y)) for y in opened.run(None, feed)]
            gaps.append(agreement.difference([y.detach().cpu() for y in want], found))
    except Exception as error:
        # onnxruntime's own exceptions share no base class below Exception.
        reason = str(error).strip().splitlines()[0]
        raise ExportError(f"onnxruntime cannot run the exported network ({reason}).") from error
    return max(gaps)


@torch.no_grad()
def compare_file(model: nn.Module, path: Path, batches: Iterable[Tensor]) -> tuple[float, int]:
    """Compare an ONNX file with the network that it was made of, on data.

    Parameters
    ----------
    model
        In eval mode on the CPU, with one input; its first output are the scores of classes.
    path
        The file.
    batches
        Its inputs, (example, …) each.

    Returns
    -------
    tuple of float and int
        The largest `agreement.difference` of a batch, and how many predictions changed.
    """
    opened = open_session(path, threads=1)
    name = opened.get_inputs()[0].name
    largest, changed = 0.0, 0
    for x in batches:
        expected = agreement.leaves(model(x))
        found = [torch.from_numpy(np.asarray(y)) for y in opened.run(None, {name: x.numpy()})]
        largest = max(largest, agreement.difference(expected, found))
        changed += agreement.changed_predictions(expected[0], found[0], agreement.ONNXRUNTIME)
    return largest, changed
