"""Where a path has got to, on disk: weights and momenta in their original shapes, and numbers."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from tl1bench import files
from tl1bench.compaction import archive
from tl1bench.errors import ConfigError
from tl1bench.optimizers import ProximalOptimizer
from tl1bench.training.plan import Plan
from tl1bench.training.points import Point
from tl1bench.training.shrinker import Shrinker
from tl1bench.training.slicing import Axis

_NUMBERS = (
    *("step", "level", "error", "nonzero_weights", "weights", "macs", "architecture"),
    *("loss", "seconds"),
)


@dataclass
class Progress:
    """How far a path is: `step` steps are finished, `points` found; `ended` says why no more.

    `seconds` are those of the dense start and all steps so far; `course` is a row a step.
    """

    iterations: int
    dense_error: float
    seconds: float = 0.0
    course: list[dict[str, float]] = field(default_factory=list)
    step: int = 0
    points: list[Point] = field(default_factory=list)
    ended: str = ""
    method: dict[str, float] = field(default_factory=dict)
    tensors: Mapping[str, Tensor] = field(default_factory=dict)

    @property
    def kept(self) -> dict[Axis, Tensor]:
        """The original positions that were left of every sliced axis (tensor, dim)."""
        found = {}
        for key, index in self.tensors.items():
            kind, _, rest = key.partition(":")
            if kind == "kept":
                dim, _, name = rest.partition(":")
                found[name, int(dim)] = index
        return found


class Checkpoint:
    """The folder of one path: a folder for each finished step, whole or not at all.

    `described` is what the path is made with; another one's folder is refused.
    """

    def __init__(self, folder: Path, described: Mapping[str, Any]) -> None:
        self._folder, self._described = folder, json.loads(json.dumps(described))

    def read(self) -> Progress | None:
        """Return the last finished step; None where there is none.

        Raises
        ------
        ConfigError
            The folder holds another path.
        """
        steps = sorted(self._folder.glob("step-*"))
        if not steps:
            return None
        content = files.read_json(steps[-1] / "progress.json")
        described = content["described"]
        # A setting that is younger than the folder was as it is when it is not given.
        described["plan"] = {**dataclasses.asdict(Plan()), **described["plan"]}
        if described != self._described:
            raise ConfigError(
                f"{self._folder} holds a path of another network, method or plan: "
                "give another folder, or delete this one."
            )
        points = [
            Point(
                **_numbers(row),
                network=archive.read(self._network(row["step"])),
                state=load_file(self._state(row["step"])),
            )
            for row in content["points"]
        ]
        return Progress(
            iterations=content["iterations"],
            dense_error=content["dense_error"],
            seconds=content["seconds"],
            course=content["course"],
            step=content["step"],
            points=points,
            ended=content["ended"],
            method=content["method"],
            tensors=load_file(steps[-1] / "state.safetensors"),
        )

    def write(
        self,
        progress: Progress,
        model: nn.Module,
        optimizer: ProximalOptimizer,
        shrinker: Shrinker,
    ) -> None:
        """Keep a finished step; its predecessor goes once it is there.

        Parameters
        ----------
        progress
            How far the path is.
        model, optimizer
            As they are, units cut out.
        shrinker
            What was cut out of them.
        """
        old = sorted(self._folder.glob("step-*"))
        for point in progress.points:
            target = self._network(point.step)
            if not target.is_file():
                with files.atomic_path(self._state(point.step)) as draft:
                    save_file(dict(point.state), draft)
                archive.write(point.network, target)
        with files.atomic_path(self._folder / f"step-{progress.step:03d}") as draft:
            draft.mkdir()
            save_file(_tensors(model, optimizer, shrinker), draft / "state.safetensors")
            files.write_json(draft / "progress.json", self._content(progress))
        for folder in old:
            if folder.name != f"step-{progress.step:03d}":
                files.remove(folder)

    def _network(self, step: int) -> Path:
        return self._folder / "networks" / f"{step:03d}.safetensors"

    def _state(self, step: int) -> Path:
        return self._folder / "states" / f"{step:03d}.safetensors"

    def _content(self, progress: Progress) -> dict[str, Any]:
        return {
            "described": self._described,
            "iterations": progress.iterations,
            "dense_error": progress.dense_error,
            "seconds": progress.seconds,
            "course": progress.course,
            "step": progress.step,
            "ended": progress.ended,
            "method": progress.method,
            "points": [{k: _finite(getattr(p, k)) for k in _NUMBERS} for p in progress.points],
        }


def resume(progress: Progress, model: nn.Module, optimizer: ProximalOptimizer) -> None:
    """Put weights and momenta of a finished step into a network and optimiser of full size.

    Parameters
    ----------
    progress
        What `Checkpoint.read` returned.
    model
        A network of full size.
    optimizer
        Its optimiser.
    """
    prefix = "model:"
    state = {k.removeprefix(prefix): v for k, v in progress.tensors.items() if k.startswith(prefix)}
    model.load_state_dict(state)
    parameters = dict(model.named_parameters())
    for key, value in progress.tensors.items():
        kind, _, rest = key.partition(":")
        if kind == "optimizer":
            entry, _, name = rest.partition(":")
            own = parameters[name]
            if value.shape == own.shape:
                value = torch.empty_like(own).copy_(value)
            optimizer.state[own][entry] = value


def _tensors(
    model: nn.Module, optimizer: ProximalOptimizer, shrinker: Shrinker
) -> dict[str, Tensor]:
    found = {f"model:{n}": t for n, t in shrinker.full_state().items()}
    entries: dict[str, dict[str, Tensor]] = {}
    for name, parameter in model.named_parameters():
        for entry, value in optimizer.state.get(parameter, {}).items():
            if isinstance(value, Tensor) and entry != "mask":  # masks are made again
                entries.setdefault(entry, {})[name] = value
    for entry, values in entries.items():
        for name, value in shrinker.full(values).items():
            found[f"optimizer:{entry}:{name}"] = value
    found |= {f"kept:{dim}:{name}": index for (name, dim), index in shrinker.kept.items()}
    return {name: t.detach().contiguous().clone() for name, t in found.items()}


def _numbers(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: math.nan if row[name] is None else row[name] for name in _NUMBERS}


def _finite(value: Any) -> Any:
    # JSON has no NaN.
    return None if isinstance(value, float) and math.isnan(value) else value
