"""What these tests measure is the protocol, not a network: no longer than it must."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from tl1bench.measuring import modes


@pytest.fixture(scope="module")
def brief() -> Iterator[None]:
    """Leave each process a twelfth of the quick mode's time beside the calls that it promises."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(modes.MODES, "quick", replace(modes.MODES["quick"], budget_s=0.05))
        yield
