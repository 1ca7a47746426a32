"""How calls that move numbers without changing them are written as ONNX."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import fx

from tl1bench.export.writer import Unsupported, Writer
from tl1bench.tracing.arguments import complete
from tl1bench.tracing.carrying import ORDERS, VIEWS, order


def _reshape(w: Writer, node: fx.Node) -> None:
    source, shape = w.operand_of(node), list(node.meta["val"].shape)
    own = [*source.meta["val"].shape, *[None] * len(shape)]
    # 0 copies a dimension: it stays free without its size being computed.
    sizes = [
        size if isinstance(size, int) else 0 if size is before or str(size) == str(before) else -1
        for size, before in zip(shape, own, strict=False)
    ]
    if sizes.count(-1) > 1 or 0 in shape:
        raise Unsupported
    w.emit(node, "Reshape", [w.name(source), w.integers(sizes)])


def _permute(w: Writer, node: fx.Node) -> None:
    source = w.operand_of(node)
    axes = order(node, source.meta["val"].dim())
    w.emit(node, "Transpose", [w.name(source)], perm=axes)


def _expand(w: Writer, node: fx.Node) -> None:
    source, shape = w.operand_of(node), list(node.meta["val"].shape)
    if not all(isinstance(size, int) for size in shape):
        raise Unsupported
    w.emit(node, "Expand", [w.name(source), w.integers(shape)])


def _place(w: Writer, node: fx.Node) -> None:
    given = complete(node)
    if not isinstance(given["index"], int):
        raise Unsupported
    place = w.constant(f"place_{given['index']}", torch.tensor(given["index"]))
    w.emit(node, "Gather", [w.name(given["self"]), place], axis=int(given["dim"]))


def _looked_up(w: Writer, node: fx.Node) -> None:
    """Write a look-up along one axis."""
    given = complete(node)
    own = [axis for axis, index in enumerate(given["indices"]) if index is not None]
    if len(own) != 1 or given["indices"][own[0]].meta["val"].dtype != torch.int64:
        raise Unsupported
    index = w.name(given["indices"][own[0]])
    w.emit(node, "Gather", [w.name(given["self"]), index], axis=own[0])


MOVES: dict[str, Callable[[Writer, fx.Node], None]] = {
    **dict.fromkeys(VIEWS, _reshape),
    **dict.fromkeys(ORDERS, _permute),
    "expand": _expand, "select": _place, "index": _looked_up,
}  # fmt: skip
