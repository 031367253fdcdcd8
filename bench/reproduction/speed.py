"""How fast the bundles of a table are, through `edgeface bench` in a process of its own."""

from __future__ import annotations

import importlib.util
import json
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from edgeface.errors import EdgeFaceError, RunError

CPU = "cpu"


def known_devices() -> tuple[str, ...]:
    """This machine's CPU, and the simulated devices that this installation has."""
    if importlib.util.find_spec("edgeface.bench.devices") is None:
        return (CPU,)
    from edgeface.bench.devices import device_names

    return (CPU, *(name for name in device_names() if name != CPU))


def measure_speed(edgeface: Sequence[str], bundles: Sequence[Path], devices: Sequence[str], out: Path) -> None:
    """Measure bundles on devices, interleaved, into `out` (JSON), unless the same was measured there before.

    `edgeface` is the command that starts EdgeFace. Raises RunError when it fails.
    """
    wanted = {"bundles": [_identity(bundle) for bundle in bundles], "devices": list(devices)}
    if _measured(out) == wanted:
        return
    fresh = out.with_name(f".{out.name}")
    arguments = [*edgeface, "bench", *map(str, bundles), "--out", str(fresh), "--quiet"]
    # Without devices of its own, an installation knows the default only.
    arguments += [part for device in devices if len(devices) > 1 for part in ("--device", device)]
    process = subprocess.run(arguments, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, check=False)
    if process.returncode == 130:
        raise KeyboardInterrupt
    if process.returncode:
        raise RunError(f"edgeface bench failed: {process.stderr.strip().splitlines()[-1:] or process.returncode}")
    result = json.loads(fresh.read_text(encoding="utf-8"))
    fresh.write_text(json.dumps({**result, "measured": wanted}, indent=2) + "\n", encoding="utf-8")
    fresh.replace(out)


def read_speed(out: Path) -> dict[str, Any] | None:
    """What was measured, None when nothing was. Raises RunError when the file is damaged."""
    try:
        return json.loads(out.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise RunError(f"{out}: cannot be read ({error}); remove it and measure again") from None


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


def _measured(out: Path) -> dict[str, Any] | None:
    try:
        result = read_speed(out)
    except EdgeFaceError:
        return None
    return None if result is None else result.get("measured")


def _identity(bundle: Path) -> str:
    manifest = json.loads((bundle / "bundle.json").read_text(encoding="utf-8"))
    return f"{bundle.name} {manifest['files']['model.tflite']['sha256']}"
