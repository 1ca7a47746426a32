"""What the whole suite shares: how long it took is written down, for the README."""

import json
import time
from pathlib import Path

import pytest

BEGAN = time.time()


def pytest_terminal_summary(terminalreporter, exitstatus, config) -> None:
    whole = config.args_source is pytest.Config.ArgsSource.TESTPATHS
    if (
        whole
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
