"""Names on the pages: text and nothing else, and pages on which no script runs anyway."""

from __future__ import annotations

import dataclasses
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import urlsplit

import pandas as pd
import pytest
from hostile import NAMES
from made_up_results import every, make_tree, table, tree

from tl1bench.cli import _page
from tl1bench.compaction.report import LayerReport, Report, Rest
from tl1bench.report import page

__all__ = ["every", "make_tree", "table", "tree"]
RUNS_CODE = {"script", "iframe", "object", "embed", "base", "form", "svg", "math"}
CLOSED = {name: text for name, text in NAMES.items() if "\udcff" not in text}
CLOSED |= {
    "an attribute": '" onmouseover="alert(1)',
    "the end of a page": "</body></html><img src=x onerror=alert(1)>",
    "a comment": "--><script>alert(1)</script><!--",
    "an address": "javascript:alert(1)",
}


class Elements(HTMLParser):
    """What a browser would make of a page."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs

    def handle_data(self, data: str) -> None:
        self.text += data


def harmless(text: str) -> Elements:
    found = Elements(text)
    assert not RUNS_CODE & set(found.tags)
    assert not [name for name, _ in found.attributes if name.startswith("on")]
    addresses = [value or "" for name, value in found.attributes if name in ("href", "src")]
    assert {urlsplit(address).scheme for address in addresses} <= {"", "data"}
    return found


def policy(text: str) -> dict[str, list[str]]:
    found = Elements(text)
    assert ("http-equiv", "Content-Security-Policy") in found.attributes
    content = next(v for n, v in found.attributes if n == "content" and v and "-src" in v)
    rules = (rule.split() for rule in content.split(";"))
    return {name: sources for name, *sources in rules}


def findings(name: str) -> _page.Findings:
    layer = LayerReport(name, name, *range(1, 12), {name: 1})
    report = Report(
        (layer,), *range(1, 8), (name,), name, rest=(Rest(name, 1, 2, 3),), numbers_before=1,
        numbers_nonzero=2, numbers_after=3, uncovered={name: 1},
    )  # fmt: skip
    machine = {"trusted": False, "reason": name, "cpu": name, "versions": {"onnxruntime": name},
               "protocol": {"processes": 5, "mode": name}}  # fmt: skip
    row = {"p50_us": 1.0, "ratio_p50": 1.0, "ratio_low": 1.0, "ratio_high": 1.0, "batch": 1}
    latency = SimpleNamespace(table=pd.DataFrame([{**row, "threads": 1}] * 2), machine=machine)
    file = SimpleNamespace(size_bytes=1, max_rel_difference=0.0, opset=18, flushed_denormals=0)
    return _page.Findings(name, report, name, file, file, latency, name)  # type: ignore[arg-type]


@pytest.mark.parametrize("what", CLOSED)
def test_the_page_of_a_compaction_shows_names_as_text(what: str, tmp_path: Path) -> None:
    _page.write(findings("PLAIN"), tmp_path / "plain.html")
    _page.write(findings(CLOSED[what]), tmp_path / "page.html")
    plain, found = (harmless((tmp_path / name).read_text()) for name in ("plain.html", "page.html"))
    assert found.tags == plain.tags
    assert found.text == plain.text.replace("PLAIN", CLOSED[what])


@pytest.mark.parametrize("what", CLOSED)
def test_the_section_of_a_profile_shows_names_as_text(what: str, tree, table, every) -> None:
    name = CLOSED[what]
    some = dataclasses.replace(
        every[0], title=name, note=name, header=(name,), rows=((name,),), bold=frozenset()
    )
    evidence = dataclasses.replace(tree.evidence, command=name)
    text = page.section(table, evidence, {"accuracy_size": name}, [some])
    found = harmless(text)
    assert found.text.count(name) >= 5
    assert dict(page.machine_record({"cpu": name}))["cpu"] == name


@pytest.mark.parametrize("folder", ["javascript:alert(1)", "x' onclick='a", "a b#?&", "<b>"])
def test_a_folder_of_results_is_only_linked(folder: str, tmp_path: Path) -> None:
    (tmp_path / folder).mkdir()
    (tmp_path / folder / "runs.csv").write_text("")
    found = harmless(page.index(tmp_path))
    assert folder in found.text


def test_no_script_runs_even_where_a_section_brings_one(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "runs.csv").write_text("")
    (tmp_path / "mine" / "section.html").write_text("<script>alert(1)</script>")
    text = page.index(tmp_path)
    rules = policy(text)
    assert rules["default-src"] == ["'none'"]
    assert not {"script-src", "connect-src", "frame-src", "object-src"} & rules.keys()
    assert rules["img-src"] == ["'self'", "file:", "data:"]
    assert text.index("Content-Security-Policy") < text.index("<script>")


def test_the_page_of_a_compaction_has_the_same_policy(tmp_path: Path) -> None:
    _page.write(findings("x"), tmp_path / "page.html")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "runs.csv").write_text("")
    assert policy((tmp_path / "page.html").read_text()) == policy(page.index(tmp_path))
