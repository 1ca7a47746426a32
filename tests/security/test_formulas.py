"""Names in figures: letters, never formulas, and in an SVG no markup."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import pytest
from hostile import NAMES
from matplotlib.figure import Figure

from tl1bench import figures
from tl1bench.figures import _panels
from tl1bench.figures._style import looks

DRAWN = {**{w: NAMES[w] for w in ("a shell's", "quotes", "an element", "TeX", "a template")},
         "a formula": r"$\input{x}$", "a broken formula": "$^$", "a comment": "--><script/><!--",
         "another end": "]]></svg><script>alert(1)</script>"}  # fmt: skip


@pytest.mark.parametrize("what", DRAWN)
def test_a_name_is_drawn_as_it_stands(what: str, tmp_path: Path) -> None:
    name = DRAWN[what]
    with figures.style():
        figure = Figure()
        panel = figure.subplots()
        panel.set_title(name)
        _panels.nothing(panel, name)
        _panels.bar_axes(panel, [name], 1.0)
        _panels.legend(figure, [_panels.handle(looks([name])[name])])
    (file,) = figures.save(figure, tmp_path / "figure", ("svg",))
    tags = {element.tag.rpartition("}")[2] for element in ElementTree.parse(file).iter()}
    assert "script" not in tags
    assert "<script" not in file.read_text().replace("<!--", "").replace("&lt;script", "")
    # Every letter is drawn: a formula would swallow its dollars.
    assert all(not text.get_parse_math() for text in figure.findobj(match=_is_text))


def _is_text(artist: object) -> bool:
    return hasattr(artist, "get_parse_math")
