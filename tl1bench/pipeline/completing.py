"""A short params.yaml, completed for DVC: every section is written out, so that DVC sees it."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import yaml

from tl1bench import files
from tl1bench.config import Config
from tl1bench.errors import ConfigError

PIPELINE = "dvc.yaml"
# What dvc.yaml does not ask for: where it runs, not what is run.
_UNASKED = {"device", "workers", "data"}


def used(config: Config) -> set[str]:
    """Return the data sets that some problem uses."""
    return {problem.dataset for problem in config.problems.values()}


def pipeline(root: Path, source: Path, config: Config) -> Path:
    """Return the dvc.yaml that follows `source`, both relative to `root`, all sections filled in.

    Sections that are missing are added at the end of the file. A file that lies beside no dvc.yaml
    is copied to `reports/<profile>`, without data that no problem uses. A profile's own folder gets
    its dvc.yaml when it is first run: DVC warns of metrics that no run has made.

    Parameters
    ----------
    root
        A checkout.
    source
        The params.yaml that was read.
    config
        What it says.

    Returns
    -------
    Path
        The pipeline.

    Raises
    ------
    ConfigError
        A key is there twice, which DVC refuses and other readers do not see; nothing can be added
        to the file as it is written; or it lies beside a dvc.yaml, which asks for all data that it
        names, and names some that no problem uses.
    """
    _refuse_twice(source, yaml.compose((root / source).read_bytes(), Loader=yaml.SafeLoader))
    beside = source.with_name(PIPELINE)
    own = (root / beside).is_file() and source.name == "params.yaml"
    if own:
        if idle := sorted(set(config.datasets) - used(config)):
            raise ConfigError(
                f"{source}: no problem uses {', '.join(idle)} of `datasets:`, and the dvc.yaml "
                "beside it would ask for that; take it out, or keep it in a file of another name "
                "and `profile:`, for --params."
            )
        _add_missing(root, source, config)
        return beside
    target = config.reports / "params.yaml"
    if target == source:
        # Its own folder already: what is idle must be there, as DVC asks for all that is named.
        if not (root / beside).is_file():
            shutil.copyfile(root / PIPELINE, root / beside)
        return beside
    head = f"# Written by `tl1bench run` from {source.name}, with all defaults: change that one.\n"
    files.write_text(root / target, head + _yaml(_whole(config, target)))
    shutil.copyfile(root / PIPELINE, root / target.with_name(PIPELINE))
    return target.with_name(PIPELINE)


def _refuse_twice(source: Path, node: yaml.Node | None) -> None:
    """Walk what `config.load` has found to be finite."""
    children = node.value if isinstance(node, yaml.SequenceNode) else []
    if isinstance(node, yaml.MappingNode):
        seen: dict[str, int] = {}
        for key, value in node.value:
            line, name = key.start_mark.line + 1, str(key.value)
            if name in seen:
                raise ConfigError(
                    f"{source}: {name!r} is there twice, in lines {seen[name]} and {line}; "
                    "take one of them out."
                )
            seen[name] = line
            children.append(value)
    for child in children:
        _refuse_twice(source, child)


def _add_missing(root: Path, source: Path, config: Config) -> None:
    missing = set(Config.model_fields) - config.model_fields_set - _UNASKED
    if not missing:
        return
    whole = _whole(config, source)
    added = {name: whole[name] for name in whole if name in missing}
    before = (root / source).read_text(encoding="utf-8")
    text = (
        f"{before.rstrip()}\n\n# Added by `tl1bench run`: the defaults of what was left out, for "
        f"DVC to see.\n{_yaml(added)}"
    )
    if not _says(text, {**yaml.safe_load(before), **added}):
        raise ConfigError(
            f"{source} lacks {', '.join(sorted(missing))}, and nothing can be added to it as it is "
            "written: write each of its sections on lines of its own."
        )
    files.write_text(root / source, text)


def _says(text: str, content: dict[str, Any]) -> bool:
    try:
        return bool(yaml.safe_load(text) == content)
    except yaml.YAMLError:
        return False


def _whole(config: Config, place: Path) -> dict[str, Any]:
    """Return all settings, idle data sets left out, for a params.yaml at `place`."""
    content = config.model_dump(mode="json")
    content["root"] = "/".join(".." for _ in place.parts[1:]) or "."
    content["params"] = str(place)
    content["datasets"] = {n: d for n, d in content["datasets"].items() if n in used(config)}
    for problem in content["problems"].values():
        # A problem has one of the two; DVC's templates know no null.
        for kind in ("path", "budget"):
            if problem[kind] is None:
                del problem[kind]
        if problem.get("budget", {}).get("decay") is not None:
            del problem["budget"]["hold"], problem["budget"]["final_lr"]
    return content


def _yaml(content: dict[str, Any]) -> str:
    return yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=100)
