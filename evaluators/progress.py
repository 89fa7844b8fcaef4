"""Progress reports of long evaluations: `progress(what, done, total)` may be called as often as is convenient."""

import sys
import time
from collections.abc import Callable
from typing import TextIO

Progress = Callable[[str, int, int], None]


def silent(what: str, done: int, total: int) -> None:
    """Reports nothing."""


class Bar:
    """Shows progress as a bar on a terminal, or elsewhere as a plain line at most every ten seconds."""

    def __init__(self, stream: TextIO = sys.stderr, clock: Callable[[], float] = time.monotonic) -> None:
        self._stream, self._clock, self._terminal = stream, clock, stream.isatty()
        self._what, self._done, self._began, self._shown_at = "", 0, 0.0, clock()
        self._open = False
        """Whether the bar is still on the terminal's current line."""

    def __call__(self, what: str, done: int, total: int) -> None:
        now = self._clock()
        if what != self._what or done < self._done:  # another piece of work, or the same work on the next split
            self._what, self._began = what, now
            self._shown_at -= self._terminal  # a terminal shows it immediately
        self._done = done
        ended = done >= total
        if now < self._shown_at + (0.2 if self._terminal else 10) and not (ended and self._terminal):
            return
        self._shown_at = now
        left_s = (now - self._began) * (total - done) / done if done else 0.0
        text = f"{what}: {done:,} of {total:,}" + (f", {left_s:.0f} s left" if left_s >= 1 else "")
        if not self._terminal:
            print(text, file=self._stream, flush=True)
            return
        filled = "█" * (30 * done // max(total, 1))
        print(f"\r\x1b[K{filled:░<30} {text}", end="\n" if ended else "", file=self._stream, flush=True)
        self._open = not ended

    def close(self) -> None:
        """Ends the bar's line on the terminal, so that other output starts on a new one."""
        if self._open:
            print(file=self._stream, flush=True)
        self._open = False
