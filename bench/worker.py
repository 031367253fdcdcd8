"""The process that measures one target: `python -m edgeface.bench.worker`.

Takes one JSON request a line on standard input and answers each with one JSON line on what was its standard output;
whatever native code prints goes to standard error. Ends when its input does, so it never outlives its parent.

    {"do": "load", "path": ..., "threads": 1, "runtime": null, "cores": [1]}  -> start-up times, runtime, delegate
    {"do": "turn", "runs": 10, "seconds": 0.5, ...}                           -> {"ms": [...]}
    {"do": "memory"}                                                          -> {"base": ..., "init": ..., "peak": ...}
    {"do": "batch", "images": 32, ...}                                        -> {"ms": [...]} or {"reason": ...}
    {"do": "pipeline", "photo": ..., ...}                                     -> {"ms": [...]}
    {"do": "arena"}                                                           -> {"bytes": ... or null}
    {"do": "per_op", "path": ..., "threads": 1, "cores": [1]}                 -> see `op_profile` (no load before it)
    {"do": "accuracy", "data": ..., "split": "val"}                           -> {"top1": ..., "images": ...}

While the accuracy is measured, lines {"progress": [done, total]} come before the answer.
"""

from __future__ import annotations

import json
import os
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

WARM_UP_RUNS = 20
WARM_UP_SECONDS = 1.0
FEWEST_WARM_UP_RUNS = 3


class Worker:
    """Holds the one target of this process."""

    def __init__(self, send: Callable[[dict[str, Any]], None]) -> None:
        self._send = send
        self._target: Any = None
        self._rss: dict[str, float | None] = {}
        self._batch: Callable[[], Any] | None = None

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        """Carry out one request."""
        actions: dict[str, Callable[..., dict[str, Any]]] = {
            "load": self._load,
            "turn": self._turn,
            "memory": self._memory,
            "accuracy": self._accuracy,
            "batch": self._run_batch,
            "pipeline": self._pipeline,
            "arena": lambda: {"bytes": self._target.arena()},
            "per_op": self._per_op,
        }
        return actions[request.pop("do")](**request)

    def _load(self, path: str, threads: int, runtime: str | None, cores: list[int]) -> dict[str, Any]:
        _pin(cores, threads)
        from edgeface.bench import latency, memory, targets

        self._rss["base"] = memory.resident_mb()
        start = time.monotonic()
        self._target = targets.load(Path(path), threads, runtime)
        loaded = time.monotonic()
        self._target.infer()
        first_output = time.monotonic()
        self._rss["init"] = memory.resident_mb()
        warm_up = latency.timed_runs(self._target.infer, WARM_UP_RUNS, WARM_UP_SECONDS, FEWEST_WARM_UP_RUNS)
        return {
            "first_output_at": first_output,
            "load_ms": (loaded - start) * 1e3,
            "first_inference_ms": (first_output - loaded) * 1e3,
            "warm_up_runs": len(warm_up) + 1,
            "runtime": self._target.runtime,
            "delegate": self._target.delegate,
        }

    def _turn(self, **share: Any) -> dict[str, Any]:
        from edgeface.bench import latency

        for _ in range(latency.SETTLING_RUNS):
            self._target.infer()
        return {"ms": latency.timed_runs(self._target.infer, **share)}

    def _memory(self) -> dict[str, Any]:
        from edgeface.bench import memory

        return {**self._rss, "peak": memory.peak_mb()}

    def _run_batch(self, images: int, **share: Any) -> dict[str, Any]:
        from edgeface.bench import latency

        try:
            if self._batch is None:
                self._batch = self._target.batch(images)
                self._batch()
        except (ValueError, RuntimeError) as error:  # a graph that is bound to one image
            return {"reason": f"this model does not run {images} images at a time ({str(error).splitlines()[0]})"}
        return {"ms": latency.timed_runs(self._batch, **share)}

    def _pipeline(self, photo: str, **share: Any) -> dict[str, Any]:
        from edgeface.bench import latency

        self._target.pipeline(Path(photo))
        return {"ms": latency.timed_runs(lambda: self._target.pipeline(Path(photo)), **share)}

    def _per_op(self, path: str, threads: int, cores: list[int]) -> dict[str, Any]:
        _pin(cores, threads)
        from edgeface.bench import op_profile
        from edgeface.bundle import open_bundle

        bundle = open_bundle(path)
        return op_profile.profile(bundle.model_path, bundle.read_model(), threads)

    def _accuracy(self, data: str, split: str) -> dict[str, Any]:
        from edgeface.bench import targets

        return targets.accuracy(
            self._target, Path(data), split, lambda done, total: self._send({"progress": [done, total]})
        )


def _pin(cores: list[int], threads: int) -> None:
    """Keep this process on its cores, and OpenBLAS and OpenMP from starting more threads."""
    if cores:
        os.sched_setaffinity(0, cores)
    for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ[variable] = str(threads)


def main() -> None:
    """Answer requests until the input ends, or until nobody listens."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)

    def send(reply: dict[str, Any]) -> None:
        try:
            answers.write(json.dumps(reply) + "\n")
            answers.flush()
        except BrokenPipeError:
            os._exit(1)

    worker = Worker(send)
    for line in sys.stdin:
        try:
            reply = worker.answer(json.loads(line))
        except Exception as error:
            reply = {"error": type(error).__name__, "message": str(error), "traceback": traceback.format_exc()}
            reply["module"] = getattr(error, "name", None)
        send(reply)


if __name__ == "__main__":
    main()
