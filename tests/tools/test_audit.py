import json

from tools import audit


def output(*packages: dict) -> str:
    return json.dumps({"dependencies": list(packages), "fixes": []})


GOOD = {"name": "numpy", "version": "2.1", "vulns": []}
BAD = {"name": "x", "version": "1", "vulns": [{"id": "PYSEC-1", "fix_versions": ["1.1"]}]}
SKIPPED = {"name": "torch", "skip_reason": "Dependency not found on PyPI"}


def test_no_answer_is_no_good_answer() -> None:
    for nothing in ("", "Traceback", "[]", "{}", output(), output(SKIPPED, SKIPPED)):
        status, (sentence,) = audit.judge(nothing)
        assert status == 2
        assert "cannot be asked from here" in sentence


def test_a_hole_is_named_with_the_version_that_mends_it() -> None:
    assert audit.judge(output(GOOD, BAD)) == (1, ["x 1: PYSEC-1, mended in 1.1"])


def test_what_was_not_looked_up_is_said_beside_a_good_answer() -> None:
    status, (good, rest) = audit.judge(output(GOOD, SKIPPED))
    assert status == 0
    assert good == "No hole is known in 1 pinned packages."
    assert "torch" in rest


def test_the_packages_asked_about_are_the_pinned_ones(monkeypatch, capsys) -> None:
    asked = []

    def answer(command, **_):
        asked.append(command[-1])
        return type("Done", (), {"stdout": output(GOOD)})

    monkeypatch.setattr(audit.subprocess, "run", answer)
    assert audit.main() == 0
    assert asked == ["requirements.lock"]
    assert capsys.readouterr().out == "No hole is known in 1 pinned packages.\n"
