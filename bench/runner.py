"""One measurement of several targets, interleaved, as one result document."""

from __future__ import annotations

import contextlib
import datetime
import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

import edgeface
from edgeface.bench import latency, machine, targets
from edgeface.bench.latency import Plan
from edgeface.bench.workers import WorkerProcess
from edgeface.errors import UsageError

FORMAT = "edgeface-bench"
VERSION = 1
DEVICES = ("cpu",)
NOISY_SPREAD = 0.10
NOISY_LOAD = 0.5
"""Load a core before the measurement above which other work disturbs it."""
DEFINITIONS = {
    "latency_ms": "one inference of batch 1: set the input, run, fetch the output; preprocessing is not in it",
    "fps": "1000 / p50",
    "ratio": "times faster than the first row: median over interleaved rounds, 95 % bootstrap interval",
    "cold_start_ms": "start of a new process (files in the page cache) to its first output, Python's start in it",
    "first_inference_ms": "the first inference alone, after loading",
    "peak_rss_mb": "most resident memory of the process, Python and libraries in it; base_rss_mb is before loading",
    "file_bytes": "the .tflite file of a bundle, the weights of a run",
    "round_spread": "(90th - 10th percentile) / median of the round medians",
}


@dataclass(frozen=True)
class Settings:
    """What to measure and how. `runtimes` are names of `edgeface.interpreter.RUNTIMES`; empty: the first installed."""

    device: str = "cpu"
    threads: int = 1
    runtimes: tuple[str, ...] = ()
    data: Path | None = None
    split: str = "val"
    plan: Plan = field(default_factory=Plan)


@dataclass(frozen=True)
class _Entry:
    """One row to measure: a target in a runtime."""

    path: Path
    facts: dict[str, Any]
    runtime: str | None


def measure(
    paths: Sequence[Path], settings: Settings, progress: Callable[[str, int, int], None] | None = None
) -> dict[str, Any]:
    """Measure bundles and runs in one interleaved run and return the result document (JSON-serialisable).

    `progress(what, done, total)` counts turns, then images. Raises EdgeFaceError for targets, data or options that
    cannot be used.
    """
    _check(paths, settings)
    entries = _entries(paths, settings)
    before = machine.describe()
    cores = machine.usable_cores()[-settings.threads :]
    with contextlib.ExitStack() as stack:
        workers, starts = [], []
        for entry in entries:
            worker = stack.enter_context(WorkerProcess(entry.facts["name"], entry.path))
            starts.append(worker.load(settings.threads, entry.runtime, cores))
            workers.append(worker)
        turns = [_turn(worker, settings.plan) for worker in workers]
        times = latency.interleave(turns, settings.plan.rounds, _part(progress, "measuring"))
        memory = [worker.ask(do="memory") for worker in workers]
        accuracy = [_accuracy(worker, settings, _part(progress, f"accuracy of {worker.name}")) for worker in workers]
    rows = [
        _row(entry, settings, cores, *facts)
        for entry, *facts in zip(entries, starts, times, memory, accuracy, strict=True)
    ]
    _add_ratios(rows)
    return _document(rows, settings, before)


def _part(progress: Callable[[str, int, int], None] | None, what: str) -> Callable[[int, int], None] | None:
    """The progress of one part of the work."""
    return None if progress is None else functools.partial(progress, what)


def _accuracy(
    worker: WorkerProcess, settings: Settings, progress: Callable[[int, int], None] | None
) -> dict[str, Any] | None:
    return None if settings.data is None else worker.accuracy(settings.data, settings.split, progress)


def _check(paths: Sequence[Path], settings: Settings) -> None:
    if settings.device not in DEVICES:
        raise UsageError(f"unknown device {settings.device!r}; this version measures: {', '.join(DEVICES)}")
    if not paths:
        raise UsageError("nothing to measure; give a bundle or a run")
    usable = len(machine.usable_cores())
    if settings.threads < 1 or (usable and settings.threads > usable):
        raise UsageError(f"--threads {settings.threads}: this machine has {usable or 'at least 1'} usable cores")
    if settings.plan.runs < 1 or not 0 < settings.plan.seconds < float("inf"):
        raise UsageError("--runs and --seconds must be numbers above 0")
    if settings.data is not None and not settings.data.is_dir():
        raise UsageError(f"{settings.data}: no such data folder")


def _entries(paths: Sequence[Path], settings: Settings) -> list[_Entry]:
    """Targets x runtimes, each with a name of its own. A run has only TensorFlow."""
    entries: list[_Entry] = []
    seen: dict[str, int] = {}
    for path in paths:
        facts, labels = targets.describe(path)
        if settings.data is not None:
            targets.check_data(facts["name"], labels, settings.data, settings.split)
        for runtime in (settings.runtimes or (None,)) if facts["what"] == "bundle" else (None,):
            name = facts["name"] if len(settings.runtimes) < 2 or runtime is None else f"{facts['name']} ({runtime})"
            seen[name] = seen.get(name, 0) + 1
            named = {**facts, "name": name if seen[name] == 1 else f"{name} #{seen[name]}"}
            entries.append(_Entry(path, named, runtime))
    return entries


def _turn(worker: WorkerProcess, plan: Plan) -> Callable[[], list[float]]:
    return lambda: worker.turn(plan)


def _row(
    entry: _Entry,
    settings: Settings,
    cores: list[int],
    start: dict[str, Any],
    times: list[list[float]],
    memory: dict[str, Any],
    accuracy: dict[str, Any] | None,
) -> dict[str, Any]:
    """One row of the result: everything known of one target in one runtime."""
    figures = latency.summary(np.concatenate(times))
    medians = latency.round_medians(times)
    return {
        **entry.facts,
        "device": settings.device,
        "kind": "measured",
        "runtime": start["runtime"],
        "delegate": start["delegate"],
        "threads": settings.threads,
        "pinned_cores": cores,
        "runs": sum(map(len, times)),
        "warm_up_runs": start["warm_up_runs"],
        "latency_ms": figures,
        "fps": 1000 / figures["p50"],
        "cold_start_ms": start["cold_start_ms"],
        "load_ms": start["load_ms"],
        "first_inference_ms": start["first_inference_ms"],
        "peak_rss_mb": memory["peak_mb"],
        "base_rss_mb": memory["base_mb"],
        "accuracy": accuracy,
        "round_p50_ms": medians.tolist(),
        "round_spread": latency.spread(medians),
    }


def _add_ratios(rows: list[dict[str, Any]]) -> None:
    first = np.array(rows[0]["round_p50_ms"])
    rows[0]["ratio"] = None
    for row in rows[1:]:
        row["ratio"] = latency.speed_ratio(first, np.array(row["round_p50_ms"]))


def _document(rows: list[dict[str, Any]], settings: Settings, before: dict[str, Any]) -> dict[str, Any]:
    plan = settings.plan
    return {
        "format": FORMAT,
        "version": VERSION,
        "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "edgeface": edgeface.__version__,
        "machine": {**before, "load_average_after": machine.load_average()},
        "settings": {
            "device": settings.device,
            "threads": settings.threads,
            "runs": plan.runs,
            "seconds": plan.seconds,
            "rounds": plan.rounds,
            "fewest_runs": latency.FEWEST_RUNS,
            "data": None if settings.data is None else settings.data.resolve().name,
            "split": settings.split,
        },
        "definitions": DEFINITIONS,
        "warnings": _warnings(rows, before),
        "rows": rows,
    }


def _warnings(rows: list[dict[str, Any]], before: dict[str, Any]) -> list[str]:
    """What makes these times doubtful."""
    found = []
    load, cores = before["load_average"], before["cores"] or 1
    if load is not None and load / cores > NOISY_LOAD:
        found.append(f"noise: load average {load:.1f} on {cores} cores before the start; other work was running")
    for row in rows:
        if row["round_spread"] > NOISY_SPREAD:
            share = 100 * row["round_spread"]
            found.append(f"noise: {row['name']}: its rounds differ by {share:.0f} %; trust the ratios, not the times")
    return found
