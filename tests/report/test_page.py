"""The page opens from disk: whole, escaped, with nothing from elsewhere."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from tl1bench import results
from tl1bench.figures import caption, names
from tl1bench.report import page, tables
from tl1bench.results import layout

VOID = {"meta", "link", "img", "br", "hr"}


class Reader(HTMLParser):
    """Collects links, ids and images, and refuses tags that are not closed in order."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.links: list[str] = []
        self.ids: list[str] = []
        self.images: list[dict[str, str | None]] = []
        self.tags: set[str] = set()

    def handle_starttag(self, tag, attrs):
        values = dict(attrs)
        self.tags.add(tag)
        self.links += [v for k, v in attrs if k in ("href", "src")]
        self.ids += [v for k, v in attrs if k == "id"]
        if tag == "img":
            self.images.append(values)
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


@pytest.fixture(scope="session")
def captions(tree, table) -> dict[str, str]:
    return {name: caption(name, table, tree.evidence) for name in names()}


@pytest.fixture(scope="session")
def written(tree, table, every, captions) -> Path:
    reports = tree.root / "reports"
    evidence = tree.evidence
    results.write(evidence.reports / "runs.csv", table)
    tables.write_all(every, evidence.reports / "tables")
    for name in names():
        for kind in ("svg", "png", "pdf"):
            target = evidence.reports / "figures" / f"{name}.{kind}"
            target.parent.mkdir(exist_ok=True)
            target.write_bytes(b"drawn")
    page.write(reports, table, evidence, captions, every)
    return reports / "index.html"


@pytest.fixture(scope="session")
def read(written) -> Reader:
    reader = Reader()
    reader.feed(written.read_text())
    return reader


def test_the_page_is_well_formed(read):
    assert read.open == []
    assert len(read.ids) == len(set(read.ids))


def test_every_link_leads_to_a_file_or_a_place_on_the_page(read, written):
    for link in read.links:
        if link.startswith("#"):
            assert link[1:] in read.ids
        elif link != "data:,":
            assert (written.parent / link).is_file(), link


def test_only_formats_that_were_saved_are_offered(tree, table, tmp_path):
    evidence = replace(tree.evidence, reports=tmp_path)
    (tmp_path / "figures").mkdir()
    (tmp_path / "figures/penalties.svg").write_text("")
    html = page.section(table, evidence, {"penalties": "A drawing."}, ())
    assert "figures/penalties.svg" in html
    assert "figures/penalties.pdf" not in html


def test_nothing_is_loaded_from_elsewhere(read, written):
    assert not {"script", "iframe", "object", "embed"} & read.tags
    text = written.read_text()
    assert not re.search(r"https?:|@import|@font-face|url\(", text)


def test_every_figure_is_shown_with_its_words(read):
    assert len(read.images) == len(names())
    assert "two_objectives" in read.images[0]["src"]
    for image in read.images:
        assert len(image["alt"]) > 20


def test_the_page_serves_dark_rooms_phones_and_printers(written):
    text = written.read_text()
    assert "prefers-color-scheme: dark" in text
    assert "@media print" in text
    assert 'name="viewport"' in text


def test_the_page_tells_verdict_machine_time_and_origin(written):
    text = written.read_text()
    assert "integrated TL1 wins" in text
    assert "a made-up processor" in text
    assert "The body of that paper was not at hand" in text
    assert "recollected and not checked" in text


def test_a_busy_machine_is_an_alarm_on_the_page(written, make_tree, tmp_path):
    tree = make_tree(tmp_path, ("digits-mlp",), ("dense", "l1"), (1e-4,), (0,), trusted=False)
    html = page.section(tree.collect(), tree.evidence, {}, ())
    assert 'role="alert"' in html
    assert "other processes kept 1.31 of 2 cores busy" in html
    assert 'role="alert"' not in written.read_text()


def test_text_from_files_is_escaped(tree, table):
    evil = replace(tree.evidence, command="<script>alert(1)</script>")
    html = page.section(table, evil, {"penalties": "a <b> & c."}, ())
    assert "<script>" not in html
    assert "&lt;script&gt;" in html
    assert "a &lt;b&gt; &amp; c." in html


def test_every_profile_with_results_is_listed_and_paper_comes_first(tmp_path):
    for name in ("zeta", "alpha", "paper", "default", "empty"):
        (tmp_path / name).mkdir()
        if name != "empty":
            (tmp_path / name / "runs.csv").write_text("")
    (tmp_path / "zeta" / layout.SECTION).write_text("<p>its own section</p>")
    assert page.profiles(tmp_path) == ("paper", "default", "alpha", "zeta")
    html = page.index(tmp_path)
    assert "<p>its own section</p>" in html
    assert 'href="default/runs.csv"' in html
    assert "empty" not in html


def test_without_results_there_is_no_page(tmp_path):
    with pytest.raises(results.ResultsError, match=r"No runs\.csv .*`dvc repro`"):
        page.index(tmp_path)


def test_the_page_is_the_same_when_written_again(written, tree, table, every, captions):
    before = written.read_bytes()
    page.write(written.parent, table, tree.evidence, captions, every)
    assert written.read_bytes() == before


def test_nested_records_are_laid_flat():
    record = {"versions": {"numpy": "2.4"}, "gpus": [], "trusted": True, "reason": "", "cores": 2}
    assert page.machine_record(record) == [
        ("versions numpy", "2.4"),
        ("gpus", "none"),
        ("trusted", "yes"),
        ("cores", "2"),
    ]
