"""How fast the bundles of a table are, through `edgeface bench` in a process of its own."""

from __future__ import annotations

import hashlib
import json
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from edgeface import machine
from edgeface.bench.calibration.own_points import own_samples
from edgeface.bench.compare import machine_differences
from edgeface.bench.devices import check_extra, device_names, load_device
from edgeface.bench.reproduction.reading import check_fields, read_object
from edgeface.bench.settings import CPU, check_devices
from edgeface.errors import EdgeFaceError, MissingDependencyError, RunError, UsageError


def known_devices() -> tuple[str, ...]:
    """This machine's CPU, and all simulated devices."""
    return (CPU, *device_names())


def checked_devices(given: Sequence[str]) -> tuple[str, ...]:
    """The devices of `--device`, commas allowed. Raises UsageError, DeviceError or MissingDependencyError for one that
    `edgeface bench` would refuse or could not simulate: it is told before training, not days later."""
    names = tuple(dict.fromkeys(part.strip() for text in given for part in text.split(",") if part.strip()))
    simulated = [name for name in names if name != CPU]
    check_devices(simulated)
    for name in simulated:
        check_extra(load_device(name))
    if not names:
        raise UsageError("--device: name a device; 'edgeface devices' lists all")
    return names


def measure_speed(edgeface: Sequence[str], bundles: Sequence[Path], devices: Sequence[str], out: Path) -> None:
    """Measure bundles on devices, interleaved, into `out` (JSON), unless the same was measured here before: these
    models on devices of these profiles, on this machine.

    `edgeface` is the command that starts EdgeFace. Raises RunError when it fails.
    """
    wanted = {"bundles": [_identity(bundle) for bundle in bundles], "devices": [_profile(name) for name in devices]}
    before = _read_whole(out)
    if before.get("measured") == wanted and not machine_differences(before["machine"], machine.describe()):
        return
    fresh = out.with_name(f".{out.name}")
    arguments = [*edgeface, "bench", *map(str, bundles), "--out", str(fresh), "--quiet"]
    arguments += [part for device in devices for part in ("--device", device)]
    process = subprocess.run(arguments, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, check=False)
    if process.returncode == 130:
        raise KeyboardInterrupt
    if process.returncode:
        said = process.stderr.strip().splitlines()
        reason = said[-1].removeprefix("error: ") if said else f"exit code {process.returncode}"
        raise RunError(f"edgeface bench failed: {reason}; the same command tries it again")
    result = json.loads(fresh.read_text(encoding="utf-8"))
    fresh.write_text(json.dumps({**result, "measured": wanted}, indent=2) + "\n", encoding="utf-8")
    fresh.replace(out)


def read_speed(out: Path) -> dict[str, Any] | None:
    """What was measured, None when nothing was. Raises RunError when the file is damaged."""
    mend = "remove it and measure again"
    result = read_object(out, {"rows": list, "date": str, "machine": dict, "settings": dict, "warnings": list}, mend)
    for row in (result or {}).get("rows", []):
        kinds = {"name": str, "device": str, "kind": str, "threads": int, "fps": (int, float, type(None))}
        check_fields(out, row, kinds, mend)
    return result


def speed_of(result: dict[str, Any] | None, bundle: str) -> list[dict[str, Any]]:
    """A bundle's rows, one a device: `device`, `kind`, `fps`, `fps_band` (low, high or None), `batch_fps` (or None),
    `threads`, `reason` (why there is no figure). Nothing when it was not measured."""
    rows = [row for row in (result or {}).get("rows", []) if row["name"] == bundle]
    return [
        {
            "device": row["device"],
            "kind": row["kind"],
            "threads": row["threads"],
            "fps": row["fps"],
            "fps_band": row.get("fps_band"),
            "batch_fps": (row.get("batch") or {}).get("fps"),
            "reason": row.get("reason"),
        }
        for row in rows
    ]


def threads_of(rows: Sequence[dict[str, Any]]) -> str:
    """With how many threads these rows (as `speed_of` has them) were measured, such as "1 thread"; "" for none."""
    numbers = sorted({row["threads"] for row in rows})
    return "" if not numbers else "1 thread" if numbers == [1] else f"{' or '.join(map(str, numbers))} threads"


def _read_whole(out: Path) -> dict[str, Any]:
    """What was measured; nothing when that is damaged, for it is to be replaced."""
    try:
        return read_speed(out) or {}
    except EdgeFaceError:
        return {}


def _identity(bundle: Path) -> str:
    manifest = json.loads((bundle / "bundle.json").read_text(encoding="utf-8"))
    return f"{bundle.name} {manifest['files']['model.tflite']['sha256']}"


def _profile(device: str) -> str:
    """A device's name and a digest of what its estimates follow from; a file may have been edited since."""
    if device == CPU:
        return device
    loaded = load_device(device)
    try:
        check_extra(loaded)
        possible = True
    except MissingDependencyError:
        possible = False  # an extra that is installed later makes it possible
    digest = hashlib.sha256(repr((loaded, own_samples(loaded.name), possible)).encode()).hexdigest()
    return f"{device} {digest[:16]}"
