"""Generated parts of a document: what stands between two markers is written by a command."""

from __future__ import annotations

from pathlib import Path

from tl1bench import files


def write_between(path: Path, name: str, text: str) -> None:
    """Replace what stands between `<!-- generated: name -->` and the next `<!-- end -->`."""
    head, _, tail = _parts(path, name)
    files.write_text(path, f"{head}{text.strip()}\n{tail}")


def read_between(path: Path, name: str) -> str:
    """Return what stands there now."""
    return _parts(path, name)[1]


def _parts(path: Path, name: str) -> tuple[str, str, str]:
    head, mark, rest = path.read_text().partition(f"<!-- generated: {name} -->\n")
    text, end, tail = rest.partition("<!-- end -->")
    if not mark or not end:
        raise ValueError(f"{path} has no place for {name!r}.")
    return head + mark, text, end + tail
