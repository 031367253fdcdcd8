"""Rows of devices that are not here: each bundle's estimate from `simulate`, as rows of the result document."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from edgeface.bench import op_profile
from edgeface.bench.document import Row
from edgeface.bench.settings import Entry
from edgeface.errors import EdgeFaceError

MODEL_FILE = "model.tflite"


def estimate(
    entries: Sequence[Entry],
    devices: Sequence[str],
    accuracy: Mapping[Path, dict[str, Any]],
    progress: Callable[[str, int, int], None] | None = None,
    *,
    alone: bool = True,
    per_op: bool = False,
) -> list[Row]:
    """One row for each entry on each device. `accuracy` of a bundle, by its path, stands in all its rows.

    `per_op` adds the operators' shares of the time where the backend gives them.

    A device that cannot run a bundle gives a row with the reason. Raises UsageError for an unknown device and, when the
    rows stand `alone`, the first error if not one estimate could be made (an extra that is not installed, a damaged
    profile): beside measured rows that would throw these away.
    """
    from edgeface.bench.devices import load_device
    from edgeface.bench.simulate import simulate

    loaded = [load_device(name) for name in devices]
    rows: list[Row] = []
    errors: list[EdgeFaceError] = []
    for device in loaded:
        for entry in entries:
            model = entry.path / MODEL_FILE
            try:
                given = simulate(model, device, entry.threads)
            except EdgeFaceError as error:
                errors.append(error)
                rows.append(_refused(entry, device.name, str(error).removeprefix(f"{model}: ")))
            else:
                row = _row(entry, given, accuracy.get(entry.path))
                rows.append(replace(row, per_op=op_profile.of_estimate(given.details)) if per_op else row)
            if progress is not None:
                progress("simulating", len(rows), len(loaded) * len(entries))
    if alone and errors and len(errors) == len(rows):
        raise errors[0]
    return rows


def _row(entry: Entry, given: Any, accuracy: dict[str, Any] | None) -> Row:
    """An Estimate as a row."""
    return Row(
        **{**entry.facts, "notes": [*entry.facts["notes"], *given.notes]},
        device=given.device,
        kind=given.kind,
        backend=given.backend,
        threads=entry.threads,
        ms=given.latency_ms,
        band_ms=None if given.band_ms is None else list(given.band_ms),
        fits=given.fits,
        reason=given.reason,
        memory=dict(given.memory),
        details=dict(given.details),
        accuracy=accuracy,
    )


def _refused(entry: Entry, device: str, reason: str) -> Row:
    """A row for a bundle that a device's backend does not take."""
    return Row(
        **entry.facts,
        device=device,
        kind="estimate",
        backend="none",
        threads=entry.threads,
        ms=None,
        band_ms=None,
        reason=reason.splitlines()[0],
    )
