"""Run a profile's DVC pipeline from start to report, and say where the report is."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import psutil
from rich.console import Console

from tl1bench import config, files, progress
from tl1bench.errors import Tl1benchError
from tl1bench.pipeline import completing, wall_time
from tl1bench.results import layout

PROFILES = {
    "smoke": Path("reports/smoke/params.yaml"),
    "default": Path("params.yaml"),
    "paper": Path("reports/paper/params.yaml"),
    "as-coded": Path("reports/as-coded/params.yaml"),
    "cifar": Path("reports/cifar/params.yaml"),
}

# What belongs to the profiles of the checkout itself: their results, locks and pinned data.
_OWN = ("reports/", "dvc.lock", "data.dvc")


def run(profile: str, root: Path, params: Path | None = None) -> int:
    """Run `profile` in the checkout at `root` and return DVC's exit status.

    The smoke profile runs in a temporary copy, so that nothing in the checkout moves; its report
    is copied to `build/smoke-report`. What a params.yaml leaves out is filled in.

    Parameters
    ----------
    profile
        A name in `PROFILES`.
    root
        The checkout.
    params
        A file of one's own to follow in place of the profile's, relative to `root`.

    Returns
    -------
    int
        0 when all is done; 2 when something in params.yaml or the data is wrong.

    Raises
    ------
    Tl1benchError
        There is no such profile, or `root` is no checkout of the pipeline.
    """
    if profile not in PROFILES:
        raise Tl1benchError(
            f"There is no profile {profile!r}: choose one of {', '.join(PROFILES)}."
        )
    if not (root / "dvc.yaml").is_file():
        raise Tl1benchError(
            f"{root.resolve()} holds no dvc.yaml: change into a checkout of tl1bench first."
        )
    if profile == "smoke" and params is None:
        with tempfile.TemporaryDirectory(prefix="tl1bench-smoke-") as folder:
            copy = Path(folder) / "tree"
            lay_out(root, copy, root / PROFILES["smoke"])
            status = _repro(copy, Path("params.yaml"))
            if status == 0:
                target = root / "build" / "smoke-report"
                shutil.rmtree(target, ignore_errors=True)
                shutil.copytree(copy / "reports", target)
                progress.say(f"Report: {target / 'index.html'}")
        return status
    status = _repro(root, PROFILES[profile] if params is None else params)
    if status == 0:
        progress.say(f"Report: {(root / 'reports' / 'index.html').resolve()}")
    return status


def lay_out(root: Path, target: Path, params: Path) -> None:
    """Copy the checkout at `root` to `target` as a repository of its own, with `params` laid over.

    Tracked files and new files that git does not ignore are copied, as they are now; results,
    lock and pinned data of the checkout's own profiles stay behind.

    Parameters
    ----------
    root
        A checkout.
    target
        Where the copy goes.
    params
        The params.yaml that is laid over.
    """
    # git is whichever the user's own PATH finds, as in a shell.
    listed = subprocess.run(  # nosec B607
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=root,
        check=True,
        capture_output=True,
    )
    for name in filter(None, os.fsdecode(listed.stdout).split("\0")):
        if (root / name).is_file() and not name.startswith(_OWN):
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(root / name, target / name)
    shutil.copy2(params, target / "params.yaml")
    subprocess.run(["git", "init", "--quiet"], cwd=target, check=True)  # nosec B607


def _repro(root: Path, source: Path) -> int:
    """Check what `source` says, then let DVC run it; return the exit status of what failed."""
    settings = config.load(root / source)
    _refuse_a_second(root)
    _fetch(root, settings)
    if status := _call(root, "tl1bench", "check", "--params", str(source)):
        return status
    pipeline = completing.pipeline(root, source, settings)
    began = wall_time.start(settings.profile, root)
    status = _call(root, "dvc", "repro", str(pipeline))
    if status == 0:
        closed = wall_time.close(settings.profile, began, root)
        wall_time.show(closed, settings.profile, Console())
        # What an earlier run had trained already is no part of this one's time.
        if closed.pop("whole"):
            files.write_json(root / settings.reports / layout.ACCOUNT, closed)
    return status


def _refuse_a_second(root: Path) -> None:
    """Raise Tl1benchError where a pipeline works in `root`: one whose parent was killed goes on."""
    for process in psutil.process_iter(["cmdline", "cwd"]):
        words, where = process.info["cmdline"] or [], process.info["cwd"]
        if words[1:4] == ["-m", "dvc", "repro"] and where and Path(where) == root.resolve():
            raise Tl1benchError(
                f"A pipeline is still running in {root.resolve()}, as process {process.pid}: wait "
                f"for it, or stop it by `kill {process.pid}`; what it has finished is kept."
            )


def _call(root: Path, module: str, *arguments: str) -> int:
    # The stages say `python`: it must be this one, whether the environment is active or not.
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    command = [sys.executable, "-m", module, *arguments]
    done = subprocess.run(command, cwd=root, env={**os.environ, "PATH": path}, check=False)
    return done.returncode


def _fetch(root: Path, settings: config.Config) -> None:
    from tl1bench import datasets

    for name in sorted(completing.used(settings)):
        if settings.datasets[name].path is None:
            datasets.fetch(name, root / settings.data)
