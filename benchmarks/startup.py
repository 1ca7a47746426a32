"""What a user waits for before anything happens: fresh processes."""

import resource
import subprocess
import sys


def children_seconds() -> float:
    """Return the CPU time of all processes that this one has waited for."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


class Startup:
    """An empty interpreter for comparison, `import tl1bench`, and the command's help."""

    params = (["python", "import", "help"],)
    param_names = ("what",)
    version = "1"
    timer = staticmethod(children_seconds)

    def setup(self, what: str) -> None:
        self.command = {
            "python": [sys.executable, "-c", "pass"],
            "import": [sys.executable, "-c", "import tl1bench"],
            "help": [sys.executable, "-m", "tl1bench", "--help"],
        }[what]
        done = subprocess.run(self.command, check=True, capture_output=True, text=True)
        assert ("compact" in done.stdout) == (what == "help")

    def time_process(self, what: str) -> None:  # noqa: ARG002
        subprocess.run(self.command, check=True, capture_output=True)

    def track_modules(self, what: str) -> int:
        """Return how many modules are loaded at the end: what start-up time is made of."""
        code = {
            "python": "",
            "import": "import tl1bench",
            "help": "import tl1bench.cli",
        }[what]
        code += "\nimport sys; print(len(sys.modules), 'torch' in sys.modules)"
        done = subprocess.run(
            [sys.executable, "-c", code], check=True, capture_output=True, text=True
        )
        count, torch = done.stdout.split()
        assert torch == "False"
        return int(count)

    track_modules.unit = "modules"
