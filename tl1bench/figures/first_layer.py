"""First-layer weights of the dense network and of the one integrated TL1 leaves."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from tl1bench.figures._style import MUTED, WIDTH
from tl1bench.results import DENSE, HERO, first_selected
from tl1bench.results.evidence import Evidence
from tl1bench.results.printed import display

_SHOWN = 20


def draw(table: pd.DataFrame, evidence: Evidence) -> Figure:
    """Draw filters of convolutions; for dense layers how strongly each pixel is used, and rows.

    Reads `problem`, `method`, `step`, `seed` and `selected`.
    """
    count = len(evidence.problems)
    # The headings stand at the very top of their rows: a little more room than usual.
    room = ConstrainedLayoutEngine(h_pad=0.08)
    figure = Figure(figsize=(WIDTH, 1.4 * count), layout=room)
    rows = figure.subfigures(count, 2, squeeze=False)
    for row, problem in zip(rows, evidence.problems, strict=True):
        for half, method in zip(row, (DENSE, HERO), strict=True):
            name = f"{problem}: {display(method)}"
            _half(half, _first_weight(table, problem, method, evidence), name)
    return figure


def _first_weight(
    table: pd.DataFrame, problem: str, method: str, evidence: Evidence
) -> np.ndarray | None:
    """Return the first layer's weights of the selected run, or None when they are not at hand."""
    found = first_selected(table, problem, method)
    if found is None:
        return None
    tensors = evidence.weights(found)
    layers = evidence.layers(found)
    names = [layer["name"] for layer in layers if layer["weights_before"] > 0]
    candidates = [name for n in names[:1] for name in (n, f"{n}.weight") if name in tensors]
    return tensors[candidates[0]].astype(np.float64) if candidates else None


def _half(half: SubFigure, weight: np.ndarray | None, name: str) -> None:
    if weight is None:
        panel = half.subplots()
        panel.set_axis_off()
        panel.set_title(name, size=8)
        panel.text(0, 0.5, "weights not at hand", transform=panel.transAxes, color=MUTED)
        return
    images, strength = as_images(weight)
    kernels = weight.ndim == 4
    panels = half.subplots(1, 2 - kernels, squeeze=False, width_ratios=(1, 2.4)[kernels:])[0]
    for panel in panels:
        panel.set_axis_off()
        panel.set_anchor("W")
    panels[0].set_title(name, size=8)
    if not kernels:
        _usage(panels[0], strength)
    if images is not None:
        live = int(np.any(weight.reshape(len(weight), -1) != 0, axis=1).sum())
        _units(panels[-1], images, live)


def _usage(panel: Axes, strength: np.ndarray) -> None:
    if strength.ndim == 2:
        panel.imshow(strength, cmap="magma", vmin=0, interpolation="nearest", clip_on=False)
    else:
        panel.bar(range(len(strength)), strength, color=MUTED)
    _note(panel, f"{int((strength > 0).sum())} of {strength.size} inputs read")


def _units(panel: Axes, images: np.ndarray, live: int) -> None:
    # The strongest first: after pruning most are zero, and a fixed choice would show nothing.
    order = np.argsort(-np.linalg.norm(images.reshape(len(images), -1), axis=1), kind="stable")
    shown = images[order[:_SHOWN]]
    limit = float(np.abs(shown).max()) or 1.0
    panel.imshow(
        _mosaic(shown),
        cmap="RdBu_r",
        vmin=-limit,
        vmax=limit,
        interpolation="nearest",
        clip_on=False,
    )
    rest = "" if len(shown) == len(images) else f", the {len(shown)} strongest shown"
    _note(panel, f"{live} of {len(images)} units live{rest}")


def _note(panel: Axes, text: str) -> None:
    panel.text(0, -0.05, text, transform=panel.transAxes, ha="left", va="top", size=6.5)


def as_images(weight: np.ndarray) -> tuple[np.ndarray | None, np.ndarray]:
    """Return (one image a unit or None, the norm of what leaves each input position).

    A convolution (out, in, kh, kw) gives filters averaged over input channels; a matrix (out, in)
    rows laid out as a square image when `in`, or a third of it, is a square number.
    """
    if weight.ndim == 4:
        return weight.mean(axis=1), np.linalg.norm(weight, axis=(0, 1))
    inputs = weight.shape[1]
    for channels in (1, 3):
        side = math.isqrt(inputs // channels)
        if channels * side * side == inputs:
            images = weight.reshape(len(weight), channels, side, side)
            return images.mean(axis=1), np.linalg.norm(images, axis=(0, 1))
    return None, np.linalg.norm(weight, axis=0)


def _mosaic(images: np.ndarray) -> np.ndarray:
    columns = min(8, len(images)) if len(images) <= 8 else math.ceil(len(images) / 2)
    rows = math.ceil(len(images) / columns)
    height, width = images.shape[1:]
    canvas = np.full((rows * (height + 1) - 1, columns * (width + 1) - 1), np.nan)
    for i, image in enumerate(images):
        top, left = (i // columns) * (height + 1), (i % columns) * (width + 1)
        canvas[top : top + height, left : left + width] = image
    return canvas


def caption(table: pd.DataFrame, evidence: Evidence) -> str:
    """Return what is shown and which run."""
    found = [p for p in evidence.problems if first_selected(table, p, HERO) is not None]
    return (
        "First-layer weights of the dense network (left) and of the network that integrated TL1 "
        f"leaves (right), same seed, on {', '.join(found) or 'no problem'}. Maps, for fully "
        "connected networks: norm of all weights that leave an input; black is never read. Tiles: "
        "the weights of single units, strongest first, red positive, blue negative, pale zero."
    )
