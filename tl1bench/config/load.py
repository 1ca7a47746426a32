"""Reading params.yaml."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from tl1bench.config.profile import Config
from tl1bench.errors import ConfigError


def load(path: Path) -> Config:
    """Read and validate `path`.

    Raises
    ------
    ConfigError
        The file is missing, not UTF-8, nested absurdly or no YAML, a key is unknown, or a value is
        impossible; the message names the key's path and what is allowed.
    """
    try:
        raw = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"Cannot read {path}: {error.strerror}. Name one by --params.") from error
    except UnicodeDecodeError as error:
        raise ConfigError(
            f"{path} is not UTF-8 (byte {error.start}); save it as UTF-8 text."
        ) from error
    except RecursionError as error:
        raise ConfigError(f"{path} is nested too deeply to be settings; write it flat.") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"{path} is not valid YAML: {' '.join(str(error).split())}.") from error
    if not isinstance(raw, Mapping):
        raise ConfigError(f"{path} must hold a mapping of keys such as `problems:`.")
    try:
        return Config.model_validate(dict(raw))
    except ValidationError as error:
        faults = "; ".join(_fault(dict(e)) for e in error.errors())
        raise ConfigError(f"{path}: {faults}.") from error


def _fault(error: dict[str, Any]) -> str:
    where = ".".join(str(part) for part in error["loc"] if part != "function-before[<lambda>()]")
    if error["type"] == "extra_forbidden":
        return f"{where} is not a known key"
    message = str(error["msg"]).removeprefix("Value error, ")
    if error["type"] == "missing":
        message = "is missing"
    given = error["input"]
    shown = (
        f" = {given!r}"
        if isinstance(given, int | float | str) and not isinstance(given, bool)
        else ""
    )
    return f"{where}{shown}: {message}" if where else message
