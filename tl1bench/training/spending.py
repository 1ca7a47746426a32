"""Where time goes: each second is put down to the innermost thing that was being done."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Spending:
    """Seconds by what they were spent on, of `clock`."""

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self.seconds: defaultdict[str, float] = defaultdict(float)
        self._clock, self._open = clock, list[str]()
        self._since = clock()

    @contextmanager
    def on(self, what: str) -> Iterator[None]:
        """Put down to `what` the time that passes inside, but for what is told apart there."""
        self._close()
        self._open.append(what)
        try:
            yield
        finally:
            self._close()
            self._open.pop()

    def _close(self) -> None:
        now = self._clock()
        if self._open:
            self.seconds[self._open[-1]] += now - self._since
        self._since = now
