"""Network slimming: a penalty on the scales of BatchNorm layers, and channels of scale 0 leave."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, fx, nn

from tl1bench import neurons
from tl1bench.errors import ConfigError
from tl1bench.methods.penalised import Penalised
from tl1bench.optimizers import ProximalOptimizer
from tl1bench.penalties.l1 import L1
from tl1bench.penalties.tl1 import TransformedL1
from tl1bench.tracing.capture import trace
from tl1bench.tracing.graph import op_name

# Imported by name: what a pipeline's results depend on is read from imports.
_PENALTIES = {"l1": L1, "tl1": TransformedL1}
_LAYERS = ("conv1d", "conv2d", "conv3d", "linear")
_NORMS = ("batch_norm", "_native_batch_norm_legit_no_training")


class Slimming(Penalised):
    """The loss is L + λ Σ_c ρ(s_c) over the scales s of all BatchNorm layers.

    λ begins where the prox alone zeroes the share `half` of the scales within one step's
    iterations, and rises as that of every penalty does (see `Penalised`). At the end of a step a
    channel of scale 0 loses the weights that make it; where nothing else is added to it, its shift
    and the weights that read it go too, and it is cut out.

    Against the paper: the prox makes scales that are exactly 0 where there it takes subgradients
    and a threshold for all layers in the end, and channels leave along the path.

    Parameters
    ----------
    penalty
        ρ: "l1" as in the paper, or "tl1".
    half
        Share of the scales that the first λ alone zeroes, in (0, 1).
    growth
        γ > 1; the path's when None.
    hyper
        The penalty's hyper-parameters.

    Raises
    ------
    ConfigError
        A value is out of range, or, when the path begins, the network has no BatchNorm with scales.

    Source: Liu, Li, Shen, Huang, Yan & Zhang, Learning efficient convolutional networks through
    network slimming, ICCV 2017, eq. (1).
    """

    def __init__(
        self, penalty: str = "l1", half: float = 0.1, growth: float | None = None, **hyper: Any
    ) -> None:
        if penalty not in _PENALTIES:
            raise ConfigError(f"penalty is {penalty!r}; give {' or '.join(_PENALTIES)}.")
        super().__init__(_PENALTIES[penalty](**hyper), half, growth=growth)

    def __repr__(self) -> str:
        own = "" if self.growth is None else f", {self.growth}"
        return f"Slimming({self.penalty!r}, {self.half}{own})"

    @contextmanager
    def training(self) -> Iterator[None]:
        """Take channels of scale 0 apart when the step's epochs are over."""
        yield
        self._take_apart()

    @torch.no_grad()
    def _take_apart(self) -> None:
        """Zero what makes and reads channels of scale 0, momenta too: nothing brings them back."""
        model, inputs = self._start.model, self._start.example_inputs
        tensors = dict(model.named_parameters())
        if all(bool(tensors[name].all()) for name in _scales(model)):
            return
        for scale, weight in _made_by(model, inputs).items():
            self._zero(tensors[weight], 0, (tensors[scale] == 0).nonzero().reshape(-1))
        weights = set(neurons.weight_layers(model))
        for family in neurons.units(model, inputs):
            if family.removable:
                gone = _unmade(family, {n: tensors[n] for n in weights & tensors.keys()})
                for piece in (*family.produced, *family.consumed):
                    if piece.tensor in tensors:
                        self._zero(tensors[piece.tensor], piece.dim, piece.index[gone].reshape(-1))

    def _zero(self, parameter: Tensor, dim: int, index: Tensor) -> None:
        index = index.to(parameter.device)
        kept = self._optimizer.state.get(parameter, {}).values()
        alike = [v for v in kept if isinstance(v, Tensor) and v.shape == parameter.shape]
        for tensor in (parameter, *alike):
            tensor.index_fill_(dim, index, 0.0)

    def _made(self, model: nn.Module) -> ProximalOptimizer:
        names = _scales(model)
        if not names:
            raise ConfigError(
                "slimming penalises the scales of BatchNorm layers, and this network has none: "
                "choose another method, or a network with BatchNorm such as resnet or vgg."
            )
        return self._kind(model, self.penalty, lr=self._start.lr, penalise=names)

    @torch.no_grad()
    def _decayed(self, lam: float, iterations: int) -> float:
        """Return the share of scales that so many proxes alone make zero."""
        model, penalty = self._start.model, self.penalty.with_lam(lam)
        scales = torch.cat([model.get_parameter(name).cpu() for name in _scales(model)])
        zero = 0.0
        for _ in range(iterations):
            penalty.prox_(scales, self._start.lr)
            zero = 1 - int(torch.count_nonzero(scales)) / len(scales)
            if zero >= self.half:
                break
        return zero


def _scales(model: nn.Module) -> list[str]:
    """Return the names of the scales of all BatchNorm layers."""
    return [
        f"{path}.weight"
        for path, module in model.named_modules()
        if isinstance(module, nn.modules.batchnorm._BatchNorm) and module.affine
    ]


def _made_by(model: nn.Module, inputs: tuple[Tensor, ...]) -> dict[str, str]:
    """Return for each scale the weight whose rows make its channels, and nothing else."""
    traced, found = trace(model, inputs), {}
    for node in traced.calls:
        maker = node.args[0] if op_name(node) in _NORMS else None
        if not isinstance(maker, fx.Node) or maker.op != "call_function":
            continue
        if op_name(maker) not in _LAYERS or len(maker.users) > 1:
            continue
        pair = [n for n in (node.args[1], maker.args[1]) if isinstance(n, fx.Node)]
        names = [traced.names[n] for n in pair if n in traced.names and len(n.users) == 1]
        if len(names) == 2:
            found[names[0]] = names[1]
    return found


def _unmade(family: neurons.Units, weights: Mapping[str, Tensor]) -> Tensor:
    """Mark the units all of whose making weights are 0; those that no layer makes are not."""
    makers = [piece for piece in family.produced if piece.tensor in weights]
    unmade = torch.full((family.count,), bool(makers))
    for piece in makers:
        rows = weights[piece.tensor].movedim(piece.dim, 0).flatten(1).any(1).cpu()
        unmade &= ~rows[piece.index].any(1)
    return unmade
