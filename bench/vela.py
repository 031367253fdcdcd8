"""Arm's Vela compiler on an int8 model for Ethos-U: its own estimate of cycles and memory, and what stays on the CPU.

Needs the extra `npu` (ethos-u-vela 5.x). Vela is run as a program of its own: it writes files and prints.
"""

from __future__ import annotations

import csv
import math
import re
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edgeface.bench.calibration.facts import dtype_of
from edgeface.bench.devices import Device, check_extra
from edgeface.bench.estimate import Estimate
from edgeface.bench.tflite_ops import Graph, read_graph
from edgeface.errors import DeviceError, UsageError

SLOWEST_SILICON = 1.75
"""Measured silicon took 1.25 to 1.75 times the cycles that Vela gives; Vela's own figure is the lower end."""
MEMORIES = ("sram", "dram", "on_chip_flash", "off_chip_flash")
TIMEOUT = 600.0


def estimate(model: Path, device: Device) -> Estimate:
    """Compile a model and report Vela's figures.

    Raises UsageError for a model that does not compute in int8 (Vela would accept it and leave all of it to the CPU),
    BundleError for a file that cannot be read, and MissingDependencyError without Vela.
    """
    graph = read_graph(model)
    if dtype_of(graph) != "int8":
        raise UsageError(
            f"{model}: computes in float32, and {device.name} in int8 only; quantize it: edgeface quantize"
        )
    check_extra(device)
    with tempfile.TemporaryDirectory() as folder:
        printed = _run(model, device, Path(folder))
        figures = _figures(model, Path(folder))
    types = {op.name: op.type for op in graph.ops}
    on_cpu = [(name, types.get(name, "")) for name in _operators(printed, "CPU")]
    memory = {name: round(1024 * figures[f"{name}_memory_used"]) for name in MEMORIES}
    memory = {name: size for name, size in memory.items() if size}
    milliseconds = 1e3 * figures["inference_time"]
    notes = _notes(graph, on_cpu)
    details = _details(figures, on_cpu, len(_operators(printed, "NPU")))
    limit = 1024 * figures["arena_cache_size"]  # KiB in the summary, as the memories are
    if memory.get("sram", 0) > limit:
        reason = f"does not fit: needs {memory['sram'] / 2**20:.2f} MiB of SRAM, the system has {limit / 2**20:.2f}"
        return _estimate(device, None, None, False, reason, memory, details, notes)
    if not math.isfinite(milliseconds) or milliseconds <= 0:
        reason = "no operator of it runs on the NPU"
        return _estimate(device, None, None, True, reason, memory, details, notes)
    band = (milliseconds, SLOWEST_SILICON * milliseconds)
    return _estimate(device, milliseconds, band, True, None, memory, details, notes)


def _estimate(
    device: Device,
    latency: float | None,
    band: tuple[float, float] | None,
    fits: bool,
    reason: str | None,
    memory: Mapping[str, int],
    details: Mapping[str, Any],
    notes: tuple[str, ...],
) -> Estimate:
    return Estimate(device.name, "vela", "compiler-estimate", latency, band, fits, reason, memory, details, notes)


def _run(model: Path, device: Device, folder: Path) -> str:
    """What Vela printed. Its summary lies in `folder`."""
    command = [sys.executable, "-m", "ethosu.vela", str(model.resolve()), "--output-dir", str(folder)]
    command += ["--accelerator-config", device.accelerator, "--config", "Arm/vela.ini", "--show-cpu-operations"]
    command += ["--system-config", device.system_config, "--memory-mode", device.memory_mode]
    try:
        result = subprocess.run(command, capture_output=True, text=True, cwd=folder, timeout=TIMEOUT, check=False)
    except subprocess.TimeoutExpired:
        raise DeviceError(f"{model}: Vela did not finish within {TIMEOUT:.0f} s on {device.name}") from None
    if result.returncode:
        said = [line for line in (result.stdout + result.stderr).splitlines() if line.strip()]
        raise DeviceError(f"{model}: Vela refused it for {device.name}: {said[-1] if said else 'without a word'}")
    return result.stdout


def _figures(model: Path, folder: Path) -> dict[str, float]:
    """The numbers of Vela's summary table."""
    try:
        with next(folder.glob("*_summary_*.csv")).open(newline="", encoding="utf-8") as file:
            row = next(csv.DictReader(file))
        wanted = [f"{name}_memory_used" for name in MEMORIES]
        wanted += ["inference_time", "arena_cache_size", "core_clock", "cycles_npu", "cycles_total", "nn_macs"]
        return {name: float(row[name]) for name in wanted}
    except (StopIteration, KeyError, ValueError) as error:
        raise DeviceError(f"{model}: Vela wrote no summary ({error!r}); is ethos-u-vela a 5.x?") from None


def _operators(printed: str, place: str) -> list[str]:
    """Names of the operators that Vela lists for "CPU" or "NPU"."""
    return re.findall(rf"(?m)^\s+{place}: \S+ = (.*?)(?: \(outputs .*\))?$", printed)


def _notes(graph: Graph, on_cpu: list[tuple[str, str]]) -> tuple[str, ...]:
    notes = ["band: from Vela's figure to the slowest measured silicon, 1.75 times it"]
    if on_cpu:
        named = ", ".join(f"{kind} {name.partition(';')[0]}".strip() for name, kind in on_cpu)
        notes.append(f"{len(on_cpu)} operators fall back to the CPU, whose time is not in it: {named}")
    if graph.subgraphs > 1:
        notes.append(f"the file holds {graph.subgraphs} graphs and Vela adds them up; export it again")
    return tuple(notes)


def _details(figures: Mapping[str, float], on_cpu: list[tuple[str, str]], on_npu: int) -> dict[str, Any]:
    return {
        "dtype": "int8",
        "macs": int(figures["nn_macs"]),
        "cycles": int(figures["cycles_total"]),
        "cycles_npu": int(figures["cycles_npu"]),
        "clock_ghz": figures["core_clock"] / 1e9,
        "operators_on_npu": on_npu,
        "operators_on_cpu": [{"name": name, "type": kind} for name, kind in on_cpu],
    }
