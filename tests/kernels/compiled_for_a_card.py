"""Compile the passes for a card that is not here, and print what came out of each as JSON."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from typing import Any

import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from tl1bench.kernels import _card_passes, card

HOPPER = GPUTarget("cuda", 90, 32)
POINTERS = ("w", "g", "v", "partial", "factor")
NUMBERS = ("keep", "share", "decay", "lr", "t", "a", "hi", "lo", "b")
SIZES = ("kept", "gone", "step_kept", "step_gone", "span", "width")


def compiled(kernel: Any, constants: dict[str, Any]) -> dict[str, Any]:
    """Compile as for sizes and addresses that are multiples of 16."""
    types = dict.fromkeys(POINTERS, "*fp32") | dict.fromkeys(SIZES, "i32")
    types |= dict.fromkeys(NUMBERS, "fp32")
    names = kernel.arg_names
    even = [n for n in names if n in (*POINTERS, *SIZES) and n not in constants]
    source = ASTSource(
        kernel,
        {n: "constexpr" if n in constants else types[n] for n in names},
        constexprs={(names.index(n),): value for n, value in constants.items()},
        attrs={(names.index(n),): [["tt.divisibility", 16]] for n in even if n != "width"},
    )
    text = triton.compile(source, target=HOPPER).asm["ptx"]
    return {
        "kernel": kernel.__name__,
        "constants": {n: v for n, v in constants.items() if n.isupper()},
        "wide_loads": text.count("ld.global.v4"),
        "narrow_loads": text.count("ld.global.b32"),
        "rounded_roots": text.count("sqrt.rn.f32"),
        "other_roots": text.count("sqrt.approx"),
    }


def variants() -> Iterator[dict[str, Any]]:
    """Yield each way in which a pass is launched: groups or members side by side, every prox."""
    tiles = (
        {"step_kept": 1, "BLOCK_KEPT": card._LINE, "BLOCK_GONE": card._TILE // card._LINE},
        {"step_gone": 1, "BLOCK_KEPT": 2, "BLOCK_GONE": card._TILE // 2},
    )
    for tile in tiles:
        for kind in range(3):
            for move, momentum in ((True, True), (True, False), (False, False)):
                moves = {"MOVE": move, "MOMENTUM": momentum, "DECAY": move, "SQUARES": True}
                yield compiled(_card_passes.first, {**tile, **moves, "KIND": kind})
            yield compiled(_card_passes.second, {**tile, "width": 1, "KIND": kind})


if __name__ == "__main__":
    sys.stdout.write(json.dumps(list(variants())) + "\n")
