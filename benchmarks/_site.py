"""Make the site that `asv publish` wrote work without the web: `python -m benchmarks._site FOLDER`.

asv's page loads its libraries from other servers. Each is looked for in FOLDER (node_modules) by
the digest that the page itself asks for, then by name, copied beside the page and linked from it.
"""

from __future__ import annotations

import base64
import hashlib
import re
import shutil
import sys
from pathlib import Path

HTML = Path(".asv/html")
LIBRARIES = "libraries"
TAG = re.compile(r'<(?:script|link)\b[^>]*?(?:src|href)="(https://[^"]+\.(?:js|css))"[^>]*>')
DIGEST = re.compile(r'integrity="(sha\d+)-([^"]+)"')


def find(tag: str, name: str, folder: Path) -> Path:
    """Return the library that `tag` asks for, known by its digest or else by its name.

    Raises
    ------
    FileNotFoundError
        There is none.
    """
    files = sorted(file for kind in ("js", "css") for file in folder.rglob(f"*.{kind}"))
    asked = DIGEST.search(tag)
    for file in files if asked else ():
        if base64.b64encode(hashlib.new(asked[1], file.read_bytes()).digest()).decode() == asked[2]:
            return file
    for file in files:
        if file.name in (name, name.replace(".min.", ".")):
            return file
    raise FileNotFoundError(f"{name} is not in {folder}: install the package that holds it.")


def localise(page: str, folder: Path, target: Path) -> str:
    """Return `page` with its libraries taken from `target`, to which they are copied."""
    target.mkdir(parents=True, exist_ok=True)

    def local(tag: re.Match[str]) -> str:
        name = tag[1].rpartition("/")[2]
        shutil.copy(find(tag[0], name, folder), target / name)
        if name.endswith(".css"):
            return f'<link rel="stylesheet" href="{target.name}/{name}">'
        return f'<script src="{target.name}/{name}">'

    return TAG.sub(local, page)


def main() -> None:
    """Rewrite the site's one page."""
    page = HTML / "index.html"
    text = localise(page.read_text(encoding="utf-8"), Path(sys.argv[1]), HTML / LIBRARIES)
    page.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
