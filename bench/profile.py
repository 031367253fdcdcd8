"""The profile backend: what a core of known speed takes for the operators that a .tflite file holds.

No dependency, no emulation: see `calibration/fit.py` for the model. It describes networks like those it is calibrated
on; SqueezeNext's 3x1 and 1x3 convolutions are not among them, and its rows say so until a board is measured.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from edgeface.bench.arena import arena_bytes
from edgeface.bench.calibration.errors import Band, band
from edgeface.bench.calibration.facts import dtype_of, facts_of
from edgeface.bench.calibration.fit import Rates, Sample, fit, memory_ms, predict, weighted_macs
from edgeface.bench.calibration.own_points import all_samples
from edgeface.bench.devices import Device
from edgeface.bench.estimate import Estimate
from edgeface.bench.tflite_ops import Graph, Op, is_done_at_load, read_graph

UNSEEN_KINDS = ("conv1x3", "conv3x1")
UNSEEN_SHARE = 0.2
UNSEEN = 1.5
"""A band is this much wider for a network of which more than UNSEEN_SHARE is computed by kinds without any point."""
MICRO_SLOWER = 2.0
"""TensorFlow Lite Micro takes up to twice the time of the compiler that Cortex-M is calibrated on."""
MICRO_RUNTIME = 64 * 1024
"""Flash for TensorFlow Lite Micro's interpreter and kernels, and the RAM of its tables, roughly."""


def estimate(model: Path, device: Device, threads: int = 1) -> Estimate:
    """Latency with its band, memory, and whether the model fits. Raises BundleError for a file that cannot be read."""
    graph = read_graph(model)
    dtype, facts = dtype_of(graph), facts_of(graph)
    memory, shortage = fit_in_memory(graph, device)
    used = min(threads, device.cores)
    samples = all_samples(device.name)
    unseen = 0.0 if _measured(samples, device, dtype) else unseen_share(graph)
    notes = _notes(graph, device, dtype, threads, unseen)
    rates = fit(samples)
    latency = predict(rates, facts, dtype, device, used)
    if shortage or latency is None:
        reason = shortage or f"no {dtype} latency of {device.core} is published; quantize it: edgeface quantize"
        return Estimate(device.name, "profile", "estimate", None, None, not shortage, reason, memory, {}, notes)
    trust = band(samples, device.core, dtype, device.name, used)
    half = trust.half * (UNSEEN if unseen > UNSEEN_SHARE else 1.0)
    slower = MICRO_SLOWER if device.backend == "cortex-m" else 1.0
    return Estimate(
        device=device.name,
        backend="profile",
        kind="calibrated-estimate" if trust.calibrated else "estimate",
        latency_ms=latency,
        band_ms=(latency * math.exp(-half), latency * math.exp(half) * slower),
        fits=True,
        memory=memory,
        details=_details(graph, rates, device, dtype, used, latency, trust),
        notes=(*notes, f"band: 90 % by leave-one-out error over {trust.basis}"),
    )


def fit_in_memory(graph: Graph, device: Device) -> tuple[dict[str, int], str | None]:
    """(bytes by use, why it does not fit or None).

    Linux keeps weights twice: the file, and XNNPACK's packed copy, which is float32 where the file's are float16.
    """
    micro = device.flash_mb > 0
    arena = arena_bytes(graph, micro=micro)
    if micro:
        memory = {"flash": graph.file_bytes + MICRO_RUNTIME, "ram": arena + MICRO_RUNTIME}
        limits = {"flash": device.flash_mb, "ram": device.ram_mb}
    else:
        packed = graph.weight_bytes + sum(op.output_bytes - op.weight_bytes for op in graph.ops if is_done_at_load(op))
        memory, limits = {"ram": graph.file_bytes + packed + arena}, {"ram": device.ram_mb}
    for use, limit in limits.items():
        if memory[use] > limit * 2**20:
            wanted = f"needs {memory[use] / 2**20:.2f} MiB of {use}, {device.name} has {limit:g}"
            return {**memory, "weights": graph.weight_bytes, "arena": arena}, f"does not fit: {wanted}"
    return {**memory, "weights": graph.weight_bytes, "arena": arena}, None


def unseen_share(graph: Graph) -> float:
    """The share of the multiply-adds, 0..1, in kinds of convolutions that no published point covers."""
    total = sum(op.macs for op in graph.ops)
    return sum(op.macs for op in graph.ops if op.kind in UNSEEN_KINDS) / max(total, 1)


def unseen_notes(share: float) -> list[str]:
    """What to say of that share: nothing while it is small."""
    if share <= UNSEEN_SHARE:
        return []
    return [
        f"{100 * share:.0f} % of its multiply-adds are 3x1 and 1x3 convolutions: untested until a board is measured"
    ]


def _measured(samples: Sequence[Sample], device: Device, dtype: str) -> bool:
    """Whether the user has measured a network with such convolutions on this board."""
    own = [sample for sample in samples if (sample.board, sample.dtype) == (device.name, dtype)]
    return any(kind in sample.facts for sample in own for kind in UNSEEN_KINDS)


def _notes(graph: Graph, device: Device, dtype: str, threads: int, unseen: float) -> tuple[str, ...]:
    notes = unseen_notes(unseen)
    if device.backend == "cortex-m":
        notes.append("the band reaches to TensorFlow Lite Micro, up to twice the calibrated compiler's time")
    if threads > device.cores:
        notes.append(f"{threads} threads asked for, counted as its {device.cores} cores")
    if dtype == "float32" and any(op.weight_dtype == "int8" for op in graph.ops):
        notes.append("int8 weights with float32 arithmetic: counted as float32")
    if device.note:
        notes.append(device.note)
    return tuple(notes)


def _details(
    graph: Graph, rates: Rates, device: Device, dtype: str, threads: int, latency: float, trust: Band
) -> dict[str, Any]:
    rows = [_row(op, rates, device, dtype, threads) for op in graph.ops]
    kinds: dict[str, dict[str, float]] = {}
    for row in rows:
        kind = kinds.setdefault(row["kind"], {"operators": 0, "ms": 0.0, "macs": 0, "bytes": 0})
        kind["operators"] += 1
        for key in ("ms", "macs", "bytes"):
            kind[key] += row[key]
    macs = sum(op.macs for op in graph.ops)
    return {
        "dtype": dtype,
        "core": device.core,
        "clock_ghz": device.clock_ghz,
        "threads": threads,
        "macs": macs,
        "macs_per_cycle": macs / (latency * device.clock_ghz * 1e6),
        "calibration_points": trust.points,
        "by_kind": dict(sorted(kinds.items(), key=lambda item: -item[1]["ms"])),
        "ops": rows,
    }


def _row(op: Op, rates: Rates, device: Device, dtype: str, threads: int) -> dict[str, Any]:
    """One operator: its part of the total, so that the parts add up to it."""
    facts = {op.kind: (1, op.macs, 0 if op.kind == "free" else op.weight_bytes + op.input_bytes + op.output_bytes)}
    moved = facts[op.kind][2]
    memory = memory_ms(facts, device, threads)
    total = predict(rates, facts, dtype, device, threads) or 0.0
    bound = "memory" if memory > total - memory else "computing"
    return {
        "index": op.index,
        "name": op.name,
        "type": op.type,
        "kind": op.kind,
        "macs": op.macs,
        "bytes": moved,
        "ms": total,
        "bound": bound if weighted_macs(facts, 1.0) or moved else "nothing",
    }
