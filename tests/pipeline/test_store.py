import os
import time

import pytest

from tl1bench.errors import Tl1benchError
from tl1bench.pipeline import store


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def make(digest: str) -> None:
    store.piece(digest).mkdir(parents=True)
    (store.piece(digest) / "weights").write_text(digest)


def test_outputs_are_assembled_from_pieces_and_old_runs_go(tmp_path) -> None:
    make("aa1")
    make("bb2")
    store.assemble(tmp_path / "out", [("run-a", "aa1")])
    store.assemble(tmp_path / "out", [("run-b", "bb2")])
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["run-b"]
    assert (tmp_path / "out/run-b/weights").read_text() == "bb2"


def test_a_cell_is_worked_on_by_one_process_only() -> None:
    def work() -> None:
        with store.locked("cell"):
            pass

    with store.locked("cell"), pytest.raises(Tl1benchError, match="working on cell"):
        work()
    work()


def test_only_pieces_unused_for_long_are_swept() -> None:
    make("aa1")
    make("bb2")
    month_ago = time.time() - 31 * 24 * 3600
    os.utime(store.piece("aa1"), (month_ago, month_ago))
    store.sweep()
    assert not store.piece("aa1").exists()
    assert store.piece("bb2").exists()
