"""An ATen operation between two layers, called as its schema allows: arguments found by trying."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn

WIDTH = 8
SHAPES = ((WIDTH, 6, 6), (WIDTH, 6), (WIDTH,), (WIDTH, 4, 4, 4))
LAYERS = {2: nn.Linear, 3: nn.Conv1d, 4: nn.Conv2d, 5: nn.Conv3d}
# Worth a try, by the argument's type in the schema; names are of values (see `Call`).
GUESSES: dict[str, tuple[Any, ...]] = {
    "Tensor": ("vector", "other", "matrix", "filters1", "filters2", "filters3"),
    "List[Tensor]": ("both",),
    "int": (1, 2),
    "List[int]": ([2], [2, 2], [2, 3], [1, 1], [3, 5], [1], [WIDTH], [2, 2, 2], [0, 2, 3, 1],
                  [0, 2, 1], [-1, 2, 4, 6, 6], [-1, 36], [-1, 4, 12], [-1, 2, 4],
                  [-1, WIDTH, 6, 6]),
    "float": (0.5,),
    "number": (0.5,),
    "bool": (False, True),
}  # fmt: skip
# What an argument's name says of it: rows of a known matrix, where each bag of them starts, states.
NAMED: dict[str, tuple[Any, ...]] = {
    "indices": ("codes", "listed"), "index": ("codes",), "offsets": ("starts",),
}  # fmt: skip
# A wrong number of weights is no error of torch here but the end of the process.
RECURRENT: dict[str, tuple[Any, ...]] = {
    "params": ("gates4", "gates3", "gates1"), "hx": ("states", "state", "both", "other"),
    "has_biases": (True,), "num_layers": (1,), "dropout": (0.0,), "train": (False,),
    "bidirectional": (False,), "batch_first": (True,),
    **dict.fromkeys(("w_ih", "w_hh"), ("again1", "again3", "again4")),
}  # fmt: skip
TRIES = 200
NO_MATTER = ("dtype", "layout", "device", "memory_format", "pin_memory", "non_blocking", "copy")


@dataclass(frozen=True, eq=False)
class Call:
    """One way to call an operation; strings stand for what two layers compute or for weights."""

    target: Any
    shape: tuple[int, ...]
    given: dict[str, Any]

    def __call__(self, live: Tensor, other: Tensor, weights: dict[str, Tensor]) -> Any:
        """Call it, and take the first of several results."""
        codes = (live.flatten(1)[:, 2].abs() * 100).long() % WIDTH
        known = {
            "live": live, "other": other, "both": [live, other], "codes": codes, "listed": [codes],
            "starts": torch.arange(live.shape[0]), **weights, **_layers(live.shape[0], weights),
        }  # fmt: skip
        given = {
            name: known[value] if isinstance(value, str) else value
            for name, value in self.given.items()
        }
        found = self.target(**given)
        return found[0] if isinstance(found, (tuple, list)) else found


class Around(nn.Module):
    """Layers with constant channels, the operation, and a reader of every other channel."""

    def __init__(self, call: Call, activation: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.call, self.activation = call, activation
        self.a, self.b = (_layer(len(call.shape) + 1, 3, WIDTH) for _ in range(2))
        self.known = nn.ParameterDict(_weights())
        with torch.no_grad():
            # In every half and quarter some are constant and some are not.
            for first, constant in ((self.a, [0, 1, 4, 7]), (self.b, [0, 2, 4, 5])):
                first.weight[constant] = 0
                first.bias[constant] = torch.tensor([0.0, 0.7, -0.4, 0.3])
            found = self.middle(torch.zeros(2, 3, *call.shape[1:]))
            self.last = _layer(found.dim(), found.shape[-1 if found.dim() == 2 else 1], 2)
            self.last.weight[:, ::2] = 0

    def middle(self, x: Tensor) -> Tensor:
        """Return the operation's result."""
        live, other = self.activation(self.a(x)), self.activation(self.b(x))
        return self.call(live, other, dict(self.known.items()))

    def forward(self, x: Tensor) -> Tensor:
        """Return what the reader makes of it."""
        return self.last(self.middle(x))


def _layer(ndim: int, inputs: int, outputs: int) -> nn.Module:
    return LAYERS[ndim](inputs, outputs, *([] if ndim == 2 else [1]))


def _weights() -> dict[str, Tensor]:
    """A number a channel, a matrix, filters over one to three dimensions, gates of units."""
    draw = torch.Generator().manual_seed(0)
    shapes = {"vector": (WIDTH,), "matrix": (WIDTH, WIDTH)}
    shapes |= {f"filters{n}": (WIDTH, WIDTH, *[1] * n) for n in (1, 2, 3)}
    shapes |= {"entering": (4 * WIDTH, 6), "again": (4 * WIDTH, WIDTH), "biases": (4 * WIDTH,)}
    return {name: torch.rand(shape, generator=draw) + 0.5 for name, shape in shapes.items()}


def network(call: Call) -> Around:
    """Return the call between two layers, with values for which it is a number."""
    for activation in (torch.tanh, torch.sigmoid):
        torch.manual_seed(0)
        found = Around(call, activation).double().eval()
        with torch.no_grad():
            if found(torch.randn(5, 3, *call.shape[1:], dtype=torch.float64)).isfinite().all():
                break
    return found


@cache
def calls(name: str) -> tuple[Call, ...]:
    """Return at most two calls of `aten.<name>` that run, of several overloads and shapes."""
    packet = getattr(torch.ops.aten, name)
    targets = [getattr(packet, overload) for overload in packet.overloads()]
    found: list[Call] = []
    for target, shape in itertools.product(targets, SHAPES):
        if not target._schema.is_mutable:
            found += list(itertools.islice(_running(target, shape), len(found) % 3 + 1))[-1:]
    return tuple(found[:: -(-len(found) // 2)] if found else ())


def _running(target: Any, shape: tuple[int, ...]) -> Iterator[Call]:
    arguments = {a.name: a for a in target._schema.arguments}
    needed = [name for name, a in arguments.items() if not a.has_default_value()]
    # What has a default is left to the call at first, then tried as well.
    for chosen in (needed, list(arguments)):
        looks_up = any(name in NAMED and "Tensor" in str(arguments[name].type) for name in chosen)
        choices = [
            _guesses(arguments[name], name == next(iter(arguments)), looks_up, "hx" in chosen)
            for name in chosen
        ]
        for values in itertools.islice(itertools.product(*choices), TRIES):
            given = zip(chosen, values, strict=True)
            call = Call(target, shape, {name: v for name, v in given if v is not ...})
            if _runs(call):
                yield call


def _layers(count: int, weights: dict[str, Tensor]) -> dict[str, Any]:
    """Weights of recurrent layers and cells with so many gates, and zeros to start from."""
    names, start = ("entering", "again", "biases", "biases"), weights["again"].new_zeros
    found: dict[str, Any] = {
        f"gates{n}": [weights[name][: n * WIDTH] for name in names] for n in (1, 3, 4)
    }
    found |= {f"again{n}": weights["again"][: n * WIDTH] for n in (1, 3, 4)}
    state = start(1, count, WIDTH)
    return {**found, "state": state, "states": [state, state]}


def _guesses(argument: Any, first: bool, looks_up: bool, runs_on: bool) -> list[Any]:
    """Return values worth a try; `...` leaves it to the call."""
    kind, optional = str(argument.type), str(argument.type).startswith("Optional[")
    kind = kind.removeprefix("Optional[").removesuffix("]") if optional else kind
    if first and kind == "Tensor":
        return ["matrix"] if looks_up else ["live"]
    if looks_up and argument.name == "dim":
        return [0]
    default = [...] if argument.has_default_value() else []
    # Types of numbers, devices and layouts of memory say nothing about channels.
    guesses = () if argument.name in NO_MATTER else GUESSES.get(kind, ())
    guesses = NAMED.get(argument.name, guesses) if looks_up else guesses
    guesses = RECURRENT.get(argument.name, guesses) if runs_on else guesses
    return [*default, *guesses, *([None] if optional and not default else [])]


def _runs(call: Call) -> bool:
    """Whether the call works sample by sample for batches of any size, and has a reader."""
    draw = torch.Generator().manual_seed(1)
    x, y = (torch.rand(5, *call.shape, generator=draw) for _ in range(2))
    try:
        whole, part = call(x, y, _weights()), call(x[:2], y[:2], _weights())
    except (RuntimeError, TypeError, IndexError, ValueError, NotImplementedError):
        return False
    return (
        isinstance(whole, Tensor)
        and whole.is_floating_point()
        and whole.dim() in LAYERS
        and whole.shape[:1] == (5,)
        and whole.numel() > 0
        and part.shape == (2, *whole.shape[1:])
        and torch.allclose(whole[:2], part)
    )
