"""Looks are fixed for the known methods and deterministic for the others."""

from __future__ import annotations

import pytest
from matplotlib import font_manager

from tl1bench.figures import _panels, _style


def test_a_known_method_looks_the_same_in_any_company():
    alone = _style.looks(("integrated_tl1",))["integrated_tl1"]
    assert _style.looks(("zzz", "dense", "integrated_tl1"))["integrated_tl1"] == alone
    assert alone.label == "integrated TL1"


def test_no_two_methods_look_the_same():
    methods = ("dense", "l1", "group_lasso", "tl1", *(f"m{i}" for i in range(30)))
    found = [(look.color, look.marker) for look in _style.looks(methods).values()]
    assert len(set(found)) == len(methods)


def test_strangers_get_the_spare_looks_in_order():
    looks = _style.looks(("l1", "my_new_one", "other"))
    again = _style.looks(("my_new_one", "l1", "other"))
    assert looks == {m: again[m] for m in looks}
    assert looks["my_new_one"].label == "my new one"


def test_the_font_exists():
    path = font_manager.findfont(str(_style.RC["font.family"]), fallback_to_default=False)
    assert "DejaVuSans" in path


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0.7, 1.3, ["0.7", "0.8", "0.9", "1"]),
        (1, 30, ["1", "2", "5", "10", "20"]),
        (0.1, 20, ["0.1", "0.3", "1", "3", "10"]),
        (0.1, 140, ["0.1", "1", "10", "100"]),
    ],
)
def test_log_ticks_are_plain_numbers_and_few(low, high, expected):
    figure, (axes,) = _panels.grid(1)
    _panels.log_axis(axes, "x", low, high)
    figure.draw_without_rendering()
    assert [label.get_text() for label in axes.get_xticklabels()] == expected


def test_large_numbers_are_counted_in_thousands_and_millions() -> None:
    assert [_panels.plain(n) for n in (0.3, 300, 3_000, 2_500_000)] == [
        "0.3", "300", "3 k", "2.5 M",
    ]  # fmt: skip
