"""What holds for every rule in the folder, whoever added it: it tells the truth about channels."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from around import calls, network
from torch import Tensor, fx

from tl1bench import plugins
from tl1bench.compaction import Compactor
from tl1bench.errors import CompactionError
from tl1bench.tracing import agreement
from tl1bench.tracing.analysis import analyse
from tl1bench.tracing.graph import Traced
from tl1bench.tracing.rules import operations, rule_of
from tl1bench.tracing.rules._base import Rule
from tl1bench.tracing.rules.unary import UNARY

FOLDER = "tracing/rules"
FILES = {name: plugins.load_module(FOLDER, name, "rule") for name in plugins.module_names(FOLDER)}


def values(traced: Traced, x: Tensor) -> dict[fx.Node, Tensor]:
    """Run the graph call by call."""
    found = {**traced.static, **dict(zip(traced.inputs, (x,), strict=True))}
    for node in traced.calls:
        args, kwargs = fx.node.map_arg((node.args, node.kwargs), lambda n: found[n])
        found[node] = node.target(*args, **kwargs)
    return found


def check_constants(traced: Traced, x: Tensor) -> None:
    """Hold what the analysis calls a constant against the numbers that flow."""
    state = analyse(traced, rule_of)
    with torch.no_grad():
        found = values(traced, x)
    for node, known in state.flows.items():
        value = found[node]
        value = value[0] if isinstance(value, (tuple, list)) else value
        planes = value.movedim(known.axis, 0).flatten(1)
        assert len(planes) == len(known.ids)
        fixed = np.flatnonzero(~known.live)
        said = torch.from_numpy(known.const[fixed])[:, None]
        assert agreement.same(said.expand(-1, planes.shape[1]), planes[fixed].double())
    for node, known in state.tables.items():
        factors = [f for axis in known.axes for f in axis]
        value = found[node].reshape([-1 if f.batch else f.size for f in factors])
        said = torch.from_numpy(known.const).reshape([f.size if f.channel else 1 for f in factors])
        fixed = (~said.isnan()).expand(value.shape)
        assert agreement.same(said.expand(value.shape)[fixed], value[fixed].double())


def check(name: str) -> int:
    """Check the rule wherever the operation can be traced; return how often that was.

    The compact network is compared at another batch size than the traced one.
    """
    checked = 0
    for call in calls(name):
        around = network(call)
        x, y = (torch.randn(n, 3, *call.shape[1:], dtype=torch.float64) for n in (3, 5))
        try:
            compactor = Compactor(around, x)
        except CompactionError:  # refused: not for every batch size
            continue
        check_constants(compactor.traced, x)
        small = compactor.compact()
        with torch.no_grad():
            assert agreement.same(around(y), small.model(y))
        sizes = [sum(t.numel() for t in m.state_dict().values()) for m in (around, small.model)]
        assert sizes[1] <= sizes[0]
        assert small.report.macs_after <= small.report.macs_before
        checked += 1
    return checked


@pytest.mark.parametrize("file", FILES)
def test_a_file_gives_rules_by_operation(file):
    rules = {**FILES[file].OPS, **vars(FILES[file]).get("FUNCTIONS", {})}
    assert rules
    assert all(isinstance(rule, Rule) for rule in rules.values())


@pytest.mark.parametrize("file", FILES)
def test_every_operation_exists(file):
    for name in FILES[file].OPS:
        namespace, _, last = name.rpartition(".")
        assert hasattr(getattr(torch.ops, namespace or "aten"), last), name


def test_no_operation_has_two_rules():
    assert sum(len(module.OPS) for module in FILES.values()) == len(operations())


@pytest.mark.parametrize("name", sorted(operations()))
def test_a_rule_tells_the_truth(name):
    if "." in name or not check(name):
        pytest.skip("no arguments were found with which this operation maps samples to samples")


def test_nearly_every_rule_is_checked():
    """So that a mistake in the search for arguments does not skip what it should find."""
    # What remains takes no sample first (where, new_zeros), or an equation.
    found = [name for name in operations() if calls(name)]
    assert len(found) > 0.94 * len(operations())


@pytest.mark.parametrize("name", ["softmax", "cumsum", "glu", "layer_norm"])
def test_a_rule_that_does_not_is_noticed(name, monkeypatch):
    monkeypatch.setitem(operations(), name, UNARY)
    with pytest.raises((AssertionError, RuntimeError, ValueError)):
        check(name)
