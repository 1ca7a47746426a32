"""Known holes in the pinned packages, by pip-audit; believed only about what was looked up.

Where the vulnerability service does not know or does not answer, pip-audit skips a package and
still says that nothing was found: no answer is told apart from a good one here.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

LOCK = Path("requirements.lock")
_COMMAND = ("-m", "pip_audit", "--no-deps", "--disable-pip", "--progress-spinner=off",
            "--format=json", "--requirement")  # fmt: skip


def judge(output: str) -> tuple[int, list[str]]:
    """Return the exit status and what to say, from what pip-audit wrote.

    The status is 0 when no hole is known, 1 when one is, and 2 when nothing could be looked up.
    """
    try:
        packages = json.loads(output)["dependencies"]
    except (ValueError, KeyError, TypeError):
        packages = []
    known = [p for p in packages if "vulns" in p]
    if not known:
        return 2, [
            "The vulnerability service cannot be asked from here, so nothing is known about any "
            "pinned package: run `make audit` on a machine that reaches it."
        ]
    holes = [
        f"{p['name']} {p['version']}: {hole['id']}, mended in "
        f"{', '.join(hole['fix_versions']) or 'no version yet'}"
        for p in known
        for hole in p["vulns"]
    ]
    said = holes or [f"No hole is known in {len(known)} pinned packages."]
    skipped = [p["name"] for p in packages if "vulns" not in p]
    if skipped:
        said.append(f"Not looked up, since the service does not know them: {', '.join(skipped)}.")
    return int(bool(holes)), said


def main() -> int:
    """Ask about every line of requirements.lock and print the answer."""
    done = subprocess.run(
        [sys.executable, *_COMMAND, str(LOCK)], capture_output=True, text=True, check=False
    )
    status, said = judge(done.stdout)
    sys.stdout.write("".join(f"{line}\n" for line in said))
    return status


if __name__ == "__main__":
    sys.exit(main())
