"""Runs one after another, or several at once, each in a process of its own; stopped and started again over days."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from edgeface.bench.reproduction.plan import PlannedRun
from edgeface.files import storage_errors

POLL_SECONDS = 0.2
STOPPED = 130
LOG_LINES = 3


@dataclass
class Ended:
    """How it ended: stopped by the user, and the runs that failed with the last lines they wrote."""

    stopped: bool = False
    failed: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Workshop:
    """How runs are started: `command(run)` gives the process's arguments. With more than one job their output goes to
    `logs`/<key>.log, else to this terminal. `lock` is a file that the processes hold while one of them lives."""

    command: Callable[[PlannedRun], list[str]]
    ready: Callable[[PlannedRun], bool]
    logs: Path
    jobs: int = 1
    lock: IO[str] | None = None


def execute(runs: Sequence[PlannedRun], workshop: Workshop, say: Callable[[str], None]) -> Ended:
    """Run all of `runs` whose turn comes: a taught one waits for its teacher, and is left out when that failed.

    `workshop.ready(run)` says whether another run may start beside the others now. The first Ctrl-C (or SIGTERM) is
    passed on, so that every process finishes its step and saves; the second one too, which stops them at once.
    """
    ended = Ended()
    waiting, working = list(runs), {}  # type: tuple[list[PlannedRun], dict[str, subprocess.Popen]]
    with _passing_on_interrupts(working, ended, say):
        while working or (waiting and not ended.stopped):
            for key, process in list(working.items()):
                if process.poll() is not None:
                    del working[key]
                    _note_end(key, process.returncode, workshop, ended, say)
            while not ended.stopped and len(working) < workshop.jobs:
                run = _next(waiting, working, ended, workshop.ready, say)
                if run is None:
                    break
                waiting.remove(run)
                say(f"{run.key}: {len(runs) - len(waiting)} of {len(runs)}")
                working[run.key] = _start(run, workshop)
            time.sleep(POLL_SECONDS)
    return ended


def _next(
    waiting: list[PlannedRun],
    working: dict[str, subprocess.Popen],
    ended: Ended,
    ready: Callable[[PlannedRun], bool],
    say: Callable[[str], None],
) -> PlannedRun | None:
    """The first run that can start now. Those whose teacher failed are taken out."""
    for run in [run for run in waiting if run.teacher in ended.failed]:
        waiting.remove(run)
        ended.failed[run.key] = f"its teacher {run.teacher} failed"
        say(f"{run.key}: left out, {ended.failed[run.key]}")
    unfinished = {run.key for run in waiting} | set(working)
    for run in waiting:
        if run.teacher not in unfinished and (not working or ready(run)):
            return run
    return None


def _start(run: PlannedRun, workshop: Workshop) -> subprocess.Popen:
    options: dict[str, Any] = {"start_new_session": True, "stdin": subprocess.DEVNULL}
    if workshop.lock is not None:
        options["pass_fds"] = (workshop.lock.fileno(),)
    if workshop.jobs == 1:
        return subprocess.Popen(workshop.command(run), **options)
    threads = max(1, (os.cpu_count() or 1) // workshop.jobs)
    options["env"] = {**os.environ, "TF_NUM_INTRAOP_THREADS": str(threads)}
    path = _log(workshop, run.key)
    with storage_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a") as log:
            return subprocess.Popen(workshop.command(run), stdout=log, stderr=log, **options)


def _note_end(key: str, code: int, workshop: Workshop, ended: Ended, say: Callable[[str], None]) -> None:
    if code == 0:
        say(f"{key}: done")
    elif code == STOPPED:
        # Stopped from outside, for instance by kill: then the others stop, too.
        ended.stopped = True
    else:
        tail = ""
        if workshop.jobs > 1:
            lines = _log(workshop, key).read_text(encoding="utf-8", errors="replace").splitlines()
            tail = ": " + " / ".join(lines[-LOG_LINES:])
        ended.failed[key] = f"exit code {code}{tail}"
        say(f"{key}: failed, {ended.failed[key]}")


def _log(workshop: Workshop, key: str) -> Path:
    return workshop.logs / f"{key}.log"


@contextlib.contextmanager
def _passing_on_interrupts(
    working: dict[str, subprocess.Popen], ended: Ended, say: Callable[[str], None]
) -> Iterator[None]:
    """Processes have sessions of their own, so that one Ctrl-C reaches each of them once."""

    def stop(number: int, frame: Any) -> None:
        if not ended.stopped:
            say("stopping; press Ctrl-C again to stop at once")
        ended.stopped = True
        for process in list(working.values()):
            if process.poll() is None:
                process.send_signal(signal.SIGINT)

    previous = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
