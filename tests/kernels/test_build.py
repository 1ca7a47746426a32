"""Kernels are compiled once, kept, and never needed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

from tl1bench import penalties
from tl1bench.errors import ConfigError
from tl1bench.kernels import build

SOURCE = "int answer(void) { return 42; }"


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TL1BENCH_CACHE", str(tmp_path))
    monkeypatch.delenv("TL1BENCH_COMPILE", raising=False)
    build._library.cache_clear()
    yield tmp_path
    build._library.cache_clear()


def test_a_kernel_is_built_once_and_kept(own_cache: Path) -> None:
    library = build.library(SOURCE)
    assert library is not None
    assert library.answer() == 42
    (kept,) = (own_cache / "kernels").iterdir()
    before = kept.stat().st_mtime_ns
    build._library.cache_clear()
    assert build.library(SOURCE).answer() == 42
    assert kept.stat().st_mtime_ns == before


def test_a_kept_kernel_needs_no_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    build.library(SOURCE)
    build._library.cache_clear()
    monkeypatch.setenv("CC", "/no/such/compiler")
    assert build.library(SOURCE).answer() == 42


def test_a_process_looks_once(own_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = build.library(SOURCE)
    monkeypatch.setenv("TL1BENCH_CACHE", str(own_cache / "elsewhere"))
    assert build.library(SOURCE) is first
    assert not (own_cache / "elsewhere").exists()


def test_a_damaged_or_writable_file_is_built_anew(own_cache: Path) -> None:
    build.library(SOURCE)
    (kept,) = (own_cache / "kernels").iterdir()
    kept.unlink()  # the loaded file itself must stay as it is
    kept.write_bytes(b"nonsense")
    build._library.cache_clear()
    assert build.library(SOURCE).answer() == 42
    kept.chmod(0o777)
    assert not build._is_ours(kept)


def test_without_a_compiler_torch_does_the_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CC", "/no/such/compiler")
    assert build.library(SOURCE) is None
    z = torch.randn(1000, generator=torch.Generator().manual_seed(0))
    alone = penalties.load("tl1").prox(z, 1e-4)
    monkeypatch.delenv("CC")
    build._library.cache_clear()
    torch.testing.assert_close(penalties.load("tl1").prox(z, 1e-4), alone, rtol=1e-6, atol=1e-7)


def test_always_makes_a_missing_compiler_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CC", "/no/such/compiler")
    monkeypatch.setenv("TL1BENCH_COMPILE", "always")
    with pytest.raises(ConfigError, match="no working C compiler"):
        build.library(SOURCE)


def test_never_compiles_nothing(own_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TL1BENCH_COMPILE", "never")
    assert build.library(SOURCE) is None
    assert not list(own_cache.iterdir())


def test_an_unknown_mode_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TL1BENCH_COMPILE", "sometimes")
    with pytest.raises(ConfigError, match="auto, always, never"):
        build.library(SOURCE)


def test_a_cache_that_cannot_be_written_is_no_obstacle(
    own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blocked = own_cache / "file"
    blocked.write_text("not a folder")
    monkeypatch.setenv("TL1BENCH_CACHE", str(blocked))
    assert build.library(SOURCE).answer() == 42
    assert os.environ["TL1BENCH_CACHE"] == str(blocked)
