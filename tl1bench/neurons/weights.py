"""Which parameters are weights that a penalty may act on, and how each lies in its layer."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from tl1bench.neurons.groups import TensorSlice
from tl1bench.tracing.capture import bare

_ONE_WEIGHT = (
    nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d,
    nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d,
    nn.Embedding, nn.EmbeddingBag,
)  # fmt: skip
_RECURRENT = (nn.RNNBase, nn.RNNCellBase)
_ATTENTION = ("in_proj_weight", "q_proj_weight", "k_proj_weight", "v_proj_weight")
_NORMS = (
    nn.modules.batchnorm._NormBase, nn.LayerNorm, nn.GroupNorm, nn.RMSNorm, nn.LocalResponseNorm,
)  # fmt: skip
UNKNOWN = " is no layer whose weights are known: name it in penalise="


def weight_layers(model: nn.Module) -> tuple[str, ...]:
    """Names of the penalised weights, in the order in which their layers are registered.

    Those of convolution, linear, recurrent, attention and embedding layers. Biases and
    normalisation parameters are never penalised.
    """
    network = bare(model)
    own = {name for name, _ in network.named_parameters()}
    return tuple(
        name
        for path, module in network.named_modules()
        for name in (_joined(path, weight) for weight in _weights(module))
        if name in own
    )


def exempt(model: nn.Module) -> dict[str, str]:
    """Return why each parameter that is not in `weight_layers` is not, by name."""
    network = bare(model)
    known = set(weight_layers(network))
    modules = dict(network.named_modules())
    return {
        name: _reason(modules[name.rpartition(".")[0]], name, p)
        for name, p in network.named_parameters()
        if name not in known
    }


def _reason(module: nn.Module, name: str, p: Tensor) -> str:
    if isinstance(module, _NORMS):
        return "normalisation"
    if "bias" in name.rpartition(".")[2]:
        return "a bias"
    if p.dim() < 2:
        return "a vector"
    return type(module).__name__ + UNKNOWN


def _weights(module: nn.Module) -> tuple[str, ...]:
    if isinstance(module, _ONE_WEIGHT):
        return ("weight",)
    if isinstance(module, nn.MultiheadAttention):
        return _ATTENTION
    if isinstance(module, _RECURRENT):
        return tuple(n for n, _ in module.named_parameters(recurse=False) if "weight" in n)
    return ()


def _joined(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


@dataclass(frozen=True, eq=False)
class Layout:
    """How the units of a layer lie in one of its weights.

    `rows` (unit, k) are the k rows of each unit: its gates, or the whole of a head. Weights of one
    `owner` share their units. `embedding` says that the columns alone are units: rows are what may
    come in.
    """

    owner: str
    rows: Tensor | None = None
    embedding: bool = False


def layouts(model: nn.Module) -> dict[str, Layout]:
    """Return the layout of each weight whose units are not simply its rows and columns."""
    found: dict[str, Layout] = {}
    for path, module in bare(model).named_modules():
        if isinstance(module, nn.Embedding | nn.EmbeddingBag):
            found[_joined(path, "weight")] = Layout(path, embedding=True)
        elif isinstance(module, nn.MultiheadAttention):
            for name in _ATTENTION:
                rows = _interleaved(module.num_heads, module.head_dim, 3 if "in_" in name else 1)
                found[_joined(path, name)] = Layout(f"{path} heads", rows)
        elif isinstance(module, _RECURRENT):
            for name in _weights(module):
                layer = name.removeprefix("weight_").partition("_")[2]
                w = module.get_parameter(name)
                gates = w.shape[0] // module.hidden_size
                if "_hr" not in name:
                    rows = _interleaved(module.hidden_size, 1, gates)
                    found[_joined(path, name)] = Layout(f"{path} {layer}", rows)
    return found


def _interleaved(units: int, each: int, times: int) -> Tensor:
    """Return (unit, times·each) rows where `times` blocks have `each` rows of every unit."""
    blocks = torch.arange(times * units * each).view(times, units, each)
    return blocks.movedim(1, 0).reshape(units, -1)


def alone(
    names: Sequence[str],
    sides: Sequence[str],
    shapes: Mapping[str, torch.Size],
    layouts: Mapping[str, Layout] | None = None,
    covered: Collection[tuple[str, str]] = (),
) -> Iterator[list[TensorSlice]]:
    """Yield the blocks of groups of weights seen by themselves, whatever is around their layer.

    Parameters
    ----------
    names, sides
        The weights, and from which side each is grouped.
    shapes
        Their shapes.
    layouts
        How units lie in them, where that is not one a row and one a column.
    covered
        Pairs of a name and a side that have groups already.

    Yields
    ------
    list of TensorSlice
        With units in common.
    """
    layouts = layouts or {}
    entering: dict[str, list[TensorSlice]] = {}
    for name, side in zip(names, sides, strict=True):
        shape, layout = shapes[name], layouts.get(name)
        seen = {wanted for wanted in ("outgoing", "incoming") if (name, wanted) in covered}
        if layout is not None and layout.embedding:
            if not seen:
                yield [TensorSlice(name, 1, torch.arange(shape[1])[:, None])]
            continue
        if side == "as_coded":
            flat = len(shape) > 1
            yield [_each(name, 1 if flat else 0, shape[1:].numel() if flat else shape[0], flat)]
            continue
        if side in ("outgoing", "both") and "outgoing" not in seen:
            dim = min(1, len(shape) - 1)
            yield [_each(name, dim, shape[dim])]
        if side in ("incoming", "both") and "incoming" not in seen:
            if layout is None or layout.rows is None:
                yield [_each(name, 0, shape[0])]
            else:
                entering.setdefault(layout.owner, []).append(TensorSlice(name, 0, layout.rows))
    yield from entering.values()


def _each(name: str, dim: int, count: int, flat: bool = False) -> TensorSlice:
    return TensorSlice(name, dim, torch.arange(count)[:, None], flat=flat)
