"""What rows of channels rest on, broken on purpose: the tests of heads and groups notice."""

import pytest
import test_grouped_norms as norms
import test_whole_heads as heads

from tl1bench.tracing.rules import _head_masks, grouped_norm

LOST = {
    "groups that are gone do not count": (
        grouped_norm.GroupNorm, "left", lambda self, found, kept: found.groups,
        lambda compacted, widths: (
            norms.test_a_group_goes_when_none_of_its_channels_is_read(compacted, widths, 4, 6))),
    "a group of which some vary varies": (
        grouped_norm.Grouped, "whole", lambda self, marked: marked,
        lambda compacted, widths: (
            norms.test_a_scale_of_zero_makes_a_constant_though_its_group_stays(
                compacted, widths))),
    "a known mask keeps the heads that stay": (
        _head_masks.HeadMask, "wanted", lambda self, ids, keep: [],
        lambda compacted, widths: (
            heads.test_two_layers_of_which_each_needs_another_head_share_a_mask(compacted))),
}  # fmt: skip


@pytest.mark.parametrize("lost", LOST)
def test_a_loss_is_noticed(lost, monkeypatch, compacted, widths):
    owner, name, broken, trial = LOST[lost]
    monkeypatch.setattr(owner, name, broken)
    with pytest.raises((AssertionError, RuntimeError, IndexError, ValueError)):
        trial(compacted, widths)
