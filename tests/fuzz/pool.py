"""Runs jobs in a worker process, and counts what became of them: refusals, tracebacks, crashes, hangs, memory."""

from __future__ import annotations

import contextlib
import json
import selectors
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
SECONDS = 60.0
"""A job that takes longer hangs. The largest picture allowed takes about a second; busy machines take more."""


@dataclass
class Counts:
    """What became of the jobs of one part. `examples` holds the first few that went wrong."""

    jobs: int = 0
    done: int = 0
    refused: int = 0
    tracebacks: int = 0
    crashes: int = 0
    hangs: int = 0
    silent_loads: int = 0
    peak_mb: int = 0
    note: str = ""
    examples: list[str] = field(default_factory=list)

    def add(self, name: str, answer: dict[str, Any], *, must_refuse: bool = False) -> None:
        """Count one answer. With `must_refuse`, a job that was done is damage that nobody noticed."""
        self.jobs += 1
        self.peak_mb = max(self.peak_mb, answer.get("peak_mb", 0))
        counter = {"done": "done", "refused": "refused", "traceback": "tracebacks", "crash": "crashes", "hang": "hangs"}
        outcome = counter[answer["outcome"]]
        if must_refuse and outcome == "done":
            outcome = "silent_loads"
        setattr(self, outcome, getattr(self, outcome) + 1)
        if outcome not in ("done", "refused") and len(self.examples) < 5:
            self.examples.append(f"{name}: {outcome}: {answer.get('reason', '')}"[:800])

    @property
    def failures(self) -> int:
        """What must be 0."""
        return self.tracebacks + self.crashes + self.hangs + self.silent_loads


class Worker:
    """One worker process, started again when it dies or hangs. Use as a context manager."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Worker:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop()

    def run(self, job: dict[str, Any]) -> dict[str, Any]:
        """The worker's answer, or {"outcome": "crash" or "hang"}."""
        process = self._process or self._start()
        assert process.stdin is not None
        assert process.stdout is not None
        with contextlib.suppress(BrokenPipeError):
            process.stdin.write(json.dumps(job) + "\n")
            process.stdin.flush()
        with selectors.DefaultSelector() as selector:
            selector.register(process.stdout, selectors.EVENT_READ)
            ready = selector.select(SECONDS)
        if not ready:
            self._stop()
            return {"outcome": "hang", "reason": f"no answer in {SECONDS:g} s"}
        line = process.stdout.readline()
        if not line:
            code = process.wait()
            self._stop()
            return {"outcome": "crash", "reason": f"the process ended with {code}"}
        return json.loads(line)

    def _start(self) -> subprocess.Popen[str]:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.fuzz.worker"], cwd=ROOT, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        return self._process

    def _stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None
