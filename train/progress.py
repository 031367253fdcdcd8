"""Progress for people: a live bar with ETA on a terminal, a line now and then in a log, nothing when quiet."""

from __future__ import annotations

import sys
import time
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

LOG_SECONDS = 30.0


class Bar:
    """A bar over `total` steps, `done` of which are behind us. Use as a context manager."""

    def __init__(self, total: int, *, done: int = 0, quiet: bool = False):
        self.total, self.done, self.quiet = total, done, quiet
        self.before = done
        self.started, self.first, self.last_line = time.monotonic(), done, time.monotonic()
        self.live = None
        if sys.stderr.isatty() and not quiet:
            columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:>3.0f}%"))
            self.live = Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True), transient=True)
            self.task = self.live.add_task("", total=total, completed=done)

    def __enter__(self) -> Bar:
        if self.live:
            self.live.start()
        return self

    def __exit__(self, kind: type | None, value: BaseException | None, trace: TracebackType | None) -> None:
        if self.live:
            self.live.stop()

    def advance(self, text: str) -> None:
        """One step further; `text` says what is going on."""
        self.done += 1
        if self.done == self.before + 1:  # the first step may compile the graph, which says nothing of the others
            self.started, self.first = time.monotonic(), self.done
        if self.live:
            self.live.update(self.task, completed=self.done, description=text)
        elif not self.quiet and time.monotonic() - self.last_line >= LOG_SECONDS:
            self.last_line = time.monotonic()
            self.say(f"{text}  {100 * self.done // self.total} %, {self.eta()} left")

    def say(self, text: str) -> None:
        """A line that stays."""
        if self.live:
            self.live.console.print(text, highlight=False)
        elif not self.quiet:
            print(text, file=sys.stderr, flush=True)

    def eta(self) -> str:
        """Time left at the pace so far, as h:mm:ss."""
        made = self.done - self.first
        if not made:
            return "?"
        left = int((time.monotonic() - self.started) / made * (self.total - self.done))
        return f"{left // 3600}:{left // 60 % 60:02d}:{left % 60:02d}"
