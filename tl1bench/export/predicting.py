"""What an ONNX file predicts: its accuracy, and whether that is what torch predicts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from torch import Tensor, nn

from tl1bench.errors import ExportError
from tl1bench.export import check
from tl1bench.export.outputs import outputs
from tl1bench.runtime import onnx_file
from tl1bench.tracing.arguments import as_tuple
from tl1bench.tracing.inputs import Inputs


def share_kept(
    model: nn.Module, content: bytes, sources: Sequence[str], examples: tuple[Tensor, ...]
) -> float:
    """Return the share of examples whose predicted class stayed the same.

    Parameters
    ----------
    model
        The network.
    content
        An ONNX model made of it.
    sources
        Names of its inputs.
    examples
        One tensor an input.

    Returns
    -------
    float
        In [0, 1].
    """
    found = check.run(content, sources, examples)
    (wanted, *_) = outputs(model, Inputs(examples))
    return float((found.argmax(-1) == wanted.cpu().numpy().argmax(-1)).mean())


def accuracy(path: str | Path, x: Tensor | tuple[Tensor, ...], y: Tensor) -> float:
    """Return the share of examples `x` that the ONNX file `path` puts into their class `y`.

    The class is the largest number of the first output.

    Parameters
    ----------
    path
        An ONNX file.
    x
        (example, …), one tensor an input.
    y
        (example,) class numbers.

    Returns
    -------
    float
        In [0, 1].

    Raises
    ------
    ExportError
        There is no such file, it asks for more than a network may, or cannot be run on `x`.
    """
    if not Path(path).exists():
        raise ExportError(f"{path} is not there: write it by export_onnx.")
    inputs = as_tuple(x)
    try:
        model, content, beside = onnx_file.read(Path(path))
    except (ValueError, OSError) as error:
        raise ExportError(f"{path} {error}.") from error
    if beside:
        raise ExportError(f"{path} keeps weights in {beside[0].name}: save them inside the model.")
    sources = [value.name for value in model.graph.input]
    if len(sources) != len(inputs) or len(inputs[0]) != len(y) or not len(y):
        raise ExportError(
            f"{path} takes {len(sources)} inputs, and every example needs a label; "
            f"{len(inputs)} inputs of {len(inputs[0])} examples with {len(y)} labels were given."
        )
    found = check.run(content, sources, inputs)
    return float((found.argmax(-1) == y.cpu().numpy()).mean())
