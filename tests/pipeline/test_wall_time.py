import pytest

from tl1bench.pipeline import wall_time


def write(root, monkeypatch, *stages: str) -> None:
    monkeypatch.chdir(root)
    for name in stages:
        with wall_time.stage("p", name):
            pass


def test_the_account_sums_stages_and_leaves_the_rest_to_dvc(tmp_path, monkeypatch) -> None:
    began = wall_time.start("p", tmp_path)
    write(tmp_path, monkeypatch, "train", "train", "report")
    closed = wall_time.close("p", began, tmp_path)
    assert set(closed["stages"]) == {"train", "report", "dvc"}
    assert closed["stages"]["train"] > 1.9 * closed["stages"]["report"] > 0
    assert abs(sum(closed["stages"].values()) - closed["total_seconds"]) < 0.5


def test_a_killed_run_goes_on_and_a_finished_one_is_forgotten(tmp_path, monkeypatch) -> None:
    wall_time.start("p", tmp_path)
    write(tmp_path, monkeypatch, "train")
    began = wall_time.start("p", tmp_path)
    write(tmp_path, monkeypatch, "report")
    assert set(wall_time.close("p", began, tmp_path)["stages"]) == {"train", "report", "dvc"}
    began = wall_time.start("p", tmp_path)
    write(tmp_path, monkeypatch, "report")
    assert set(wall_time.close("p", began, tmp_path)["stages"]) == {"report", "dvc"}


@pytest.mark.parametrize(("kept", "whole"), [(False, True), (True, False)])
def test_a_run_is_whole_that_trained_all_it_shows(tmp_path, monkeypatch, kept, whole) -> None:
    began = wall_time.start("p", tmp_path)
    monkeypatch.chdir(tmp_path)
    with wall_time.stage("p", "train") as account:
        account["kept"] = kept
    assert wall_time.close("p", began, tmp_path)["whole"] is whole


def test_a_run_that_only_drew_its_report_is_not_whole(tmp_path, monkeypatch) -> None:
    began = wall_time.start("p", tmp_path)
    write(tmp_path, monkeypatch, "report")
    assert not wall_time.close("p", began, tmp_path)["whole"]
