"""What a user waits for before anything happens."""

import subprocess
import sys


class Startup:
    """Fresh processes."""

    version = "1"

    def time_help(self) -> None:
        subprocess.run(
            [sys.executable, "-m", "tl1bench", "--help"], check=True, capture_output=True
        )

    def time_import(self) -> None:
        subprocess.run([sys.executable, "-c", "import tl1bench"], check=True)
