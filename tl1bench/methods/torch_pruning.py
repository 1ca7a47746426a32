"""Structural pruning by the package torch-pruning (DepGraph), on our path.

Theirs: which channels live or die together (the dependency graph), how important they are (the
group norm: squared ℓ2 norms of all that makes or reads a channel, a mean over its layers, divided
by the mean over the group's channels), the ranking of all groups together, which of the weakest go
(never a whole layer), and the removal, again and again, one percent of the channels at a time with
importances measured anew. It happens on a copy.

Ours: when enough has gone, counted in weights, as for other methods; that the layers which make the
network's output stay; and that the network itself is not cut by them: what their copy lost is
zeroed and held at zero, in rows, columns, biases and normalisation alike, so that momenta,
resuming and branches are the path's as for every method, and compaction cuts it.

Not used: their regularisers for training before pruning.
"""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn

from tl1bench import neurons
from tl1bench.methods._optional import optional
from tl1bench.methods._shares import Shares
from tl1bench.optimizers import ProximalOptimizer
from tl1bench.training.method import Start

_ROUNDS = 100


class TorchPruning(Shares):
    """Keep the share s_k = s_0 / ρ^k of the dense network's weights, whole channels at a time.

    Parameters
    ----------
    first, ratio, last
        s_0 in (0, 1), ρ > 1, the path's growth when None, and the least share, if any.

    Raises
    ------
    ConfigError
        A value is out of range.
    MissingPackageError
        torch-pruning is not installed.

    Source: Fang, Ma, Song, Mi & Wang, DepGraph: towards any structural pruning, CVPR 2023.
    """

    def __init__(
        self, first: float = 0.5, ratio: float | None = None, last: float | None = None
    ) -> None:
        super().__init__(first, ratio, last)
        self._package: Any = optional("torch_pruning", "torch-pruning", "torch_pruning")

    def __repr__(self) -> str:
        return f"TorchPruning({self.first}, {self.ratio}, {self.last})"

    def begin(self, start: Start) -> ProximalOptimizer:
        """Return momentum SGD."""
        self._total = _weights(start.model)
        return super().begin(start)

    def cut(self, share: float, before: float) -> None:  # noqa: ARG002
        """Let torch-pruning prune a copy and zero what it lost."""
        model = self._start.model
        kept = self._kept(self._pruned(round(share * self._total)))
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                mask = torch.zeros_like(parameter).reshape(-1)
                mask[kept[name].to(mask.device)] = 1
                parameter.mul_(mask.view(parameter.shape))

    def _pruned(self, wanted: int) -> list[Any]:
        """Prune a copy down to `wanted` weights and return its history of removals."""
        model = copy.deepcopy(self._start.model)
        pruner = self._package.pruner.BasePruner(
            model,
            self._start.example_inputs,
            importance=self._package.importance.GroupMagnitudeImportance(p=2),
            global_pruning=True,
            pruning_ratio=1.0,
            iterative_steps=_ROUNDS,
            ignored_layers=self._outputs(model),
            # Their defaults are dictionaries that all pruners of a process share.
            in_channel_groups={},
            out_channel_groups={},
            num_heads={},
        )
        for _ in range(_ROUNDS):
            if _weights(model) <= wanted:
                break
            pruner.step()
        return list(pruner.pruning_history())

    def _kept(self, history: list[Any]) -> dict[str, Tensor]:
        """Return for each parameter the places (in its flat form) that removals leave.

        A copy whose elements are their own places is pruned alike; float64 counts to 2^53.
        """
        model = copy.deepcopy(self._start.model)
        graph = self._package.DependencyGraph().build_dependency(model, self._start.example_inputs)
        for parameter in model.parameters():
            parameter.data = torch.arange(parameter.numel(), dtype=torch.float64).view(
                parameter.shape
            )
        graph.load_pruning_history(history)
        return {n: p.detach().reshape(-1).long() for n, p in model.named_parameters()}

    def _outputs(self, model: nn.Module) -> list[nn.Module]:
        """Return the modules of `model` that make units which must stay."""
        names = {
            piece.tensor.rpartition(".")[0]
            for family in self._start.anatomy.units
            if not family.removable
            for piece in family.produced
        }
        return [model.get_submodule(name) for name in sorted(names)]


def _weights(model: nn.Module) -> int:
    return sum(model.get_parameter(n).numel() for n in neurons.weight_layers(model))
