"""Names that end in code: torch writes Python from a graph, with every name in it as it stands.

A tensor called `a"), print("` would close the string that torch puts around it. Names come from
files and from the networks of others, so they are looked at before torch writes anything.
"""

from __future__ import annotations

import keyword
import re
from collections.abc import Iterable

from torch import fx, nn

from tl1bench.errors import CompactionError

_WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,199}", re.ASCII)
# What a module calls its own: at any depth, and where the graph itself is the module.
_MODULE = frozenset(dir(nn.Module()))
_GRAPH = frozenset(dir(fx.GraphModule(nn.Module(), fx.Graph())))
_MOST = 1000


def is_value(name: str) -> bool:
    """Whether a call or an input may have this name: an identifier of plain letters."""
    return bool(_WORD.fullmatch(name))


def is_tensor(name: str) -> bool:
    """Whether a tensor may have this dotted name.

    Its parts may be any printable text without quotes and backslashes, since networks hold `0` and
    `layer-1`; but none may be a keyword of Python or what a module calls its own.
    """
    first, *rest = parts = name.split(".")
    return (
        len(name) <= _MOST
        and name.isprintable()
        and not {'"', "\\"} & set(name)
        and all(parts)
        and not any(keyword.iskeyword(part) for part in parts)
        and first not in _GRAPH
        and not _MODULE & set(rest)
    )


def check_tensors(names: Iterable[str]) -> None:
    """Refuse tensors whose names torch would write into Python as something else.

    Raises
    ------
    CompactionError
        One is among them; the message names it.
    """
    for name in names:
        if not is_tensor(name):
            raise CompactionError(
                f"A tensor is called {name[:60]!r}, which would be more than a name in the Python "
                "that torch writes from a graph: rename its layer."
            )
