"""What runs on a card: its passes by Triton's interpreter, and never without being asked for."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import types
from pathlib import Path

import pytest
import torch
from checkouts import ROOT
from interpreting import run_interpreted

from tl1bench.kernels import card, tl1

HERE = Path(__file__).parent


def test_the_passes_hold_in_tritons_interpreter() -> None:
    pytest.importorskip("triton")
    run_interpreted(HERE / "interpreted.py")


def test_the_passes_compile_for_a_card_with_wide_loads_and_rounded_roots(tmp_path: Path) -> None:
    pytest.importorskip("triton")
    plain = {k: v for k, v in os.environ.items() if k != "TRITON_INTERPRET"}
    done = subprocess.run(
        [sys.executable, str(HERE / "compiled_for_a_card.py")],
        capture_output=True, text=True, check=False,
        env={**plain, "PYTHONPATH": str(ROOT), "TRITON_CACHE_DIR": str(tmp_path)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert len(found) == 2 * 3 * 4
    for one in found:
        assert one["wide_loads"] > 0
        assert one["narrow_loads"] <= 1  # the factor of a group
        assert (one["rounded_roots"] > 0) == (one["constants"]["KIND"] == 1)
        assert one["other_roots"] == 0


def test_without_the_interpreter_no_pass_takes_a_tensor_of_the_cpu() -> None:
    told = (
        "import torch, sys; from tl1bench.kernels import card; print(card.takes(torch.ones(2, 2)))"
    )
    quiet = {k: v for k, v in os.environ.items() if k != "TRITON_INTERPRET"}
    done = subprocess.run(
        [sys.executable, "-c", f"{told}; print('triton' in sys.modules)"],
        capture_output=True, text=True, check=True, env={**quiet, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.stdout.split() == ["False", "False"]


def test_tiles_cover_every_weight_once() -> None:
    for rows, n, groups in ((1, 5000, 2), (1, 7, 7), (300, 11, 11), (2, 3000, 1000)):
        shape = card._Shape.of(torch.empty(rows, n), groups)
        assert shape.kept * shape.gone == rows * n
        assert shape.kept == groups * shape.each
        assert shape.block_kept * shape.block_gone <= 2048
        reached = {
            k * shape.step_kept + m * shape.step_gone
            for k in range(shape.kept) for m in range(shape.gone)
        }  # fmt: skip
        assert reached == set(range(rows * n))
        assert shape.span % shape.block_gone == 0


def test_constants_are_those_of_the_kernels_in_c() -> None:
    packed = tl1.packed(0.1, 1e-3)
    assert card.Point.of(packed).constants == tuple(tl1.constants(0.1, 1e-3))
    assert card.Point.of(None) == card.Point()


class Unbuildable:
    """A kernel whose launcher no compiler could build."""

    def __getitem__(self, _grid: object) -> Unbuildable:
        return self

    def __call__(self, *_given: object, **_constants: object) -> None:
        raise RuntimeError("Failed to find C compiler.\nPlease specify via CC")


def test_kernels_that_cannot_be_launched_are_not_used_and_one_sentence_says_why(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    module = types.ModuleType("tl1bench.kernels._card_passes")
    module.second = Unbuildable()  # type: ignore[attr-defined]
    zeros = torch.zeros
    monkeypatch.setattr(torch, "zeros", lambda *size, device: zeros(*size))
    monkeypatch.setattr(card, "_INTERPRETED", False)
    monkeypatch.setitem(sys.modules, module.__name__, module)
    card._passes.cache_clear()
    try:
        with pytest.warns(UserWarning, match="C compiler and Python's headers") as said:
            assert card._passes() is None
        assert card._passes() is None
    finally:
        card._passes.cache_clear()
    assert len(said) == 1
    assert "Failed to find C compiler. Please specify via CC" in str(said[0].message)
