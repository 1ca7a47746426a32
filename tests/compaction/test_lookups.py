"""Tables of vectors: columns leave where nobody reads them or where all rows hold one number."""

import pytest
import torch
from hand_networks import Lambda, zero_columns, zero_rows
from same_function import assert_same_function, numbers
from torch import nn
from torch.nn import functional as F

from tl1bench.compaction import compact

ROWS, COLUMNS, LENGTH = 11, 8, 5


def codes(batch):
    return torch.arange(batch * LENGTH).reshape(batch, LENGTH) % ROWS


def compacted(network):
    """Compact in float64; every row of the table is asked for at another batch size."""
    network = network.double().eval()
    small = compact(network, (codes(2),)).model
    for batch in (1, 7):
        assert_same_function(network, small, codes(batch))
    assert numbers(small) <= numbers(network)
    return small


def plain(s, t):
    return s.b(F.relu(s.a(s.e(t).mean(1))))


def bagged(s, t):
    return s.b(F.relu(s.a(s.e(t))))


def indexed(s, t):
    return s.b(F.relu(s.a(s.e.weight[t].mean(1))))


def picked(s, t):
    rows = s.e.weight.index_select(0, t.reshape(-1))
    return s.b(F.relu(s.a(rows.view(-1, LENGTH, COLUMNS).mean(1))))


FORMS = {
    "embedding": (plain, nn.Embedding, {}),
    "padding": (plain, nn.Embedding, {"padding_idx": 0}),
    "table[index]": (indexed, nn.Embedding, {}),
    "index_select": (picked, nn.Embedding, {}),
    "sums": (bagged, nn.EmbeddingBag, {"mode": "sum"}),
    "means": (bagged, nn.EmbeddingBag, {"mode": "mean"}),
    "maxima": (bagged, nn.EmbeddingBag, {"mode": "max"}),
    "bags with padding": (bagged, nn.EmbeddingBag, {"mode": "mean", "padding_idx": 3}),
}


def network(form, **weights):
    forward, table, options = FORMS[form]
    found = Lambda(
        forward, e=table(ROWS, COLUMNS, **options), a=nn.Linear(COLUMNS, 6), b=nn.Linear(6, 3)
    )
    found.e.weight.data.normal_()
    for column, value in weights.items():
        found.e.weight.data[:, int(column[1:])] = value
    return found


@pytest.mark.parametrize("form", FORMS)
def test_a_column_that_nobody_reads_leaves(form):
    whole = network(form)
    zero_columns(whole.a, 0, 3, 4)
    assert compacted(whole).e.weight.shape == (ROWS, COLUMNS - 3)


@pytest.mark.parametrize("form", FORMS)
def test_a_column_of_zeros_leaves(form):
    assert compacted(network(form, c0=0.0, c5=0.0)).e.weight.shape == (ROWS, COLUMNS - 2)


@pytest.mark.parametrize("form", FORMS)
def test_a_column_of_one_number_is_a_constant_unless_bags_may_be_empty_or_sums(form):
    left = compacted(network(form, c2=0.7)).e.weight.shape[1]
    assert left == COLUMNS - (form not in ("sums", "bags with padding"))


def test_a_bag_weighs_its_rows():
    whole = Lambda(
        lambda s, t, w: s.a(s.e(t, per_sample_weights=w)),
        e=nn.EmbeddingBag(ROWS, COLUMNS, mode="sum"), a=nn.Linear(COLUMNS, 3),
    ).double().eval()  # fmt: skip
    zero_columns(whole.a, 1, 6)
    draw = torch.randn(7, LENGTH, dtype=torch.float64)
    small = compact(whole, (codes(2), draw[:2])).model
    assert small.e.weight.shape == (ROWS, COLUMNS - 2)
    with torch.no_grad():
        torch.testing.assert_close(small(codes(7), draw), whole(codes(7), draw))


def test_a_table_read_twice_loses_what_neither_reads():
    whole = Lambda(
        lambda s, t: s.a(s.e(t)[:, 0]) + s.b(s.e(t.flip(1))[:, 1]),
        e=nn.Embedding(ROWS, COLUMNS), a=nn.Linear(COLUMNS, 3), b=nn.Linear(COLUMNS, 3),
    )  # fmt: skip
    zero_columns(whole.a, 0, 1, 2)
    zero_columns(whole.b, 1, 2, 3)
    assert compacted(whole).e.weight.shape == (ROWS, COLUMNS - 2)


def test_a_table_that_is_the_last_layer_too_is_cut_once():
    whole = Lambda(
        lambda s, t: F.linear(F.relu(s.a(s.e(t))), s.e.weight),
        e=nn.Embedding(ROWS, COLUMNS), a=nn.Linear(COLUMNS, COLUMNS),
    )  # fmt: skip
    zero_rows(whole.a, 0, 1, 2, bias=0)
    zero_columns(whole.a, 0, 1, 5)
    small = compacted(whole)
    assert small.e.weight.shape == (ROWS, COLUMNS - 2)
    assert len(small.state_dict()) == 3


def test_positions_added_to_words_are_tied_to_them():
    whole = Lambda(
        lambda s, t: s.a(F.relu(s.e(t) + s.p(torch.arange(LENGTH)))),
        e=nn.Embedding(ROWS, COLUMNS), p=nn.Embedding(LENGTH, COLUMNS), a=nn.Linear(COLUMNS, 3),
    )  # fmt: skip
    zero_columns(whole.a, 0, 7)
    small = compacted(whole)
    assert small.e.weight.shape == (ROWS, COLUMNS - 2)
    assert small.p.weight.shape == (LENGTH, COLUMNS - 2)


@pytest.mark.parametrize("form", FORMS)
def test_whatever_is_dead_the_function_stays(form):
    for seed in range(8):
        torch.manual_seed(seed)
        whole = network(form)
        with torch.no_grad():
            for tensor in (whole.e.weight.t(), whole.a.weight.t(), whole.a.weight):
                tensor[torch.rand(len(tensor)) < 0.4] = 0
            whole.e.weight[:, torch.rand(COLUMNS) < 0.2] = 0.3
        compacted(whole)
