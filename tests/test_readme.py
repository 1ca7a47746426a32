from pathlib import Path

from tl1bench import readme

ROOT = Path(__file__).parent.parent


def test_every_number_in_the_readme_is_that_of_the_committed_results() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert readme.render(text, ROOT) == text


def test_a_number_changed_by_hand_is_noticed() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    forged = text.replace("integrated tl1", "integrated tl2")
    assert forged != text
    assert readme.render(forged, ROOT) == text


def test_the_readme_shows_both_commands_first() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert text.index("make repro") < text.index("make test") < text.index("## ")
