"""No kernel touches memory that is not a plain dense float32 tensor of the size that it expects.

Every entry to C is given every kind of tensor in every place, and shapes that do not fit together.
`make sanitize` runs this file with kernels that a compiler's AddressSanitizer watches.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from checkouts import ROOT
from torch import Tensor, nn

from tl1bench.kernels import group_lasso, linear, memory, momentum, tl1

SHAPE = (6, 4)
_WATCHED = ("memory", "kernels", "crop", "sparse", "direct", "pool", "linear")
THEN = tl1.packed(0.1, 1e-2)
Entry = Callable[..., object]


def moved(p: Tensor, g: Tensor, v: Tensor) -> bool:
    moves = momentum.Moves()
    taken = moves.add(momentum.Momentum(0.9, 0.1, 0.0, 0.1), p, g, v)
    moves.finish_all()
    return taken


def places(w: Tensor) -> linear.Places | None:
    """Return where weights lie, whatever their share."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(linear, "_SHARE", 1.0 * torch.get_num_threads())
        return linear.Places.of(w)


# By name: a call with `count` tensors of SHAPE, of which the first `writes` may change.
ENTRIES: dict[str, tuple[int, int, Entry]] = {
    "tl1, one step": (1, 1, lambda z: tl1.shrink_(z, 0.1, 1e-2)),
    "tl1, a step each": (2, 1, lambda z, s: tl1.shrink_each_(z, s, 0.5, 0.1)),
    "group lasso": (1, 1, lambda z: group_lasso.shorten_([z], 2, 0.1)),
    "group lasso and tl1": (
        2, 2, lambda z, y: group_lasso.shorten_([z, y], 2, 0.1, [THEN, None]),
    ),
    "group lasso, a step each": (
        4, 2, lambda z, y, s, t: group_lasso.shorten_each_([z, y], [s, t], 2, 0.1),
    ),
    "squares": (1, 0, lambda z: group_lasso.column_squares(z) is not None),
    "places": (1, 0, lambda w: places(w) is not None),
    "momentum": (3, 2, lambda p, v, g: moved(p, g, v)),
}  # fmt: skip


@pytest.fixture(autouse=True)
def small_is_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(momentum, "LARGE", 1)


class Odd(Tensor):
    """A tensor whose numbers might lie anywhere."""


def fit() -> dict[str, Callable[[], Tensor]]:
    """Return makers of what kernels may touch, by what it is."""
    return {
        "a tensor": lambda: good(),
        "a parameter": lambda: nn.Parameter(good()),
        "a row of a larger tensor": lambda: torch.rand(3, *SHAPE)[1],
        "lazily cloned": lambda: torch._lazy_clone(good()),
    }


def unfit() -> dict[str, Callable[[], Tensor]]:
    """Return makers of what no kernel may touch, by what it is."""

    def freed() -> Tensor:
        z = good()
        z.untyped_storage().resize_(0)
        return z

    def halved() -> Tensor:
        z = good()
        z.untyped_storage().resize_(z.untyped_storage().nbytes() // 2)
        return z

    def inference() -> Tensor:
        with torch.inference_mode():
            return good()

    pieces = [torch.rand(2, 4), torch.rand(4, 4)]
    return {
        "float64": lambda: good().double(),
        "bfloat16": lambda: good().bfloat16(),
        "complex": lambda: good().to(torch.complex64),
        "integers": lambda: torch.ones(SHAPE, dtype=torch.int32),
        "a subclass": lambda: good().as_subclass(Odd),
        "meta": lambda: good().to("meta"),
        "sparse": lambda: good().to_sparse(),
        "sparse rows": lambda: good().to_sparse_csr(),
        "mkldnn": lambda: good().to_mkldnn(),
        "quantised": lambda: torch.quantize_per_tensor(good(), 0.1, 0, torch.qint8),
        "nested": lambda: torch.nested.nested_tensor(pieces),
        "jagged": lambda: torch.nested.nested_tensor(pieces, layout=torch.jagged),
        "of inference mode": inference,
        "negated by a bit": lambda: torch._neg_view(good()),
        "zeros without memory": lambda: torch._efficientzerotensor(SHAPE),
        "without its memory": freed,
        "without half of its memory": halved,
        "expanded": lambda: good()[:1].expand(SHAPE),
        "strided": lambda: torch.rand(6, 8)[:, ::2],
        "overlapping": lambda: torch.rand(12).as_strided(SHAPE, (1, 1)),
        "empty": lambda: torch.empty(0, 4),
    }


def good(seed: int = 0) -> Tensor:
    return torch.rand(SHAPE, generator=torch.Generator().manual_seed(seed)) + 0.1


def holding(t: Tensor) -> bytes | None:
    """Return the bytes that a tensor's memory holds, where it has any."""
    try:
        return bytes(t.untyped_storage()) if not t.is_meta and not t._is_zerotensor() else None
    except (NotImplementedError, RuntimeError):
        return None


@pytest.mark.parametrize("entry", ENTRIES)
@pytest.mark.parametrize("kind", unfit())
def test_no_kernel_touches_what_is_no_plain_dense_tensor(entry: str, kind: str) -> None:
    count, _, call = ENTRIES[entry]
    for place in range(count):
        tensors = [good(seed) for seed in range(count)]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tensors[place] = unfit()[kind]()
        before = [holding(t) for t in tensors]
        with torch.no_grad():
            assert call(*tensors) is False
        assert [holding(t) for t in tensors] == before


@pytest.mark.parametrize("entry", ENTRIES)
@pytest.mark.parametrize("kind", fit())
def test_kernels_touch_plain_tensors_and_nothing_beside_them(entry: str, kind: str) -> None:
    count, writes, call = ENTRIES[entry]
    if not tl1.shrink_(torch.ones(1), 0.1, 1e-2):
        pytest.skip("no C compiler here")
    for place in range(count):
        tensors = [good(seed) for seed in range(count)]
        tensors[place] = fit()[kind]()
        before = [t.detach().clone() for t in tensors]
        around = [t.untyped_storage().nbytes() for t in tensors]
        versions = [t._version for t in tensors]
        with torch.no_grad():
            assert call(*tensors) is True
        assert around == [t.untyped_storage().nbytes() for t in tensors]
        for i, (t, old, version) in enumerate(zip(tensors, before, versions, strict=True)):
            assert torch.equal(t, old) == (i >= writes)
            # Autograd must see that what it saved for a backward pass is no longer there.
            assert (t._version > version) == (i < writes)


# The parts of groups may differ in size.
ALIKE = [e for e, (count, _, _) in ENTRIES.items() if count > 1 and e != "group lasso and tl1"]
SHAPES = [(4, 6), (5, 4), (7, 4), (6, 1), (6, 3), (24,), (6, 2, 2), (1, 24)]


@pytest.mark.parametrize("entry", ALIKE)
def test_sizes_that_do_not_match_are_left_alone(entry: str) -> None:
    count, _, call = ENTRIES[entry]
    for place in range(count):
        for shape in SHAPES:
            tensors = [good(seed) for seed in range(count)]
            tensors[place] = torch.rand(shape)
            before = [holding(t) for t in tensors]
            assert call(*tensors) is False, (place, shape)
            assert [holding(t) for t in tensors] == before


@pytest.mark.parametrize("groups", [-1, 0, 3, 5, 8])
def test_groups_that_do_not_divide_the_columns_are_left_alone(groups: int) -> None:
    z = good()
    assert not group_lasso.shorten_([z], groups, 0.1)
    assert not group_lasso.shorten_each_([z], [good()], groups, 0.1)
    assert not group_lasso.shorten_([], groups, 0.1)
    assert not group_lasso.shorten_each_([], [], groups, 0.1)
    assert torch.equal(z, good())


@pytest.mark.parametrize("entry", [e for e, (count, _, _) in ENTRIES.items() if count > 1])
def test_what_shares_memory_is_left_alone(entry: str) -> None:
    count, _, call = ENTRIES[entry]
    for first in range(count):
        for second in range(first + 1, count):
            room = torch.rand(40)
            tensors = [good(seed) for seed in range(count)]
            tensors[first], tensors[second] = room[:24].view(SHAPE), room[16:].view(SHAPE)
            before = room.clone()
            assert call(*tensors) is False
            assert torch.equal(room, before)


def test_constants_are_five_numbers_or_nothing() -> None:
    if not tl1.shrink_(torch.ones(1), 0.1, 1e-2):
        pytest.skip("no C compiler here")
    with pytest.raises(TypeError):
        group_lasso.shorten_([good()], 2, 0.1, [(ctypes.c_float * 2)(0.0, 1.0)])


def test_what_autograd_would_follow_is_left_to_torch() -> None:
    z = good().requires_grad_()
    assert not tl1.shrink_(z, 0.1, 1e-2)
    seen = []

    def loss(w: Tensor) -> Tensor:
        seen.append(memory.plain(w))
        return w.square().sum()

    torch.func.grad(loss)(good())
    torch.func.vmap(loss)(good())
    assert seen == [False, False]


def test_a_backward_pass_over_weights_that_c_changed_is_an_error_as_in_torch() -> None:
    w = good().requires_grad_()
    loss = w.square().sum()
    with torch.no_grad():
        if not tl1.shrink_(w, 0.1, 1e-2):
            pytest.skip("no C compiler here")
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


@pytest.mark.slow
def test_the_address_sanitizer_finds_nothing(tmp_path: Path) -> None:
    """Run this file's tests and the kernels' with kernels that check every access."""
    gcc = shutil.which("gcc")
    if gcc is None:
        pytest.skip("no gcc here")
    libraries = []
    for name in ("libasan.so", "libstdc++.so.6"):  # exceptions of torch pass through the second
        asked = [gcc, f"-print-file-name={name}"]
        found = subprocess.run(asked, capture_output=True, text=True, check=True).stdout.strip()
        if not Path(found).is_absolute():
            pytest.skip(f"gcc has no {name} here")
        libraries.append(found)
    compiler = tmp_path / "cc"
    compiler.write_text(f'#!/bin/sh\nexec {gcc} -fsanitize=address -fno-common -g "$@"\n')
    compiler.chmod(0o700)
    environment = {
        **os.environ,
        "CC": str(compiler),
        "LD_PRELOAD": " ".join(libraries),
        "ASAN_OPTIONS": "detect_leaks=0",  # Python and torch leave memory to the end on purpose
        "TL1BENCH_CACHE": str(tmp_path / "cache"),
        "TL1BENCH_COMPILE": "always",
    }

    def watched(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, *arguments], env=environment, cwd=ROOT, capture_output=True, text=True
        )

    reckless = (
        "import torch; from tl1bench.kernels import build, tl1;"
        "f = build.function('tl1.c', 'tl1', tl1._ONE_STEP);"
        "z = torch.ones(16); f(z.data_ptr(), 17, tl1.packed(0.1, 1e-2))"
    )
    caught = watched("-c", reckless)
    assert caught.returncode != 0
    assert "heap-buffer-overflow" in caught.stderr
    files = [f"tests/kernels/test_{name}.py" for name in _WATCHED]
    done = watched("-m", "pytest", "-q", "-s", "-m", "not slow", "-p", "no:randomly", *files)
    assert "AddressSanitizer" not in done.stdout + done.stderr
    assert done.returncode == 0, done.stdout[-2000:]
