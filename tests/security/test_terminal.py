"""Names on a terminal: shown, never obeyed; neither its own escapes nor the markup that we use."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from checkouts import ROOT
from hostile import NAMES

from tl1bench import cli, config, progress
from tl1bench.cli import _listing
from tl1bench.errors import ConfigError, printable
from tl1bench.measuring.measurement import Measurement


@pytest.mark.parametrize("what", NAMES)
def test_a_name_becomes_one_line_that_says_which_it_is(what: str) -> None:
    shown = printable(NAMES[what])
    assert shown.isprintable()
    if NAMES[what].isprintable():
        assert shown == NAMES[what]
    else:
        assert shown.encode("ascii", "backslashreplace").decode("unicode_escape") == NAMES[what]


@pytest.mark.parametrize("what", NAMES)
def test_an_error_is_one_line_whatever_it_quotes(what: str) -> None:
    assert str(ConfigError(f"There is no {NAMES[what]}.")).isprintable()


@pytest.mark.parametrize("what", NAMES)
def test_a_line_is_said_as_it_stands(what: str, capsys: pytest.CaptureFixture[str]) -> None:
    progress.say(f"Written: {NAMES[what].replace(chr(10), ' ')}\nand more")
    shown = printable(NAMES[what].replace("\n", " "))
    assert capsys.readouterr().out == f"Written: {shown}\nand more\n"


def ended(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> object:
    monkeypatch.setattr("sys.argv", ["tl1bench", *arguments])
    with pytest.raises(SystemExit) as caught:
        cli.main()
    return caught.value.code


@pytest.mark.parametrize("what", NAMES)
def test_the_command_line_ends_in_one_plain_sentence(
    what: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ended(monkeypatch, "list", f"--params=none/{NAMES[what]}") == 2
    told = capsys.readouterr().err
    assert told == f"tl1bench: {printable(told.removeprefix('tl1bench: ')[:-1])}\n"
    assert printable(NAMES[what]) in told


def test_so_does_a_file_that_cannot_be_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file\x1b[2J").write_text("")

    def write() -> None:
        (tmp_path / "file\x1b[2J" / "below").mkdir(parents=True)

    monkeypatch.setattr(cli, "app", write)
    assert ended(monkeypatch) == 2
    told = capsys.readouterr().err
    assert told.count("\n") == 1
    assert r"file\x1b[2J" in told
    assert "cannot be read or written: Not a directory" in told


@pytest.mark.parametrize("option", ["-\x1b[2J.onnx", "--x\x1b]0;gone\x07", "-\u202eexe"])
def test_what_looks_like_an_option_is_not_quoted_as_it_stands(
    option: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ended(monkeypatch, "measure", option) == 2
    assert capsys.readouterr().err.rstrip("\n").isprintable()


def test_settings_are_listed_without_their_markup(capsys: pytest.CaptureFixture[str]) -> None:
    raw = yaml.safe_load((ROOT / "params.yaml").read_text())
    options = {"a": "[/x]", "b": "\x1b[2J", "c": ":bomb:"}
    raw["problems"] = {"p": {**raw["problems"]["digits-mlp"]}}
    raw["problems"]["p"]["network"] = {"name": "mlp", "options": options}
    for method in raw["methods"].values():
        for key in ("lam_for", "growth_for", "hyper_for"):
            method.pop(key, None)
    _listing.show(config.Config.model_validate(raw), {})
    told = capsys.readouterr().out
    assert "\x1b[2J" not in told
    words = "".join(told.split())
    assert all(text in words for text in ("[/x]", r"\x1b[2J", ":bomb:"))


def test_progress_shows_names_and_no_more(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")  # as on a terminal
    monkeypatch.setenv("COLUMNS", "200")
    with progress.steps("[/x]") as move:
        move(1, 2, "of \x1b]0;gone\x07 [red]\n")
    with progress.amounts() as add:
        add("[/y]\x1b[99A", 1, 2)
    told = capsys.readouterr().err
    assert "[/x]: of" in told
    assert "[red]" in told
    assert "[/y]" in told
    assert "\x1b]0" not in told
    assert "\x1b[99A" not in told


def test_a_measurement_is_a_line_a_file_whatever_the_files_are_called() -> None:
    label = "net\x1b[2J.onnx\nsmall.onnx  1  1"
    numbers = ("first_us", "min_us", "p50_us", "p90_us", "p99_us", "ratio_p50", "ratio_low",
               "ratio_high", "floor_us", "file_bytes", "uss_load_mib", "uss_run_mib",
               "added_load_mib", "added_peak_mib")  # fmt: skip
    row = {"model": label, "batch": 1, "threads": 1, **dict.fromkeys(numbers, np.float64(1))}
    table = pd.DataFrame([{**row, "conv_blocked": 0, "conv_total": 0}])
    protocol = {"provider": "cpu", "mode": "quick", "processes": 5, "baseline": label}
    machine = {"cpu": "x", "versions": {"onnxruntime": "1"}, "protocol": protocol}
    machine |= {"trusted": True, "reason": "", "reasons": {}}
    none = pd.DataFrame()
    lines = str(Measurement(table, none, none, none, none, machine)).split("\n")
    assert len(lines) == 4
    assert all(line.isprintable() for line in lines)
