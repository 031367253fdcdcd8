"""How far a longer piece of work is, in one line that a person sees."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

PAUSE = 0.1
"""Seconds between two updates: a terminal may be slower than the work."""


def progress_line(quiet: bool = False) -> Callable[[str, int, int], None] | None:
    """A line with the part of the work, what is done and the time left, where a person is looking; else None."""
    if quiet or not sys.stderr.isatty():
        return None
    starts: dict[str, float] = {}
    shown = 0.0

    def show(what: str, done: int, total: int) -> None:
        nonlocal shown
        now = time.monotonic()
        passed = now - starts.setdefault(what, now)
        if done < total and now - shown < PAUSE:
            return
        shown = now
        left = f", {passed / (done - 1) * (total - done):.0f} s left" if done > 1 else ""
        end = "\r\033[K" if done == total else ""
        sys.stderr.write(f"\r{what}: {done} of {total}{left}\033[K{end}")
        sys.stderr.flush()

    return show
