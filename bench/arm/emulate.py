"""A model on an emulated board, as an Estimate: counted instructions, compared outputs, latency by calibrated IPC.

    latency = instructions / (instructions per cycle x clock)

The emulator's own time says nothing and is not used. Instructions per cycle come from `calibration.py`. Nothing below
an instruction is modelled: caches, memory and the pipeline are in the calibrated figure, and their differences between
networks are what the band is for.
"""

from __future__ import annotations

import math
from pathlib import Path
from statistics import fmean
from typing import Any

from edgeface.bench.arm.calibration import Trust, instructions_per_cycle
from edgeface.bench.arm.cores import CORES
from edgeface.bench.arm.host import host_outputs, host_runtimes
from edgeface.bench.arm.outputs import compare, random_inputs
from edgeface.bench.arm.packages import litert_version
from edgeface.bench.arm.run import CLASSES, COUNTERS, Emulation, emulate_run
from edgeface.bench.calibration.errors import band
from edgeface.bench.calibration.facts import dtype_of, facts_of
from edgeface.bench.calibration.fit import fit, predict, published_samples
from edgeface.bench.devices import Device
from edgeface.bench.estimate import Estimate
from edgeface.bench.profile import fit_in_memory, unseen_notes, unseen_share
from edgeface.bench.tflite_ops import Graph, read_graph
from edgeface.errors import UsageError

BACKEND = "arm-emulation"
IMAGES = 3


def emulate(model: Path, device: Device, threads: int = 1, images: int = IMAGES) -> Estimate:
    """Run a .tflite model on a device's emulated core: `images` inferences on one thread, compared with the host's.

    More threads are scaled as published measurements scale. Raises EmulatorError when the emulator is not set up, is
    killed or refuses the model, UsageError for a device that cannot be emulated, BundleError for a damaged file.
    """
    if device.backend != "cpu" or device.core not in CORES:
        raise UsageError(f"{device.name}: {device.core or device.backend} cannot be emulated; its backend is another")
    graph = read_graph(model)
    memory, shortage = fit_in_memory(graph, device)
    if shortage:
        return Estimate(device.name, BACKEND, "estimate", None, None, False, shortage, memory)
    inputs = random_inputs(graph, images)
    emulation = emulate_run(model, device.core, inputs, device.cores)
    outputs = compare_with_host(graph, model, inputs, emulation)
    dtype, used = dtype_of(graph), min(threads, device.cores)
    details = _details(graph, device, dtype, used, emulation) | {"outputs": {"images": images, **outputs}}
    notes = _notes(graph, device, dtype, threads, details)
    trust = instructions_per_cycle(device.core, dtype)
    if trust is None:
        reason = f"no {dtype} latency of {device.core} is published: instructions are counted, their time is not known"
        return Estimate(device.name, BACKEND, "estimate", None, None, True, reason, memory, details, notes)
    details |= {"instructions_per_cycle": trust.ipc, "calibration_points": trust.points}
    latency = details["instructions"] / (trust.ipc * device.clock_ghz * 1e6) * _thread_ratio(graph, device, dtype, used)
    half = _half(trust, device, dtype, used)
    return Estimate(
        device=device.name,
        backend=BACKEND,
        kind="calibrated-estimate" if trust.points else "estimate",
        latency_ms=latency,
        band_ms=(latency * math.exp(-half), latency * math.exp(half)),
        fits=True,
        memory=memory,
        details=details,
        notes=(*notes, f"band: 90 % by the errors over {trust.basis}"),
    )


def compare_with_host(graph: Graph, model: Path, inputs: bytes, emulation: Emulation) -> dict[str, Any]:
    """{"emulated": version, "host": {version: comparison}} for every LiteRT that this machine runs the model with."""
    results = {}
    for version, folder in host_runtimes().items():
        outputs = host_outputs(folder, model, inputs)
        if outputs is not None:
            results[version] = compare(graph, emulation.outputs, outputs)
    return {"emulated": litert_version(), "host": results}


def _details(graph: Graph, device: Device, dtype: str, threads: int, emulation: Emulation) -> dict[str, Any]:
    core = CORES[device.core]
    counted = emulation.counts[1:] or emulation.counts  # the first sets the kernels up
    totals = [counts.total for counts in counted]
    mean = {name: fmean(getattr(counts, name) for counts in counted) for name in COUNTERS}
    macs = sum(op.macs for op in graph.ops)
    return {
        "dtype": dtype,
        "core": device.core,
        "emulated_as": core.qemu,
        "clock_ghz": device.clock_ghz,
        "threads": threads,
        "runtime": f"LiteRT {litert_version()}",
        "macs": macs,
        "instructions": mean["total"],
        "instructions_by_class": {name: mean[name] for name in CLASSES},
        "bytes_loaded": mean["bytes_loaded"],
        "bytes_stored": mean["bytes_stored"],
        "spread": (max(totals) - min(totals)) / mean["total"],
        "macs_per_vector_multiply": macs / max(mean["vector_multiply"], 1),
    }


def _notes(graph: Graph, device: Device, dtype: str, threads: int, details: dict[str, Any]) -> tuple[str, ...]:
    notes = [_claim(dtype, details["outputs"]), *unseen_notes(unseen_share(graph))]
    if CORES[device.core].stand_in:
        notes.append(f"QEMU has no {device.core}: {CORES[device.core].qemu} under its part number")
    if threads > device.cores:
        notes.append(f"{threads} threads asked for, counted as its {device.cores} cores")
    if device.note:
        notes.append(device.note)
    return tuple(notes)


def _claim(dtype: str, outputs: dict[str, Any]) -> str:
    """What was compared and found, in words: with the same version of LiteRT where it is there, else the installed."""
    if not outputs["host"]:
        return "outputs not compared: this machine runs no LiteRT"
    version, found = next(iter(outputs["host"].items()))
    versions = f"LiteRT {outputs['emulated']} on emulated Arm and " + (
        "on this machine" if version == outputs["emulated"] else f"LiteRT {version} on this machine"
    )
    images = f"{outputs['images']} random inputs"
    if found["bit_equal"]:
        return f"outputs of {images} are bit-equal: {versions}"
    share = 100 * found["different"] / max(found["values"], 1)
    most = f"by {found['largest_difference']:.3g}{' steps' if dtype == 'int8' else ''} at most"
    return f"outputs of {images} differ in {share:.2g} % of values, {most}: {versions}"


def _thread_ratio(graph: Graph, device: Device, dtype: str, threads: int) -> float:
    """Time on several threads over that on one, by the profile's fit to published measurements."""
    if threads == 1:
        return 1.0
    rates, facts = fit(published_samples()), facts_of(graph)
    one, several = (predict(rates, facts, dtype, device, count) for count in (1, threads))
    return several / one if one and several else 1.0


def _half(trust: Trust, device: Device, dtype: str, threads: int) -> float:
    """Half width of the band as a natural log; on several threads no narrower than the profile's there."""
    if threads == 1:
        return trust.half
    return max(trust.half, band((), device.core, dtype, threads=threads).half)
