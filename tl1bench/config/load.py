"""Reading params.yaml."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from tl1bench import files
from tl1bench.config.profile import Config
from tl1bench.errors import ConfigError

MAX_BYTES, MAX_TEXT, MAX_VALUES, MAX_DEPTH = 1 << 18, 10_000, 100_000, 40
_SHOWN = 10


def load(path: Path) -> Config:
    """Read and validate `path`.

    Raises
    ------
    ConfigError
        The file is missing, not UTF-8, nested absurdly or no YAML, a key is unknown, or a value is
        impossible; the message names the key's path and what is allowed.
    """
    try:
        raw = read_yaml(files.read_bytes(path, MAX_BYTES))
    except OSError as error:
        raise ConfigError(f"Cannot read {path}: {error.strerror}. Name one by --params.") from error
    except UnicodeDecodeError as error:
        raise ConfigError(
            f"{path} is not UTF-8 (byte {error.start}); save it as UTF-8 text."
        ) from error
    except (yaml.YAMLError, ValueError) as error:
        reason = " ".join(str(error).split())[:300]
        raise ConfigError(f"{path} is not valid YAML: {reason}.") from error
    if not isinstance(raw, Mapping):
        raise ConfigError(f"{path} must hold a mapping of keys such as `problems:`.")
    try:
        return Config.model_validate(dict(raw))
    except ValidationError as error:
        faults = [_fault(dict(e)) for e in error.errors()]
        shown = "; ".join(faults[:_SHOWN])
        more = f"; and {len(faults) - _SHOWN} more" if len(faults) > _SHOWN else ""
        raise ConfigError(f"{path}: {shown}{more}.") from error


def read_yaml(content: bytes) -> Any:
    """Return what plain YAML holds.

    A few kilobytes of it can stand for terabytes: aliases repeat what they name, and merging does
    so at once. So what it would be without them is counted before anything is made of it.

    Raises
    ------
    ValueError
        It is no UTF-8, larger than it says, nested too deeply, or contains itself.
    yaml.YAMLError
        It is no YAML.
    """
    loader = yaml.SafeLoader(content.decode("utf-8"))
    try:
        node = loader.get_single_node()
        if node is None:
            return None
        if _count(node, {}, ()) > MAX_VALUES:
            raise ValueError(f"it stands for more than {MAX_VALUES:,} values")
        return loader.construct_document(node)
    except RecursionError:
        raise ValueError("it is nested without end") from None
    finally:
        loader.dispose()


def _count(node: yaml.Node, known: dict[int, int], above: tuple[int, ...]) -> int:
    """Return how many values a node stands for, aliases written out."""
    if isinstance(node, yaml.ScalarNode):
        if len(node.value) > MAX_TEXT:
            raise ValueError(f"a value has more than {MAX_TEXT:,} characters")
        return 1
    if id(node) in above or len(above) > MAX_DEPTH:
        raise ValueError("a value contains itself, or is nested without end")
    if id(node) not in known:
        pairs = node.value if isinstance(node, yaml.SequenceNode) else sum(node.value, ())
        known[id(node)] = 1 + sum(_count(child, known, (*above, id(node))) for child in pairs)
    return known[id(node)]


def _fault(error: dict[str, Any]) -> str:
    where = ".".join(str(part) for part in error["loc"] if part != "function-before[<lambda>()]")
    if error["type"] == "extra_forbidden":
        return f"{where} is not a known key"
    message = str(error["msg"]).removeprefix("Value error, ")
    if error["type"] == "missing":
        message = "is missing"
    given = error["input"][:60] if isinstance(error["input"], str) else error["input"]
    shown = (
        f" = {given!r}"
        if isinstance(given, int | float | str) and not isinstance(given, bool)
        else ""
    )
    return f"{where}{shown}: {message}" if where else message
