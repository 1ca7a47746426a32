"""`python -m tools.gpu_proof FOLDER [--data FOLDER] [--skip PART …] [--dry] [--seconds N]`."""

from __future__ import annotations

import argparse
import importlib
import json
import os
import platform
import signal
import sys
import threading
import time
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

# The part that each has of the time; a path takes what it gets.
PARTS = {
    "checks": 0.25, "steps": 0.13, "walk": 0.32, "many": 0.15, "cutting": 0.07, "latency": 0.08,
}  # fmt: skip
SECONDS, LEAST = 450, 5
# A part that takes longer than this many times its share is broken off.
PATIENCE = 1.5
# What cannot be broken off, because a signal waits until C code returns, may take so much longer.
GRACE = 10


class _OutOfTimeError(BaseException):
    """What no part catches."""


def main(arguments: Sequence[str]) -> int:
    """Run the parts, write each one's rows, print a table; return 1 where a check did not hold."""
    asked = _asked(arguments)
    if asked.dry:
        os.environ["TRITON_INTERPRET"] = "1"
    from tools.gpu_proof.scale import DRY, REAL, Proof

    scale = DRY if asked.dry else REAL
    asked.folder.mkdir(parents=True, exist_ok=True)
    began, why = time.monotonic(), _prepare(scale.device)
    failed = {"triton": why} if why else {}
    result: dict[str, Any] = {"machine": _machine(scale.device), "parts": {}, "failed": failed}
    _end_after(asked.seconds + GRACE, result, asked.folder)
    chosen = {part: share for part, share in PARTS.items() if part not in asked.skip}
    for part in PARTS:
        left = asked.seconds - (time.monotonic() - began)
        if part not in chosen or left < LEAST:
            result["failed"][part] = "skipped" if part not in chosen else "no time was left"
        else:
            seconds = min(left, asked.seconds * chosen[part] / sum(chosen.values()))
            proof = Proof(scale, asked.data, asked.folder, seconds)
            _try(part, proof, min(left, PATIENCE * seconds), result)
        result["seconds"] = time.monotonic() - began
        _write(result, asked.folder)
    sys.stdout.write(_table(result))
    held = all(row["held"] for row in result["parts"].get("checks", ()))
    needed = {"triton"} | ({"checks"} & chosen.keys())
    return int(not held or not needed.isdisjoint(result["failed"]))


def _end_after(seconds: float, result: dict[str, Any], folder: Path) -> None:
    def end() -> None:
        result["failed"]["proof"] = f"ended after {seconds:.0f} s: a part could not be broken off"
        result["seconds"] = seconds
        _write(result, folder)
        sys.stdout.write(_table(result))
        sys.stdout.flush()
        os._exit(1)

    timer = threading.Timer(seconds, end)
    timer.daemon = True
    timer.start()


def _write(result: dict[str, Any], folder: Path) -> None:
    (folder / "proof.json").write_text(json.dumps(result, indent=1, default=str))


def _try(part: str, proof: Any, seconds: float, result: dict[str, Any]) -> None:
    rows = result["parts"][part] = []
    signal.signal(signal.SIGALRM, _break_off)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        for row in importlib.import_module(f"tools.gpu_proof.{part}").run(proof):
            rows.append(row)
    except _OutOfTimeError:
        result["failed"][part] = f"broken off after {seconds:.0f} s"
    except Exception as error:  # the next part may hold all the same
        result["failed"][part] = f"{type(error).__name__}: {error}"
        traceback.print_exc()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def _break_off(*_: object) -> None:
    raise _OutOfTimeError


def _asked(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="tools.gpu_proof", description=__doc__)
    parser.add_argument("folder", type=Path, help="where results and networks go")
    parser.add_argument("--data", type=Path, help="a folder with CIFAR-10, Fashion-MNIST or MNIST")
    parser.add_argument("--skip", nargs="*", default=[], choices=list(PARTS))
    parser.add_argument("--dry", action="store_true", help="tiny, on the CPU, by the interpreter")
    parser.add_argument("--seconds", type=float, default=SECONDS)
    return parser.parse_args(arguments)


def _prepare(device: torch.device) -> str:
    """Set torch up; return why Triton was put aside, or nothing."""
    import torch

    from tools.gpu_proof import aside

    torch.set_num_threads(1)
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    if device.type == "cuda" and not torch.cuda.is_available():
        raise SystemExit("there is no card here: --dry runs in tiny sizes without one.")
    return aside.probed(device)


def _machine(device: torch.device) -> dict[str, Any]:
    import torch

    from tl1bench.kernels import card

    there = torch.cuda.get_device_properties(0) if torch.cuda.is_available() else None
    return {
        "card": there.name if there else None,
        "memory_mib": there.total_memory / 2**20 if there else None,
        "python": platform.python_version(), "torch": torch.__version__,
        "cuda": torch.version.cuda,
        "triton": card.takes(torch.ones(1, device=device)),
        "dry": device.type == "cpu",
    }  # fmt: skip


def _table(result: dict[str, Any]) -> str:
    """Return a short table: what did not hold, then every part's rows."""
    machine = result["machine"]
    lines = [
        f"{machine['card'] or 'no card'}, torch {machine['torch']}, Triton {machine['triton']}"
    ]
    checks = result["parts"].get("checks", [])
    broken = [row for row in checks if not row["held"]]
    lines.append(f"checks: {len(checks) - len(broken)} of {len(checks)} hold")
    lines += [f"  NOT {row['what']}: {row['found']} (allowed {row['allowed']})" for row in broken]
    for part, rows in result["parts"].items():
        if part != "checks":
            lines.append(f"{part}:")
            lines += [f"  {_line(row)}" for row in rows]
    lines += [f"{part}: {why}" for part, why in result["failed"].items()]
    return "\n".join([*lines, f"{result.get('seconds', 0):.0f} s"]) + "\n"


def _line(row: dict[str, Any]) -> str:
    shown = [
        f"{name} {value:.4g}" if isinstance(value, float) else f"{name} {value}"
        for name, value in row.items()
        if name != "what" and value is not None
    ]
    return f"{row['what']}: {', '.join(shown)}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
