"""A user's own measurements of a real board: kept, and joined to the published ones.

They lie in `$XDG_DATA_HOME/edgeface/devices/NAME.json` (else `~/.local/share`), with what the fit needs to know of each
model, so that the models themselves may go. A checksum notices a file that was cut or edited.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edgeface.bench.calibration.errors import Outcome, leave_one_out, summary
from edgeface.bench.calibration.facts import Facts, dtype_of, facts_of
from edgeface.bench.calibration.fit import Sample, family_of, fit, macs_per_cycle, predict, published_samples
from edgeface.bench.devices import Device
from edgeface.bench.tflite_ops import read_graph
from edgeface.errors import DeviceError, UsageError
from edgeface.files import sha256, write_json

FORMAT = "edgeface-device-points"
VERSION = 1


def points_file(device: str) -> Path:
    """Where the points of a device are kept."""
    base = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    return Path(base) / "edgeface" / "devices" / f"{device}.json"


def all_samples(device: str = "") -> tuple[Sample, ...]:
    """The published samples and, with a device's name, the user's of that device."""
    return published_samples() + (own_samples(device) if device else ())


def own_samples(device: str) -> tuple[Sample, ...]:
    """The user's points of a device. Raises DeviceError for a file that was cut or edited."""
    path = points_file(device)
    if not path.exists():
        return ()
    hint = "remove it and calibrate again: edgeface devices calibrate"
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        if document["format"] != FORMAT or document["version"] != VERSION:
            raise DeviceError(f"{path}: is not of this version; {hint}")
        if document["checksum"] != _checksum(document["points"]):
            raise DeviceError(f"{path}: was edited; {hint}")
        return tuple(_sample(device, point) for point in document["points"])
    except (OSError, ValueError, KeyError, TypeError, IndexError) as error:
        raise DeviceError(f"{path}: is cut short or edited ({error}); {hint}") from None


def calibrate(device: Device, measured: Mapping[Path, float], threads: int = 1, keep: bool = True) -> dict[str, Any]:
    """Add measured milliseconds of models on a real board, refit, and keep points and errors with the user's profile.

    Returns {"file", "points", "rates": {dtype: {"before", "after"}} in multiply-adds a cycle, "before": summary,
    "after": summary}: the user's points predicted from the published ones alone, and leave-one-out with the user's
    others. A model that was measured before replaces its old point.
    """
    if device.backend not in ("cpu", "cortex-m"):
        raise UsageError(f"{device.name}: has no rates to calibrate ({device.backend}); choose a processor")
    if threads > device.cores:
        raise UsageError(f"{threads} threads: {device.name} has {device.cores} cores")
    new = [_point(device, path, ms, threads) for path, ms in measured.items()]
    fresh = {(point["model_sha256"], point["threads"]) for point in new}
    path = points_file(device.name)
    old = [p for p in _stored(device.name) if (p["model_sha256"], p["threads"]) not in fresh] if keep else []
    points = old + new
    samples = tuple(_sample(device.name, point) for point in points)
    report = _report(device, samples)
    body = {"format": FORMAT, "version": VERSION, "device": device.name, "points": points, **report}
    write_json(path, {**body, "checksum": _checksum(points)})
    return {"file": str(path), "points": len(points), **report}


def _report(device: Device, own: tuple[Sample, ...]) -> dict[str, Any]:
    published = published_samples()
    alone, both = fit(published), fit(published + own)
    outcomes = leave_one_out(published + own, lambda sample: bool(sample.board))
    unseen = [predict(alone, s.facts, s.dtype, device, min(s.threads, device.cores)) for s in own]
    before = [Outcome("profile", s, ms) for s, ms in zip(own, unseen, strict=True) if ms is not None]
    rates = {
        dtype: {"before": macs_per_cycle(alone, device, dtype), "after": macs_per_cycle(both, device, dtype)}
        for dtype in sorted({sample.dtype for sample in own})
    }
    return {"rates": rates, "before": summary(before), "after": summary(outcomes)}


def _stored(device: str) -> list[dict[str, Any]]:
    if not own_samples(device):  # reads and checks
        return []
    return json.loads(points_file(device).read_text(encoding="utf-8"))["points"]


def _point(device: Device, model: Path, ms: float, threads: int) -> dict[str, Any]:
    if not 0 < ms < 1e7:
        raise UsageError(f"--point {model}={ms:g}: milliseconds must be above 0")
    graph = read_graph(model)
    if not family_of(device.core, dtype_of(graph)):
        raise UsageError(
            f"{model}: computes in {dtype_of(graph)}, of which nothing is known on a {device.core}; quantize it: "
            "edgeface quantize"
        )
    return {
        "model": model.name if model.name != "model.tflite" else f"{model.parent.name}/{model.name}",
        "model_sha256": sha256(model),
        "dtype": dtype_of(graph),
        "threads": threads,
        "ms": ms,
        "core": device.core,
        "clock_ghz": device.clock_ghz,
        "bandwidth_gbs": device.bandwidth_gbs,
        "bandwidth_all_gbs": device.bandwidth_all_gbs,
        "facts": facts_of(graph),
    }


def _sample(device: str, point: Mapping[str, Any]) -> Sample:
    facts: Facts = {str(kind): (int(row[0]), int(row[1]), int(row[2])) for kind, row in point["facts"].items()}
    return Sample(
        net=str(point["model_sha256"]),
        dtype=str(point["dtype"]),
        core=str(point["core"]),
        clock_ghz=float(point["clock_ghz"]),
        bandwidth_gbs=float(point["bandwidth_gbs"]),
        bandwidth_all_gbs=float(point["bandwidth_all_gbs"]),
        threads=int(point["threads"]),
        ms=float(point["ms"]),
        facts=facts,
        source=f"own measurement of {point['model']}",
        board=device,
    )


def _checksum(points: Any) -> str:
    return hashlib.sha256(json.dumps(points, sort_keys=True).encode()).hexdigest()
