"""TensorFlow Lite Micro on this computer: the arena that a microcontroller must have, and whether outputs are equal.

Needs the extra `mcu` (tflite-micro). There is no latency in it: its kernels run here on another processor.
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

from edgeface.bench.devices import Device, check_extra
from edgeface.bench.estimate import Estimate
from edgeface.bench.profile import MICRO_RUNTIME
from edgeface.bench.tflite_ops import read_graph
from edgeface.bench.workers import module_command
from edgeface.errors import DeviceError

NO_TIME = "TensorFlow Lite Micro is run for memory and outputs only; for a time choose cortex-m7"
TIMEOUT = 600.0


def estimate(model: Path, device: Device) -> Estimate:
    """Arena bytes, flash, and outputs compared with this computer's LiteRT on one random input.

    Outputs are compared with LiteRT's reference kernels, which round as TensorFlow Lite Micro's do, and with its fast
    kernels, which may differ by a few steps. Raises BundleError for a file that cannot be read, MissingDependencyError
    without tflite-micro.
    """
    graph = read_graph(model)
    check_extra(device)
    report = _run(model)
    flash = graph.file_bytes + MICRO_RUNTIME
    memory = {"flash": flash, "weights": graph.weight_bytes}
    if "refusal" in report:
        reason = f"TensorFlow Lite Micro does not run it: {report['refusal']}"
        return Estimate(device.name, "tflite-micro", "estimate", None, None, False, reason, memory)
    arena, equality = report["arena"], report["outputs"]
    memory |= {"ram": arena, "arena": arena}
    short = [
        f"{size / 2**20:.2f} MiB of {use}, it has {limit:g}"
        for use, size, limit in (("flash", flash, device.flash_mb), ("RAM", arena, device.ram_mb))
        if size > limit * 2**20
    ]
    reason = f"does not fit: needs {' and '.join(short)}" if short else NO_TIME
    notes = (f"flash counts {MICRO_RUNTIME // 1024} KiB for the interpreter and its kernels", equality["text"])
    details = {"outputs": equality, "operators": len(graph.ops)}
    return Estimate(device.name, "tflite-micro", "estimate", None, None, not short, reason, memory, details, notes)


def _run(model: Path) -> dict[str, Any]:
    """The worker's report. It is a process of its own: tflite-micro ends the process on some models."""
    command = [*module_command("edgeface.bench.mcu_worker"), str(model)]
    try:
        result = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT, check=False)
    except subprocess.TimeoutExpired:
        return {"refusal": f"it did not finish within {TIMEOUT:.0f} s"}
    lines = result.stdout.splitlines()
    if result.returncode < 0:
        return {"refusal": f"its process died of signal {-result.returncode}"}
    if result.returncode or not lines:
        said = result.stderr.strip().splitlines()
        raise DeviceError(f"{model}: tflite-micro failed: {said[-1] if said else 'without a word'}")
    return json.loads(lines[-1])
