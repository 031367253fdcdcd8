"""The result document: what one run of `edgeface bench` found. Everything shown of it is a view of this JSON.

`bench/RESULT.md` describes every field for people and programs.
"""

from __future__ import annotations

import json
import os
import re
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from edgeface.errors import UsageError

FORMAT = "edgeface-bench"
VERSION = 2
MEASURED = "measured"
KINDS = (MEASURED, "calibrated-estimate", "compiler-estimate", "estimate")
"""From what is known to what is guessed."""
DEFINITIONS = {
    "ms": "one inference of batch 1: set the input, run, fetch the output; preprocessing is not in it. "
    "Measured rows: the median; other rows: the estimate",
    "band_ms": "measured: range of the medians of eight groups of rounds, each in a new process but for Keras (99 %); "
    "estimates: the backend's own error band",
    "fps": "1000 / ms",
    "ratio": "times faster than the first measured row, by the 10th percentiles of interleaved rounds "
    "(interruptions only add time); median and range of eight groups of rounds, each in new processes but for Keras: a "
    "99 % interval",
    "cold_start_ms": "start of a new process (files in the page cache) to its first output, Python's start in it; "
    "median over the processes",
    "first_inference_ms": "the first inference alone, after loading",
    "rss_mb": "resident memory of the process with Python and libraries in it: before loading, "
    "after the first inference, and the most while measuring (before batches)",
    "memory": "bytes. Measured rows: arena is the extent of all activations as the runtime's own planner lays them out "
    "without a delegate, with the scratch of its built-in kernels; other rows: as their backend gives it",
    "file_bytes": "the .tflite file of a bundle, the weights of a run",
    "batch": "images at a time through one resized graph; fps counts images",
    "pipeline_ms": "photo file to label: read, decode, crop, resize, run, rank",
    "round_spread": "(90th - 10th percentile) / median of the round medians",
}


@dataclass(frozen=True)
class Row:
    """One target on one device: what it is, what it costs there, how sure that is. See RESULT.md for units.

    Fields after `per_op` are None in rows that were not measured.
    """

    name: str
    what: str
    mode: str
    network: str
    file_bytes: int
    sha256: str
    input_size: int
    identities: int
    device: str
    kind: str
    backend: str
    threads: int
    ms: float | None
    band_ms: list[float] | None
    fits: bool | None = None
    reason: str | None = None
    memory: dict[str, int] = field(default_factory=dict)
    details: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    accuracy: dict[str, Any] | None = None
    ratio: dict[str, float] | None = None
    per_op: dict[str, Any] | None = None
    runtime: str | None = None
    delegate: dict[str, Any] | None = None
    pinned_cores: list[int] | None = None
    runs: int | None = None
    processes: int | None = None
    warm_up_runs: int | None = None
    latency_ms: dict[str, float] | None = None
    cold_start_ms: float | None = None
    load_ms: float | None = None
    first_inference_ms: float | None = None
    rss_mb: dict[str, float | None] | None = None
    batch: dict[str, Any] | None = None
    pipeline_ms: dict[str, Any] | None = None
    round_p50_ms: list[float] | None = None
    round_p10_ms: list[float] | None = None
    round_spread: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """The row as JSON, with `fps` and `fps_band` (low, high) beside `ms` and `band_ms`."""
        row = asdict(self)
        row["fps"] = None if row["ms"] is None else 1000 / row["ms"]
        row["fps_band"] = None if row["band_ms"] is None else [1000 / row["band_ms"][1], 1000 / row["band_ms"][0]]
        return row


_VARIANT = re.compile(r" \((?:(?:litert|tflite|tf)(?:, \d+ threads?)?|\d+ threads?)\)(?=(?: #\d+)?$)")


def plain_name(row: dict[str, Any]) -> str:
    """A row's name without the runtime and threads that `settings.entries` adds where there are several of them."""
    return _VARIANT.sub("", row["name"])


def shown_name(path: Path) -> str:
    """A folder's name as every view can hold it: bytes that are no UTF-8, which no text file takes, become a mark."""
    return os.fsencode(path.resolve().name).decode("utf-8", "replace")


ROW_FIELDS = (*(entry.name for entry in fields(Row)), "fps", "fps_band")
DOCUMENT_FIELDS = (
    "format", "version", "date", "edgeface", "machine", "settings", "definitions", "warnings", "notes", "rows",
)  # fmt: skip
_NUMBERS = (int, float)
_TYPES: dict[str, tuple[type, ...]] = {
    **dict.fromkeys(("name", "what", "mode", "network", "sha256", "device", "kind", "backend"), (str,)),
    **dict.fromkeys(("file_bytes", "threads", "input_size", "identities"), (int,)),
    **dict.fromkeys(("ms", "fps"), (*_NUMBERS, type(None))),
    **dict.fromkeys(("band_ms", "fps_band", "pinned_cores", "round_p50_ms", "round_p10_ms"), (list, type(None))),
    **dict.fromkeys(("memory", "details"), (dict,)),
    **dict.fromkeys(
        ("accuracy", "ratio", "delegate", "latency_ms", "rss_mb", "batch", "pipeline_ms", "per_op"), (dict, type(None))
    ),
    "notes": (list,),
    "reason": (str, type(None)),
    "runtime": (str, type(None)),
}

_PARTS = {
    "accuracy": ("top1", "images", "data", "split"),
    "ratio": ("value", "low", "high"),
    "latency_ms": ("mean", "std", "min", "p50", "p90", "p95", "p99"),
    "rss_mb": ("base", "init", "peak"),
    "pipeline_ms": ("p50", "photo"),
    "delegate": ("name", "operators", "of", "evidence"),
    "machine": ("cpu", "cores", "arch", "features", "os", "python"),
    "settings": ("devices", "threads"),
}
"""What the views read of these objects, of a row or of the document."""


def read(path: Path) -> dict[str, Any]:
    """Read a result document. Raises UsageError when it is missing, cut short, edited or of another version."""
    try:
        result = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UsageError(f"{path}: no such file; give a JSON file that `edgeface bench --out` wrote") from None
    except (OSError, ValueError, RecursionError) as error:
        reason = str(error).splitlines()[0]
        raise UsageError(f"{path}: cannot be read ({reason}); measure again with --out") from None
    if not isinstance(result, dict) or result.get("format") != FORMAT:
        raise UsageError(f"{path}: is not a result of `edgeface bench`; measure with --out {path}")
    if result.get("version") != VERSION:
        raise UsageError(f"{path}: version {result.get('version')!r}, this EdgeFace reads {VERSION}; measure again")
    problem = _problem(result)
    if problem:
        raise UsageError(f"{path}: is damaged or edited ({problem}); measure again")
    return result


def _problem(result: dict[str, Any]) -> str | None:
    """What is wrong with a document's shape, if anything."""
    missing = [key for key in DOCUMENT_FIELDS if key not in result]
    if missing:
        return f"{missing[0]} is missing"
    if not isinstance(result["rows"], list) or not result["rows"]:
        return "it has no rows"
    if not all(isinstance(result[key], dict) for key in ("machine", "settings", "definitions")):
        return "machine, settings and definitions are objects"
    if not all(isinstance(result[key], list) for key in ("warnings", "notes")):
        return "warnings and notes are lists"
    for number, row in enumerate([result, *result["rows"]]):
        place = f"row {number}: " if number else ""
        for name, keys in _PARTS.items():
            part = row.get(name) if isinstance(row, dict) else None
            missing = [key for key in keys if isinstance(part, dict) and key not in part]
            if missing:
                return f"{place}{name} lacks {missing[0]}"
    for number, row in enumerate(result["rows"], 1):
        missing = [key for key in ROW_FIELDS if not isinstance(row, dict) or key not in row]
        if missing:
            return f"row {number} lacks {missing[0]}"
        wrong = [key for key, types in _TYPES.items() if not isinstance(row[key], types)]
        if wrong:
            return f"row {number}: {wrong[0]} is {row[wrong[0]]!r}"
        if not all(isinstance(count, (*_NUMBERS, type(None))) for count in row["memory"].values()):
            return f"row {number}: memory is {row['memory']!r}"
        if row["kind"] not in KINDS:
            return f"row {number}: kind {row['kind']!r} is none of {', '.join(KINDS)}"
        if (row["ms"] is None) != (row["band_ms"] is None):
            return f"row {number}: a time without its error band"
        if row["kind"] == MEASURED and row["latency_ms"] is None and row["ms"] is not None:
            return f"row {number}: measured, without its latency_ms"
    return None
