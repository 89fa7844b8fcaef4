"""How far a long evaluation is: `progress(what, done, total)`, called as often as it is convenient."""

import sys
import time
from collections.abc import Callable
from typing import TextIO

Progress = Callable[[str, int, int], None]


def silent(what: str, done: int, total: int) -> None:
    """Tells nobody."""


class Bar:
    """A bar on a terminal; elsewhere a plain line at most every ten seconds."""

    def __init__(self, stream: TextIO = sys.stderr, clock: Callable[[], float] = time.monotonic) -> None:
        self._stream, self._clock, self._terminal = stream, clock, stream.isatty()
        self._what, self._done, self._began, self._told = "", 0, 0.0, clock()
        self._open = False
        """Whether the terminal's line is still the bar's."""

    def __call__(self, what: str, done: int, total: int) -> None:
        now = self._clock()
        if what != self._what or done < self._done:  # another piece of work, or the same for the next split
            self._what, self._began = what, now
            self._told -= self._terminal  # on a terminal it shows at once
        self._done = done
        ended = done >= total
        if now < self._told + (0.2 if self._terminal else 10) and not (ended and self._terminal):
            return
        self._told = now
        left_s = (now - self._began) * (total - done) / done if done else 0.0
        told = f"{what}: {done:,} of {total:,}" + (f", {left_s:.0f} s left" if left_s >= 1 else "")
        if not self._terminal:
            print(told, file=self._stream, flush=True)
            return
        filled = "█" * (30 * done // max(total, 1))
        print(f"\r\x1b[K{filled:░<30} {told}", end="\n" if ended else "", file=self._stream, flush=True)
        self._open = not ended

    def close(self) -> None:
        """Leaves the terminal's line to whoever writes next."""
        if self._open:
            print(file=self._stream, flush=True)
        self._open = False
