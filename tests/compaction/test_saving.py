"""Compact networks go to disk and come back the same, as data and not as code."""

import json
import pickle

import pytest
import torch
from hand_networks import Attention, Dense, Residual, Shuffle, SqueezeExcite, randomise
from safetensors import safe_open
from safetensors.torch import save_file
from test_compact import thin_out
from torch import nn

from tl1bench.compaction import compact, load_compacted
from tl1bench.errors import CompactionError

KINDS = {
    Residual: (3, 8, 8), Dense: (3, 6, 6), SqueezeExcite: (3, 6, 6), Shuffle: (3, 6, 6),
    Attention: (5, 8),
}  # fmt: skip


@pytest.fixture
def no_pickle(monkeypatch):
    def refuse(*_, **__):
        raise AssertionError("pickle was used")

    for module, name in [(pickle, "load"), (pickle, "loads"), (pickle, "dumps"), (torch, "load")]:
        monkeypatch.setattr(module, name, refuse)


@pytest.mark.usefixtures("no_pickle")
@pytest.mark.parametrize("kind", KINDS)
def test_a_network_comes_back_from_safetensors_without_pickle(kind, tmp_path, compacted):
    small = compacted(thin_out(randomise(kind()), 0.4, 3), KINDS[kind])
    small.save(tmp_path / "small.safetensors")
    again = load_compacted(tmp_path / "small.safetensors")
    x = torch.randn(7, *KINDS[kind], dtype=torch.float64)
    torch.testing.assert_close(again(x), small.model(x), rtol=0, atol=0)
    torch.testing.assert_close(again.state_dict(), small.model.state_dict(), rtol=0, atol=0)
    assert [n for n, _ in again.named_parameters()] == [
        n for n, _ in small.model.named_parameters()
    ]
    assert again.code == small.model.code
    assert not again.training


def test_structured_results_survive_the_file(tmp_path):
    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.a = nn.Linear(3, 5)

        def forward(self, x):
            y = self.a(x)
            return {"sum": y.clamp(max=float("inf")), "pair": (torch.relu(y), [x])}

    x = torch.randn(2, 3)
    compact(Two(), x).save(tmp_path / "two.safetensors")
    found = load_compacted(tmp_path / "two.safetensors")(x)
    assert isinstance(found["pair"], tuple)
    torch.testing.assert_close(found["pair"][1][0], x)


def test_a_loaded_network_trains_on(tmp_path, compacted):
    small = compacted(thin_out(randomise(Residual()), 0.3, 3), (3, 8, 8))
    small.save(tmp_path / "small.safetensors")
    network = load_compacted(tmp_path / "small.safetensors")
    x, y = torch.randn(8, 3, 8, 8, dtype=torch.float64), torch.arange(8) % 4
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    losses = []
    for _ in range(10):
        loss = nn.functional.cross_entropy(network(x), y)
        losses.append(float(loss.detach()))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        assert all(p.grad is not None for p in network.parameters())
    assert losses[-1] < losses[0]


def changed(path, change):
    """Rewrite the graph in a file."""
    with safe_open(path, framework="pt") as content:
        described = dict(content.metadata())
        tensors = {name: content.get_tensor(name) for name in content.keys()}  # noqa: SIM118
    graph = json.loads(described["graph"])
    change(graph)
    save_file(tensors, path, metadata={**described, "graph": json.dumps(graph)})


@pytest.mark.parametrize(
    "target",
    ["os.system", "operator.attrgetter", "aten.add_.Tensor", "aten.from_file.default",
     "aten.__class__.x", "prims.add.default", "aten.linear.nothing"],
)  # fmt: skip
def test_a_file_cannot_ask_for_anything_but_arithmetic(target, tmp_path):
    path = tmp_path / "small.safetensors"
    compact(nn.Linear(3, 2), torch.randn(2, 3)).save(path)

    def evil(graph):
        next(step for step in graph if step[0] == "call_function")[2] = target

    changed(path, evil)
    with pytest.raises(CompactionError, match="no compacted network"):
        load_compacted(path)


@pytest.mark.parametrize(
    ("place", "name"),
    [("placeholder", "x): import os #"), ("get_attr", "weight.__class__"), ("call_module", "a")],
)
def test_names_in_a_file_never_become_code(place, name, tmp_path):
    path = tmp_path / "small.safetensors"
    compact(nn.Linear(3, 2), torch.randn(2, 3)).save(path)

    def evil(graph):
        step = next((s for s in graph if s[0] == place), graph[0])
        step[0], step[2] = place, name

    changed(path, evil)
    with pytest.raises(CompactionError, match="no compacted network"):
        load_compacted(path)


def test_damaged_and_missing_files_are_refused(tmp_path):
    path = tmp_path / "small.safetensors"
    with pytest.raises(CompactionError, match="no compacted network"):
        load_compacted(path)
    path.write_bytes(b"nothing")
    with pytest.raises(CompactionError, match="no compacted network"):
        load_compacted(path)
    save_file({"a": torch.ones(1)}, path)
    with pytest.raises(CompactionError, match="another format"):
        load_compacted(path)
