"""Methods that run packages of other authors."""

from __future__ import annotations

import sys

import pytest

from tl1bench import methods
from tl1bench.errors import MissingPackageError


@pytest.mark.parametrize(
    ("method", "module", "package"),
    [
        ("torch_pruning", "torch_pruning", "torch-pruning"),
        ("pat", "torchao.prototype.pat", "torchao"),
    ],
)
def test_a_missing_package_is_told_in_one_sentence(
    method: str, module: str, package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingPackageError, match=rf"needs the package {package}, .*\[rivals\]"):
        methods.load(method)
