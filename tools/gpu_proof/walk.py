"""One path on real data: ResNet-20 or LeNet-5 made smaller step by step on the device."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

import tl1bench as tl
from tl1bench import datasets
from tl1bench.errors import DataError, Tl1benchError
from tl1bench.training import Augmentation, Examples, error_pct
from tl1bench.training.epochs import Epochs
from tools.gpu_proof.clock import peak_mib
from tools.gpu_proof.scale import Proof, Row, Scale

# The first that is found in the folder of data; the digits come with scikit-learn.
NAMES = ("cifar10", "fashion-mnist", "mnist", "digits")
BATCH, SHARE = 128, 0.9


@dataclass(frozen=True)
class Case:
    """What walks the path, and how."""

    network: str
    options: dict[str, Any] = field(default_factory=dict)
    rate: float = 0.1
    augmentation: Augmentation = field(default_factory=Augmentation)

    @classmethod
    def of(cls, shape: tuple[int, ...], scale: Scale) -> Case:
        """Return what suits inputs of a shape: photographs, the small network's, or any."""
        if shape == (3, 32, 32):
            return cls("resnet20", rate=0.5, augmentation=Augmentation(4, flip=True))
        return cls(scale.network, scale.options) if shape == scale.shape else cls("mlp")


def run(proof: Proof) -> Iterator[Row]:
    """Yield a row a point; networks go to the folder."""
    scale, began = proof.scale, time.monotonic()
    data = _read(proof)
    held = int(0.85 * len(data.x_train))
    if not scale.card:
        held = min(held, 2 * BATCH)
    learnt, judged = (
        Examples.of(data.x_train[part], data.y_train[part], data.scale, scale.device)
        for part in (slice(held), slice(held, None))
    )
    case = Case.of(data.input_shape, scale)
    epochs = Epochs(learnt, batch=BATCH, augmentation=case.augmentation)

    def train_epoch(model: nn.Module, optimizer: torch.optim.Optimizer) -> float:
        if time.monotonic() - began > SHARE * proof.seconds:
            raise Tl1benchError("the time for the path is over")
        return epochs(model, optimizer)

    model = tl.models.build(
        case.network, data.input_shape, data.outputs, seed=0, **case.options
    ).to(scale.device)
    example, _ = learnt.batch(torch.arange(4, device=scale.device))
    points = tl.path(
        model, tl.penalties.load("integrated_tl1", a=0.1), train_epoch=train_epoch,
        evaluate=lambda m: error_pct(m, judged), example_inputs=example, lr=case.rate,
        growth=1.6,
        epochs=scale.epochs, branch_epochs=scale.branch_epochs, dense_epochs=scale.epochs,
        branch_below=0.9, margin=5.0 if scale.card else 100.0, steps=scale.steps,
    )  # fmt: skip
    yield {
        "what": f"{data.name}, {case.network}", "dense_error_pct": points.dense_error,
        "ended": points.ended, "seconds": time.monotonic() - began,
        "peak_mib": peak_mib(scale.device),
    }  # fmt: skip
    for point in points:
        yield _point(point, example, proof.folder)


def _point(point: Any, example: torch.Tensor, folder: Path) -> Row:
    """Write a network of the path; return what it is."""
    file = folder / f"step-{point.step:02}.safetensors"
    tl.compact(point.network, example).save(file)
    again = tl.load_compacted(file).to(example.device)
    with torch.no_grad():
        apart = float((again(example) - point.network(example)).abs().max())
    return {
        "what": f"step {point.step}", "level": point.level, "error_pct": point.error,
        "nonzero_weights": point.nonzero_weights, "weights": point.weights, "macs": point.macs,
        "architecture": point.architecture, "seconds": point.seconds, "read_back_differs": apart,
    }  # fmt: skip


def _read(proof: Proof) -> datasets.Dataset:
    root = proof.folder / "data"
    for name in NAMES if proof.scale.card else NAMES[-1:]:
        try:
            if name != "digits" and proof.data is None:
                continue
            datasets.fetch(name, root, None if name == "digits" else proof.data)
            return datasets.read(name, root)
        except DataError:
            continue
    raise DataError(f"none of {', '.join(NAMES)} is in {proof.data}: give --data a folder with one")
