"""The script's bookkeeping is repeated as it is, and stands beside what is computed."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from tl1bench.report import page, tables
from tl1bench.report.as_logged import layer_counts, places_unpadded, remark
from tl1bench.report.tables import as_logged

# One filter of four is read by no one; of the linear layer's weights half are zero.
LAYERS = [
    {
        "name": "conv",
        "kind": "conv2d",
        "units_before": 4,
        "units_after": 3,
        "inputs_before": 2,
        "inputs_after": 2,
        "weights_before": 4 * 2 * 9,
        "weights_nonzero": 30,
        "weights_after": 3 * 2 * 9,
        "macs_before": 4 * 2 * 9 * 64,
        "macs_after": 3 * 2 * 9 * 64,
        "kept_because": "",
    },
    {
        "name": "fc",
        "kind": "linear",
        "units_before": 10,
        "units_after": 10,
        "inputs_before": 64,
        "inputs_after": 48,
        "weights_before": 640,
        "weights_nonzero": 320,
        "weights_after": 480,
        "macs_before": 640,
        "macs_after": 480,
        "kept_because": "",
    },
]


@pytest.fixture(scope="module")
def coded(make_tree, tmp_path_factory):
    """Return table and evidence of a problem with one seed, its layers being LAYERS."""
    root = tmp_path_factory.mktemp("coded")
    tree = make_tree(root, ("mnist-lenet5",), ("dense", "integrated_tl1"), (3e-4,), (0,))
    for file in root.glob("build/*/compact/**/compact.json"):
        file.write_text(json.dumps({**json.loads(file.read_text()), "layers": LAYERS}))
    return tree.collect(), replace(tree.evidence, as_coded=("mnist-lenet5",))


def test_a_padded_convolution_is_counted_without_its_padding():
    assert [places_unpadded(layer) for layer in LAYERS] == [(8 - 3 + 1) ** 2, 1]


def test_layers_are_counted_as_logged_and_as_they_are(coded):
    frame = layer_counts(coded[0], "mnist-lenet5", coded[1])
    hero = frame[frame["method"] == "integrated_tl1"].set_index("layer")
    assert hero["macs_logged"].to_dict() == {"conv": 30 * 36, "fc": 320, "all": 30 * 36 + 320}
    assert hero["macs_nonzero"].to_dict() == {"conv": 30 * 64, "fc": 320, "all": 30 * 64 + 320}
    assert hero["macs_compact"].to_dict() == {"conv": 54 * 64, "fc": 480, "all": 54 * 64 + 480}
    assert hero.loc["all", ["weights", "nonzero"]].tolist() == [712, 350]
    assert hero.loc["all", "macs_logged_dense"] == 72 * 36 + 640


def test_the_printed_shares_are_of_their_own_dense_count(coded):
    last = as_logged.make(*coded)[0].rows[-1]
    assert last[:4] == ("integrated TL1", "all", "712", f"350 ({35000 / 712:.2f} %)")
    assert last[4] == f"1,400 ({140000 / (72 * 36 + 640):.2f} %)"
    assert last[5] == f"2,240 ({224000 / (72 * 64 + 640):.2f} %)"
    table = coded[0]
    error = table[table["method"] == "integrated_tl1"]["test_error_pct"].item()
    assert last[-1] == f"{100 - error:.2f}"


def test_the_remark_says_how_far_and_how_often_it_ran(coded):
    said = remark(coded[0], "mnist-lenet5", coded[1])
    assert "10,320 of the script's 30,000 iterations (34%)" in said
    assert "One seed" in said
    assert "softmax outputs into a softmax cross-entropy" in said


def test_table_and_remark_are_on_the_page_of_as_coded_problems_only(coded):
    table, evidence = coded
    every = tables.every(table, evidence)
    assert [t.name for t in every][3] == "mnist-lenet5-as-logged"
    assert "One seed" in every[0].note
    html = page.section(table, evidence, {}, every)
    assert "30,000 iterations" in html
    plain = replace(evidence, as_coded=())
    assert len(tables.every(table, plain)) == len(every) - 1
    assert "30,000 iterations" not in page.section(table, plain, {}, ())
