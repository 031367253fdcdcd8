"""Where the time of one inference goes: by type of operator and by block of the network."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edgeface.bench.tflite_ops import Op, read_graph

RUNS = 200
WARM_UP_RUNS = 20
METHOD = (
    "LiteRT's profiler inside the XNNPACK delegate: each operator timed in the whole graph, {runs} inferences, "
    "mean without the fastest and slowest tenth; its clock ticks in microseconds, so the shortest are rough"
)
_TAGS = {
    "CONV_2D": ("Convolution", "Fully Connected"),
    "DEPTHWISE_CONV_2D": ("Convolution",),
    "TRANSPOSE_CONV": ("Deconvolution",),
    "FULLY_CONNECTED": ("Fully Connected",),
    "BATCH_MATMUL": ("Batch Matrix Multiply", "Fully Connected"),
    "MAX_POOL_2D": ("Max Pooling",),
    "AVERAGE_POOL_2D": ("Average Pooling", "Global Average Pooling"),
    "MEAN": ("Mean", "Global Average Pooling", "Reduce"),
    "CONCATENATION": ("Copy", "Concatenate"),
    "QUANTIZE": ("Convert",),
    "DEQUANTIZE": ("Convert",),
    "ADD": ("Add",),
    "SUB": ("Subtract",),
    "MUL": ("Multiply",),
    "SOFTMAX": ("Softmax",),
    "LOGISTIC": ("Sigmoid",),
    "HARD_SWISH": ("HardSwish",),
    "PAD": ("Constant Pad",),
}
"""Operator of the file -> how the names of XNNPACK's operators for it start. A 1x1 convolution is a dense layer."""
_ESTIMATED = {"name", "kind", "ms"}
ESTIMATED_METHOD = "simulated rows: shares of the estimate; each is at least as uncertain as the whole"
_HEAVY = ("conv", "depthwise", "dense")
_BLOCK = re.compile(r"(?:quant_)?(stage\d+_block\d+|stage\d+_enter|block\d+_\d+|reduction_[a-z]|[A-Za-z]+\d*_block\d+)")
_WORD = re.compile(r"(?:quant_)?([A-Za-z]+)")


@dataclass(frozen=True)
class TimedOp:
    """One operator that the runtime ran: its name there, microseconds, and the file's operator it belongs to."""

    tag: str
    microseconds: float
    op: Op | None


def profile(model: Path, content: bytes, threads: int, runs: int = RUNS) -> dict[str, Any]:
    """Time each operator of a .tflite file's first signature; see `summarise` for what is returned.

    `content` are the checked bytes of `model`. Raises MissingDependencyError without LiteRT in a version that was
    tried, RuntimeError when its profiler does not work here. Run it in a process of its own.
    """
    from edgeface.bench.litert_profiler import Profiler
    from edgeface.stderr import captured_stderr

    with captured_stderr():
        profiler = Profiler(content, threads)
    for _ in range(WARM_UP_RUNS):
        profiler.run()
    records = [profiler.run() for _ in range(runs)]
    tags = [tag for tag, _ in records[0]]
    if not tags or any([tag for tag, _ in record] != tags for record in records):
        raise RuntimeError("the profiler does not give the same operators in each inference")
    times = np.sort([[time for _, time in record] for record in records], axis=0)
    cut = runs // 10  # an interruption falls on one operator and would be taken for its own time
    means = times[cut : runs - cut].mean(axis=0)
    return summarise(match(read_graph(model).ops, tags, means.tolist()), runs)


def match(ops: Sequence[Op], tags: Sequence[str], microseconds: Sequence[float]) -> list[TimedOp]:
    """Give each operator that the runtime ran the file's operator it comes from. Both lists are in order.

    The runtime leaves some out (reshapes, fused activations) and adds some (clamps, copies). What it adds counts to the
    operator before it. When a convolution or dense layer finds no partner, nothing is matched: `op` is None everywhere.
    """
    timed: list[TimedOp] = []
    place, last = 0, None
    for tag, time in zip(tags, microseconds, strict=True):
        ahead = place
        while ahead < len(ops) and not tag.startswith(_TAGS.get(ops[ahead].type, ("\0",))):
            if ops[ahead].kind.startswith(_HEAVY):
                ahead = len(ops)  # heavy operators are never left out: this one is the runtime's own
                break
            ahead += 1
        if ahead < len(ops):
            last, place = ops[ahead], ahead + 1
        timed.append(TimedOp(tag, time, last))
    found = {entry.op.index for entry in timed if entry.op is not None}
    complete = all(op.index in found for op in ops if op.kind.startswith(_HEAVY))
    return timed if complete else [TimedOp(entry.tag, entry.microseconds, None) for entry in timed]


def summarise(timed: Sequence[TimedOp], runs: int) -> dict[str, Any]:
    """The profile as JSON: `by_type` and `by_block` (None when not matched), each a list of name, us, share, count.

    `ops` are all operators in order, `total_us` their sum, `method` how it was measured.
    """
    total = sum(entry.microseconds for entry in timed)
    matched = all(entry.op is not None for entry in timed)
    return {
        "total_us": total,
        "runs": runs,
        "method": METHOD.format(runs=runs),
        "by_type": _grouped([(_type(entry), entry.microseconds) for entry in timed], total, by_time=True),
        "by_block": _grouped([(block(entry.op.name), entry.microseconds) for entry in timed if entry.op], total)
        if matched
        else None,
        "ops": [
            {
                "name": entry.tag,
                "us": round(entry.microseconds, 3),
                "layer": None if entry.op is None else layer(entry.op.name),
                "macs": None if entry.op is None else entry.op.macs,
            }
            for entry in timed
        ],
    }


def of_estimate(details: Mapping[str, Any]) -> dict[str, Any] | None:
    """An estimate's operators (`details["ops"]`: name, kind, ms) as a profile; None when its backend gives none."""
    ops = details.get("ops")
    if not isinstance(ops, list) or not ops or not all(isinstance(op, dict) and op.keys() >= _ESTIMATED for op in ops):
        return None
    total = 1e3 * sum(op["ms"] for op in ops)
    return {
        "total_us": total,
        "runs": 0,
        "method": ESTIMATED_METHOD,
        "by_type": _grouped([(op["kind"], 1e3 * op["ms"]) for op in ops], total, by_time=True),
        "by_block": _grouped([(block(op["name"]), 1e3 * op["ms"]) for op in ops], total),
        "ops": [{"name": op["kind"], "us": 1e3 * op["ms"], "layer": layer(op["name"]), "macs": None} for op in ops],
    }


def layer(name: str) -> str:
    """A layer's name from a tensor's: "net/stem_relu/Relu;net/stem/Conv2D" is "stem_relu"."""
    parts = name.partition(";")[0].split("/")
    return parts[1] if len(parts) > 1 else parts[0]


def block(name: str) -> str:
    """The block of the network that a tensor's name tells of; the last layer, which has no name, is "logits"."""
    if name.startswith("StatefulPartitionedCall"):
        return "logits"
    word = layer(name).removeprefix("tfl.")
    found = _BLOCK.match(word) or _WORD.match(word)
    return found.group(1) if found else word


def _type(entry: TimedOp) -> str:
    """The file's kind of operator where it is known, with what the runtime adds to it in a class of its own."""
    if entry.op is None or not entry.tag.startswith(_TAGS.get(entry.op.type, ("\0",))):
        return entry.tag.partition(" (")[0].lower()
    return entry.op.kind if entry.op.kind != "other" else entry.op.type.lower()


def _grouped(pairs: Sequence[tuple[str, float]], total: float, *, by_time: bool = False) -> list[dict[str, Any]]:
    """Sums by name, in the order of the network or from the longest to the shortest."""
    sums: dict[str, tuple[float, int]] = {}
    for name, microseconds in pairs:
        before, count = sums.get(name, (0.0, 0))
        sums[name] = before + microseconds, count + 1
    rows = [
        {"name": name, "us": round(us, 2), "share": us / total if total else 0.0, "count": count}
        for name, (us, count) in sums.items()
    ]
    return sorted(rows, key=lambda row: -row["us"]) if by_time else rows
