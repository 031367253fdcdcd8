"""The parent's side of the measuring processes."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from edgeface import errors
from edgeface.bench.latency import Plan
from edgeface.errors import EdgeFaceError


def module_command(module: str) -> list[str]:
    """What runs one of our modules as a program, whatever `edgeface` folder lies in the working directory.

    Python's own switch for that, PYTHONSAFEPATH, came with 3.11.
    """
    code = "import runpy, sys; sys.path[:] = [place for place in sys.path if place]; "
    return [sys.executable, "-c", f"{code}runpy.run_module({module!r}, run_name='__main__')"]


class WorkerProcess:
    """One target in a process of its own: started, asked, and ended at the end of the `with` block.

    Errors in the process come back as the errors they were. `name` is how error messages call the target.
    """

    def __init__(self, name: str, path: Path) -> None:
        self.name = name
        self.path = path
        self._started = time.monotonic()
        self._process = subprocess.Popen(
            module_command("edgeface.bench.worker"),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            start_new_session=True,  # Ctrl-C is for the parent, which ends its workers
        )

    def __enter__(self) -> WorkerProcess:
        return self

    def __exit__(self, error: object, *_: object) -> None:
        if error is not None:  # it may be in the middle of a turn
            self._process.kill()
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout=2)
            return
        self._process.kill()
        self._process.wait()

    def close(self) -> None:
        """End the process, which is not in the middle of a turn."""
        self.__exit__(None)

    def load(self, threads: int, runtime: str | None, cores: list[int]) -> dict[str, Any]:
        """Load the target; `cold_start_ms` is from the start of the process to its first output."""
        facts = self.ask(do="load", path=str(self.path), threads=threads, runtime=runtime, cores=cores)
        return {"cold_start_ms": (facts.pop("first_output_at") - self._started) * 1e3, **facts}

    def turn(self, plan: Plan) -> list[float]:
        """The target's turn in one round: milliseconds of each inference."""
        return self.ask(do="turn", **plan.turn)["ms"]

    def accuracy(self, data: Path, split: str, progress: Callable[[int, int], None] | None = None) -> dict[str, Any]:
        """Top-1 over a split: see `targets.accuracy`. `progress(done, total)` counts images."""
        return self.ask(progress, do="accuracy", data=str(data), split=split)

    def ask(self, progress: Callable[[int, int], None] | None = None, **request: Any) -> dict[str, Any]:
        """Send one request and wait for its answer. Raises EdgeFaceError when the process has died."""
        self._send(request)
        while "progress" in (reply := self._receive()):
            if progress is not None:
                progress(*reply["progress"])
        if "error" in reply:
            raise _as_error(self.name, reply)
        return reply

    def _send(self, request: dict[str, Any]) -> None:
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # it has died; receiving says so
            self._process.stdin.write(json.dumps(request) + "\n")
            self._process.stdin.flush()

    def _receive(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if line:
            return json.loads(line)
        code = self._process.wait()
        raise EdgeFaceError(
            f"{self.name}: the measuring process ended by itself (exit code {code}); "
            "out of memory, or a runtime that cannot run this model: try another --runtime"
        )


def _as_error(name: str, reply: dict[str, Any]) -> Exception:
    """The error that a worker reported, for the parent to raise."""
    kind = getattr(errors, reply["error"], None)
    if isinstance(kind, type) and issubclass(kind, EdgeFaceError):
        return kind(reply["message"])
    if reply["error"] == "ModuleNotFoundError":
        return ModuleNotFoundError(reply["message"], name=reply["module"])
    return RuntimeError(f"{name}: {reply['traceback']}")
