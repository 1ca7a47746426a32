"""Methods that keep a share of the weights: where it begins and how it falls."""

import pytest
from walking import walk

from tl1bench import methods
from tl1bench.errors import ConfigError

NAMES = ("magnitude", "random", "torch_pruning")


@pytest.mark.parametrize("name", NAMES)
def test_the_share_falls_by_the_ratio_or_else_by_the_growth(name: str) -> None:
    if name == "torch_pruning":
        pytest.importorskip("torch_pruning")
    plan = {"steps": 3, "growth": 1.5, "branch_below": 1.0}
    own = walk(methods.load(name, first=0.6, ratio=2.0), **plan)
    paths = walk(methods.load(name, first=0.6), **plan)
    assert [p.level for p in own] == pytest.approx([0.6, 0.3, 0.15])
    assert [p.level for p in paths] == pytest.approx([0.6, 0.4, 0.6 / 2.25])


def test_a_path_ends_before_a_share_below_the_last() -> None:
    method = methods.load("magnitude", first=0.6, ratio=2.0, last=0.15)
    points = walk(method, steps=9, growth=1.5, branch_below=1.0)
    assert [p.level for p in points] == pytest.approx([0.6, 0.3, 0.15])
    assert points.ended == "all 3 steps were taken"


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    "bad",
    [{"first": 0.0}, {"first": 1.0}, {"ratio": 1.0}, {"ratio": -2.0}, {"last": 0.6}, {"last": 0}],
)
def test_values_out_of_range_are_refused(name: str, bad: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match=next(iter(bad))):
        methods.load(name, **bad)
