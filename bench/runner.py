"""One run of the bench: targets on devices, as one result document."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import edgeface
from edgeface import machine
from edgeface.bench import host, latency, notes, simulated
from edgeface.bench.document import DEFINITIONS, FORMAT, MEASURED, VERSION, Row, shown_name
from edgeface.bench.settings import (
    CPU,
    Entry,
    Settings,
    check,
    check_devices,
    entries,
    entries_to_simulate,
    open_targets,
)
from edgeface.errors import UsageError


def measure(
    paths: Sequence[Path], settings: Settings, progress: Callable[[str, int, int], None] | None = None
) -> dict[str, Any]:
    """Measure or estimate bundles and runs on devices; returns the result document (JSON-serialisable).

    `cpu` is this machine, measured in one interleaved run; other devices are simulated. `progress(what, done, total)`
    counts turns, estimates, then images. Raises EdgeFaceError for input that cannot be used.
    """
    check(paths, settings)
    others = [name for name in settings.devices if name != CPU]
    check_devices(others)
    targets = open_targets(paths, settings)
    to_simulate = entries_to_simulate(targets, settings) if others else []
    if others and not to_simulate and CPU not in settings.devices:
        raise UsageError(f"{paths[0]}: a Keras run has no .tflite file to simulate; quantize it and give the bundle")
    if settings.runtimes and (CPU not in settings.devices or not any(t.facts["what"] == "bundle" for t in targets)):
        raise UsageError(
            "--runtime is for bundles on --device cpu: TensorFlow computes a run, a simulated device brings its own "
            "runtime; leave it out"
        )
    before = machine.describe()
    rows: list[Row] = []
    if CPU in settings.devices:
        rows = host.measure(entries(targets, settings), settings, progress)
    accuracy = _accuracy(to_simulate, entries(targets, settings), rows, settings, progress)
    if to_simulate:
        alone = CPU not in settings.devices
        rows += simulated.estimate(to_simulate, others, accuracy, progress, alone=alone, per_op=settings.per_op)
    left_out = [target.facts["name"] for target in targets if others and target.facts["what"] == "run"]
    return _document([row.to_dict() for row in rows], settings, before, left_out)


def _accuracy(
    wanted: Sequence[Entry],
    measured: Sequence[Entry],
    rows: Sequence[Row],
    settings: Settings,
    progress: Callable[[str, int, int], None] | None,
) -> dict[Path, dict[str, Any]]:
    """Accuracy by bundle for the simulated rows: what the cpu rows found, else computed on this machine."""
    if settings.data is None:
        return {}
    found: dict[Path, dict[str, Any]] = {}
    for entry, row in zip(measured, rows, strict=False):
        if row.accuracy is not None:
            found.setdefault(entry.path, row.accuracy)
    for entry in wanted:
        if entry.path not in found:
            found[entry.path] = host.accuracy(entry, settings, progress)
    return found


def _document(
    rows: list[dict[str, Any]], settings: Settings, before: dict[str, Any], left_out: Sequence[str]
) -> dict[str, Any]:
    plan = settings.plan
    warnings = notes.noise([row for row in rows if row["kind"] == MEASURED], before)
    warnings += [f"{name} is a Keras run and has no .tflite file: it was not simulated" for name in left_out]
    return {
        "format": FORMAT,
        "version": VERSION,
        "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "edgeface": edgeface.__version__,
        "machine": {**before, "load_average_after": machine.load_average()},
        "settings": {
            "devices": list(settings.devices),
            "threads": list(settings.threads),
            "runs": plan.runs,
            "seconds": plan.seconds,
            "rounds": plan.rounds,
            "groups": latency.GROUPS,
            "fewest_runs": latency.FEWEST_RUNS,
            "batch": settings.batch,
            "data": None if settings.data is None else shown_name(settings.data),
            "split": settings.split,
        },
        "definitions": DEFINITIONS,
        "warnings": warnings,
        "notes": notes.explanations(rows, before),
        "rows": rows,
    }
