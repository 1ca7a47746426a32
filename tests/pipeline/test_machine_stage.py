"""The stage that says what machine this is."""

from __future__ import annotations

import json
from types import SimpleNamespace


def test_the_stage_writes_the_same_bytes_until_the_machine_is_another(tmp_path, monkeypatch):
    from tl1bench.measuring import machine
    from tl1bench.pipeline.stages import machine as stage

    config = SimpleNamespace(build=tmp_path / "build")
    file = config.build / "machine.json"
    stage.run(config)
    before = file.read_bytes()
    stage.run(config)
    assert file.read_bytes() == before
    assert json.loads(before) == {**machine.identity(), "providers": list(stage.available())}
    monkeypatch.setattr(stage, "available", lambda: ("abacus",))
    stage.run(config)
    assert file.read_bytes() != before
