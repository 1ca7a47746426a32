"""What the whole suite shares: one finished smoke run, and how long it all took, for the README."""

import json
import sys
import time
from pathlib import Path

import pytest
from checkouts import ROOT, call, repro
from xdist.scheduler import LoadScopeScheduling

from tl1bench.pipeline import run

BEGAN = time.time()


# These share the smoke run, so they run in one process; they take longest, so they begin.
TOGETHER = ("test_pipeline.py", "test_recipes.py")


class ByFile(LoadScopeScheduling):
    """Give each file's tests to one process (`-n`): several share their preparations."""

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.split("::")[0]
        return "smoke" if Path(file).name in TOGETHER else file


@pytest.fixture(autouse=True, scope="module")
def denormals():
    """Undo what training sets for its process: hypothesis needs the smallest numbers."""
    yield
    if "torch" in sys.modules:
        sys.modules["torch"].set_flush_denormal(False)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log) -> ByFile:
    config.option.loadscopereorder = False
    return ByFile(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: item.path.name not in TOGETHER)


def pytest_terminal_summary(terminalreporter, exitstatus, config) -> None:
    whole = config.args_source is pytest.Config.ArgsSource.TESTPATHS
    if (
        whole
        and not hasattr(config, "workerinput")  # a process of `-n` knows its own tests alone
        and exitstatus == pytest.ExitCode.OK
        and config.option.markexpr
        and not config.option.keyword
    ):
        target = Path(config.rootpath) / ".work" / "tests.json"
        target.parent.mkdir(exist_ok=True)
        passed = len(terminalreporter.stats.get("passed", []))
        target.write_text(
            json.dumps({"passed": passed, "seconds": round(time.time() - BEGAN)}) + "\n"
        )


@pytest.fixture(scope="session")
def smoke(tmp_path_factory) -> Path:
    """Return a copy of the project in which the smoke profile has run: not to be changed."""
    tree = tmp_path_factory.mktemp("smoke") / "tree"
    run.lay_out(ROOT, tree, ROOT / "reports/smoke/params.yaml")
    with (tree / "params.yaml").open("a") as settings:
        settings.write("workers: 1\n")  # the other core has tests of its own
    fetched = call(tree, "-m", "tl1bench", "data", "--quiet")
    assert fetched.returncode == 0, fetched.stderr
    repro(tree)
    return tree
