"""Every figure draws what the table says, reproducibly and without side effects."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from made_up_results import step_of
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from tl1bench import figures, results
from tl1bench.errors import ConfigError
from tl1bench.figures import (
    _published,
    accuracy_nonzero,
    first_layer,
    latency_bars,
    operators,
    penalties,
    repeatability,
    training_curves,
)
from tl1bench.figures._style import ALARM, INK, looks
from tl1bench.results import Run, repeats
from tl1bench.results.points import operating_points

NAMES = figures.names()
# Formulas and repeated sessions are the same for every profile.
OF_PROBLEMS = [name for name in NAMES if name not in {"penalties", "repeatability"}]


@pytest.fixture(scope="session")
def drawn(tree, table) -> dict[str, Figure]:
    return {name: figures.draw(name, table, tree.evidence) for name in NAMES}


def texts(figure: Figure) -> list[str]:
    found = figure.findobj(lambda artist: hasattr(artist, "get_text"))
    return [artist.get_text() for artist in found if artist.get_text()]


def panel(figure: Figure, title: str):
    return next(axes for axes in figure.axes if axes.get_title(loc="left") == title)


def columns_read(name: str) -> list[str]:
    """Return the columns that the docstring of a figure's `draw` names after "Reads"."""
    (said,) = re.findall(r"\bReads (.+?)[.:]", figures.load(name).draw.__doc__, re.DOTALL)
    return re.findall(r"`(\w+)`", said)


def test_the_figures_are_the_files_of_the_folder_without_an_underscore():
    files = Path(figures.__file__).parent.glob("[!_]*.py")
    assert list(NAMES) == sorted(file.stem for file in files)
    with pytest.raises(ConfigError, match=r"no figure 'beauty'.*accuracy_size"):
        figures.load("beauty")


@pytest.mark.parametrize("name", NAMES)
def test_a_figure_needs_the_columns_that_it_names_and_no_other(name, table, tree):
    named = columns_read(name)
    assert set(named) <= set(results.COLUMNS)
    figures.draw(name, table[named], tree.evidence)
    for column in named:
        with pytest.raises(KeyError):
            figures.draw(name, table[named].drop(columns=column), tree.evidence)


@pytest.mark.parametrize("name", NAMES)
def test_a_figure_says_what_it_is(name):
    assert figures.load(name).__doc__.splitlines()[0].endswith(".")


@pytest.mark.parametrize("name", OF_PROBLEMS)
def test_a_figure_names_its_problems(name, drawn, tree):
    shown = " ".join(texts(drawn[name]))
    assert all(problem in shown for problem in tree.problems)


@pytest.mark.parametrize("name", NAMES)
def test_a_figure_can_be_written_and_its_svg_does_not_depend_on_addresses(name, drawn, tmp_path):
    # A glyph that the font lacks, or a layout that does not fit, is a warning: here an error.
    (path,) = figures.save(drawn[name], tmp_path / name, ("svg",))
    # matplotlib names a clip path, unlike a clip rectangle, after the object's address.
    assert not re.search(r"<clipPath[^>]*>\s*<path", path.read_text())


@pytest.mark.parametrize("name", OF_PROBLEMS)
def test_a_caption_is_made_from_the_data(name, tree, table):
    shown = figures.caption(name, table, tree.evidence)
    one = tree.problems[:1]
    fewer = table[table["problem"].isin(one) & (table["seed"] == 0)]
    assert shown.endswith(".")
    assert shown != figures.caption(name, fewer, replace(tree.evidence, problems=one))


def test_two_drawings_give_the_same_bytes(table, tree, tmp_path):
    one = replace(tree.evidence, problems=tree.problems[:1])
    first, second = (
        figures.save(figures.draw("first_layer", table, one), tmp_path / folder / "x")
        for folder in ("a", "b")
    )
    assert [p.suffix for p in first] == [".png", ".svg", ".pdf"]
    for a, b in zip(first, second, strict=True):
        assert a.read_bytes() == b.read_bytes()
    assert b"<dc:date>" not in first[1].read_bytes()


def test_a_png_has_200_dots_an_inch(drawn, tmp_path):
    (path,) = figures.save(drawn["penalties"], tmp_path / "x", ("png",))
    width = int.from_bytes(path.read_bytes()[16:20], "big")
    assert width == round(200 * drawn["penalties"].get_figwidth())


def test_drawing_leaves_the_settings_of_matplotlib_alone(table, tree, tmp_path):
    before = dict(mpl.rcParams)
    figures.save(figures.draw("penalties", table, tree.evidence), tmp_path / "x", ("svg",))
    assert dict(mpl.rcParams) == before


def test_importing_the_figures_loads_neither_torch_nor_pyplot():
    code = (
        "import sys; from tl1bench import figures; [figures.load(n) for n in "
        "figures.names()]; print({'torch', 'matplotlib.pyplot'} & set(sys.modules))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "set()"


@pytest.fixture(scope="module")
def strangers(make_tree, tmp_path_factory):
    """A profile of methods that nobody knows, never measured: its table and its evidence."""
    tree = make_tree(
        tmp_path_factory.mktemp("strangers"),
        problems=("digits-mlp",),
        methods=("dense", "some_new_penalty"),
        lams=(1e-4,),
        seeds=(0,),
        measured=False,
    )
    return tree.collect(), tree.evidence


@pytest.mark.parametrize("name", NAMES)
def test_a_profile_of_strangers_that_were_never_measured_can_be_drawn(name, strangers, tmp_path):
    figures.save(figures.draw(name, *strangers), tmp_path / name, ("svg",))


def test_one_seed_has_no_intervals_and_does_not_claim_any(make_tree, tmp_path, tree, table):
    single = make_tree(tmp_path, problems=("digits-mlp",), lams=(1e-4,), seeds=(0,))
    for name in ("accuracy_size", "accuracy_latency"):
        assert "BCa" in figures.caption(name, table, tree.evidence)
        alone = figures.caption(name, single.collect(), single.evidence)
        assert "one seed" in alone
        assert "BCa" not in alone


@pytest.mark.parametrize("name", ["accuracy_latency", "latency_bars", "operators"])
def test_a_busy_machine_is_marked_loudly(name, drawn, make_tree, tmp_path):
    tree = make_tree(tmp_path, problems=("digits-mlp",), lams=(1e-4,), seeds=(0,), trusted=False)
    busy = figures.draw(name, tree.collect(), tree.evidence)
    assert "DO NOT TRUST" in busy.get_suptitle()
    assert to_hex(busy._suptitle.get_bbox_patch().get_facecolor()) == ALARM
    assert drawn[name].get_suptitle() == ""
    caption = figures.caption(name, tree.collect(), tree.evidence)
    assert "not to be trusted" in caption.lower()


def test_every_operating_point_is_drawn_and_the_selected_ones_are_filled(drawn, tree, table):
    axes = panel(drawn["accuracy_size"], "digits-mlp")
    points = operating_points(
        table[table["problem"] == "digits-mlp"], ("weights_kept", "test_error")
    )
    for method in tree.methods[1:]:
        color = looks(tree.methods)[method].color
        marks = [
            line
            for line in axes.lines
            if len(line.get_xdata()) == 1
            and line.get_marker() != "None"
            and line.get_color() == color
        ]
        mine = points[points["method"] == method]
        assert sorted(line.get_xdata()[0] for line in marks) == pytest.approx(
            sorted(mine["weights_kept_mean"])
        )
        (selected,) = mine[mine["selected"]].to_dict("records")
        (filled,) = [
            m for m in marks if m.get_markerfacecolor() == color and m.get_markersize() == 6
        ]
        assert filled.get_xydata()[0] == pytest.approx(
            [selected["weights_kept_mean"], selected["test_error_mean"]]
        )


def test_a_point_above_the_panel_is_an_arrow_at_its_edge(drawn, tree):
    axes = panel(drawn["accuracy_nonzero"], "mnist-lenet5")
    arrows = [line for line in axes.lines if "uparrow" in str(line.get_marker())]
    assert [line.get_color() for line in arrows] == [looks(tree.methods)["l1"].color]
    assert arrows[0].get_ydata()[0] < 10 < 88


def test_published_points_are_drawn_where_they_were_reported(drawn):
    axes = panel(drawn["accuracy_nonzero"], "mnist-lenet5")
    marks = {
        (line.get_marker(), round(line.get_xdata()[0], 3), line.get_ydata()[0])
        for line in axes.lines
        if line.get_color() == INK
    }
    assert ("x", 0.486, 0.89) in marks  # MobilePrune: 2,092 of 430,500 at 99.11 %
    assert ("x", 0.639, 1.0) in marks  # BC-GHS: 5-10-76-16 has 2,751 weights
    assert ("+", 1.254, 0.8) in marks  # TL1, recollected: 5,400 at 99.2 %
    assert len(marks) == len(_published.points("mnist-lenet5")) == 10


@pytest.mark.parametrize(("kept", "share"), [("weights", 5.0), ("macs", 26.6)])
def test_published_shares_of_a_cifar_network_stand_on_the_axis_they_are_shares_of(kept, share):
    (point,) = _published.points("cifar-vgg16", kept)
    assert (point.kept_pct, point.error_pct) == (share, 6.73)
    assert point.basis.startswith(f"{share:g} % of")


def test_published_points_stay_away_from_other_problems():
    assert _published.points("fashion-lenet5") == _published.points("digits-mlp") == ()
    assert _published.points("mnist-lenet5", "macs") == _published.points("cifar-vgg16", None) == ()
    assert {p.who for p in _published.points("mnist-lenet300") if p.recollection} == {
        "TL1 (Ma et al.)",
        "Hoyer-Square",
    }


def test_the_caption_tells_recollections_from_what_was_seen(tree, table):
    caption = accuracy_nonzero.caption(table, tree.evidence)
    assert "TL1 (Ma et al.) 2019, 5,400 non-zero weights, recollected and not checked" in caption
    assert "MobilePrune 2021, 2,092 non-zero weights [released" in caption


def test_the_floor_is_a_line_and_is_not_subtracted(drawn, tree, table):
    timings = tree.evidence.timings("mnist-lenet5")
    axes = panel(drawn["latency_bars"], "mnist-lenet5, batch 1")
    assert timings["floor"]["p50_us"] in [line.get_xdata()[0] for line in axes.lines]
    assert axes.patches[0].get_width() == timings["dense"]["p50_us"]
    labels = [text.get_text() for text in axes.get_yticklabels()]
    assert labels[:2] == ["dense", "zeros left in place"]
    bars = latency_bars.bars(table, "mnist-lenet5", 64, tree.evidence)
    assert bars[0].p50 == tree.evidence.timings("mnist-lenet5", 64)["dense"]["p50_us"]


def test_bars_show_the_units_that_are_left(drawn, tree, table):
    runs = table[(table["problem"] == "mnist-lenet5") & (table["method"] == "tl1")]
    step = runs[runs["selected"]]["step"].iloc[0]
    shown = texts(drawn["architecture"])
    for layer in tree.evidence.layers(Run("mnist-lenet5", "tl1", step, 0)):
        assert f"{layer['units_after']:,}/{layer['units_before']:,}" in shown


def test_a_debias_phase_is_in_the_legend_where_there_is_one(drawn, make_tree, tmp_path):
    tree = make_tree(tmp_path, ("digits-mlp",), ("dense", "integrated_tl1"), (1e-4,), (0,))
    for file in tree.root.glob("build/*/train/**/history.csv"):
        file.write_text(file.read_text().replace("debias", "train"))
    without = figures.draw("training_curves", tree.collect(), tree.evidence)
    assert any("debias" in text for text in texts(drawn["training_curves"]))
    assert not any("debias" in text for text in texts(without))


def test_the_debias_phase_begins_at_the_last_reading_before_it(tree):
    curve = tree.evidence.history(Run("digits-mlp", "tl1", step_of(1e-4), 0))
    assert training_curves.debias_span(curve) == (14.0, 24.0)
    assert training_curves.debias_span(curve[curve["phase"] == "train"]) is None


def test_the_usage_map_is_the_norm_of_what_leaves_a_pixel():
    weight = np.zeros((3, 16))
    weight[0, 5], weight[2, 5] = 3.0, 4.0
    images, usage = first_layer.as_images(weight)
    assert images.shape == (3, 4, 4)
    assert usage[1, 1] == 5.0
    assert np.count_nonzero(usage) == 1


def test_colour_images_and_tables_of_features_have_their_own_layout():
    assert first_layer.as_images(np.ones((2, 27)))[1].shape == (3, 3)
    assert first_layer.as_images(np.ones((2, 7)))[0] is None
    images, usage = first_layer.as_images(np.ones((4, 3, 5, 5)))
    assert (images.shape, usage.shape) == ((4, 5, 5), (5, 5))


def test_the_drawn_prox_is_the_argmin():
    x = np.linspace(-3, 3, 600_001)
    for a in (0.01, 1.0, 10.0):
        for z in (-1.7, -0.4, 0.2, 0.9, 2.0):
            objective = 0.5 * (x - z) ** 2 + 0.3 * penalties.rho(x, a)
            found = float(penalties.tl1_prox(np.array([z]), a, 0.3)[0])
            value = 0.5 * (found - z) ** 2 + 0.3 * penalties.rho(np.array([found]), a)[0]
            assert value <= objective.min() + 1e-9


def test_the_control_of_zeros_left_in_place_stands_beside_dense(tree, table):
    found = latency_bars.bars(table, "mnist-lenet5", 1, tree.evidence)
    assert [bar.label for bar in found][:2] == ["dense", "zeros left in place"]
    assert found[1].p50 == tree.evidence.timings("mnist-lenet5")["masked"]["p50_us"]
    caption = latency_bars.caption(table, tree.evidence)
    ratios = [tree.evidence.timings(p)["masked"]["ratio_p50"] for p in tree.problems]
    said = f"latency at batch 1 is {min(ratios):.2f} to {max(ratios):.2f} of dense's: zeros alone"
    assert said in caption


@pytest.mark.parametrize(
    ("operator", "blocked", "kind"),
    [
        ("Conv", True, "convolution, blocked"),
        ("FusedConv", False, "convolution, plain"),
        ("FusedGemm", False, "matrix product"),
        ("ReorderInput", False, "reordering to and from blocks"),
        ("GlobalAveragePool", True, "pooling"),
        ("Gather", False, "picking inputs"),
        ("Add", False, "other"),
    ],
)
def test_operators_fall_into_kinds(operator, blocked, kind):
    assert operators.kind(operator, blocked) == kind


def test_operator_times_are_stacked_beside_the_whole_call(drawn, tree, table):
    axes = panel(drawn["operators"], "mnist-lenet5, batch 64")
    found = operators.times("mnist-lenet5", 64, tree.evidence)
    widths = [patch.get_width() for patch in axes.patches]
    assert sum(widths) == pytest.approx(sum(sum(own.values()) for own in found.values()))
    whole = tree.evidence.timings("mnist-lenet5", 64)["dense"]["p50_us"]
    assert axes.lines[0].get_xdata()[0] == whole
    assert "20-50\n1 of 2 blocked" in texts(drawn["operators"])
    said = operators.caption(table, tree.evidence)
    assert (
        "the convolution takes 59 % of dense's operator time, and in integrated TL1 0.250" in said
    )


def sessions(ratios, trusted=True):
    return pd.DataFrame(
        {
            "ratio_p50": ratios,
            "ratio_low": [r - 0.01 for r in ratios],
            "ratio_high": [r + 0.01 for r in ratios],
            "covers_one": [abs(r - 1) <= 0.01 for r in ratios],
            "trusted": trusted,
            "processes": 5,
            "cpu": "a processor",
            "onnxruntime": "1.32.0",
        }
    )


def test_repeated_sessions_say_their_spread_and_coverage(tree, table, tmp_path):
    evidence = replace(tree.evidence, reports=tmp_path / "made-up")
    assert "was not measured" in repeatability.caption(table, evidence)
    repeats.add(tmp_path / "repeatability/pair.csv", sessions([0.2, 0.202, 0.201]))
    repeats.add(tmp_path / "repeatability/control.csv", sessions([1.0, 1.02, 0.995, 1.001]))
    figure = figures.draw("repeatability", table, evidence)
    shown = texts(figure)
    assert "session: spread 1.0 % of the ratio" in shown
    assert "session: 3 of 4 intervals cover 1" in shown
    assert figure.get_suptitle() == ""
    caption = repeatability.caption(table, evidence)
    assert "of 1.0 % over 3 sessions" in caption
    assert "covers 1 in 75 % of 4 sessions" in caption


def test_a_session_on_a_busy_machine_is_marked(table, tree, tmp_path):
    evidence = replace(tree.evidence, reports=tmp_path / "made-up")
    repeats.add(tmp_path / "repeatability/pair.csv", sessions([0.2, 0.202], trusted=False))
    repeats.add(tmp_path / "repeatability/control.csv", sessions([1.0, 1.0]))
    assert "DO NOT TRUST" in figures.draw("repeatability", table, evidence).get_suptitle()
    assert "too busy in 2 of them" in repeatability.caption(table, evidence)


def test_added_memory_is_drawn_beside_the_whole_process_and_its_floor(drawn, tree, table):
    figure = drawn["memory_size"]
    added, whole = figure.axes[4:6]
    assert added.get_xlabel() == "added memory, peak [MiB]"
    chosen = table[(table["problem"] == "mnist-lenet5") & table["selected"]]
    means = chosen.groupby("method")[["added_peak_compact_mib", "uss_compact_mib"]].mean()
    methods = [m for m in tree.methods if m != "dense"]
    for panel, column in ((added, "added_peak_compact_mib"), (whole, "uss_compact_mib")):
        widths = [bar.get_width() for bar in panel.patches[::2]]
        assert widths == pytest.approx([means.loc[m, column] for m in methods])
    floor = tree.evidence.timings("mnist-lenet5")["floor"]["uss_run_mib"]
    assert list(whole.lines[0].get_xdata()) == [floor, floor]
    run = results.first_selected(table, "mnist-lenet5", methods[0])
    with_arena, without = (
        tree.evidence.memory("mnist-lenet5", arena=arena)[run.model] for arena in (True, False)
    )
    stroke, spread, cross = (list(line.get_xdata()) for line in added.lines[:3])
    assert stroke == [with_arena["added_load_mib"]] * 2
    assert spread == [with_arena["added_peak_low_mib"], with_arena["added_peak_high_mib"]]
    assert cross == [without["added_peak_mib"]]


def test_memory_measured_before_it_had_a_floor_leaves_its_panel_empty(tree, table):
    columns = ["added_peak_dense_mib", "added_peak_compact_mib"]
    older = figures.draw(
        "memory_size", table.assign(**dict.fromkeys(columns, np.nan)), tree.evidence
    )
    file, added, whole = older.axes[:3]
    assert [text.get_text() for text in added.texts] == ["not measured"]
    assert len(file.patches) == len(whole.patches) == 2 * (len(tree.methods) - 1)
