"""Two results side by side, and the conditions under which a change fails (`--compare`, `--fail-if`)."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from edgeface.bench.document import MEASURED
from edgeface.errors import UsageError


def _instructions(row: dict[str, Any]) -> float | None:
    """Instructions of one inference, where the backend counted them."""
    found = row["details"].get("instructions")
    return float(found) if isinstance(found, (int, float)) and found > 0 else None


def _accuracy(row: dict[str, Any]) -> float | None:
    return None if row["accuracy"] is None else 100 * row["accuracy"]["top1"]


METRICS: dict[str, tuple[str, Callable[[dict[str, Any]], float | None]]] = {
    "fps": ("frames a second", lambda row: row["fps"]),
    "latency": ("ms", lambda row: row["ms"]),
    "accuracy": ("points of top-1", _accuracy),
    "size": ("MB", lambda row: row["file_bytes"] / 1e6),
    "memory": ("MB, peak", lambda row: None if row["rss_mb"] is None else row["rss_mb"]["peak"]),
    "arena": ("kB", lambda row: row["memory"]["arena"] / 1e3 if row["memory"].get("arena") else None),
    "instructions": ("instructions", _instructions),
}
"""What can be compared: its unit and where a row has it."""
TIMES = ("fps", "latency")
SPEED = (*TIMES, "instructions")
_CONDITION = re.compile(r"\s*([a-z]+)\s*([<>])\s*([+-]?(?:\d+\.?\d*|\.\d+))\s*(x?)\s*")


@dataclass(frozen=True)
class Condition:
    """A change that fails: the metric's ratio new / old (`relative`) or difference new - old, beyond a limit."""

    text: str
    metric: str
    below: bool
    limit: float
    relative: bool

    def fails(self, change: Change) -> bool:
        """Whether a change meets the condition."""
        figure = change.ratio if self.relative else change.new - change.old
        return figure < self.limit if self.below else figure > self.limit


@dataclass(frozen=True)
class Change:
    """One metric of one row, old and new. `ratio` is new / old; of speeds by instruction counts where there are any."""

    row: str
    metric: str
    old: float
    new: float
    ratio: float
    by: str


@dataclass(frozen=True)
class Comparison:
    """All changes of the rows that both results have, those that failed with their conditions, and remarks."""

    changes: tuple[Change, ...]
    failed: tuple[tuple[Condition, Change], ...]
    remarks: tuple[str, ...]


def parse_conditions(texts: Sequence[str]) -> list[Condition]:
    """`fps<0.95x` fails under 0.95 times the old figure, `accuracy<-0.5` when it falls by more than 0.5 points.

    Raises UsageError for anything else.
    """
    conditions = []
    for text in texts:
        found = _CONDITION.fullmatch(text)
        if found is None or found[1] not in METRICS:
            raise UsageError(
                f"--fail-if {text!r}: write METRIC<LIMIT or METRIC>LIMIT, for instance 'fps<0.95x' (new / old) or "
                f"'accuracy<-0.5' (new - old); metrics: {', '.join(METRICS)}"
            )
        condition = Condition(text.strip(), found[1], found[2] == "<", float(found[3]), found[4] == "x")
        if condition.fails(Change("", found[1], 1.0, 1.0, 1.0, "")):
            raise UsageError(f"--fail-if {text!r} would fail rows that did not change; 0.95x is a ratio, -0.5 a loss")
        conditions.append(condition)
    return conditions


def compare(old: dict[str, Any], new: dict[str, Any], conditions: Sequence[Condition]) -> Comparison:
    """Compare two result documents row by row. Raises UsageError when there is nothing to compare or to check.

    Rows are the same when model, device, number of threads and runtime (without its version) are. A row that has no
    time any more, or has it from another backend, fails every condition on speed: it could not be checked.
    """
    before = {_identity(row): row for row in old["rows"]}
    after = {_identity(row): row for row in new["rows"]}
    common = [key for key in after if key in before]
    if not common:
        raise UsageError("the two results have no row in common: model, device, threads and runtime must be the same")
    remarks = [f"only in the old result: {_title(before[key])}" for key in before if key not in after]
    remarks += [f"only in the new result: {_title(after[key])}" for key in after if key not in before]
    cpus = old["machine"].get("cpu"), new["machine"].get("cpu")
    if cpus[0] != cpus[1] and any(after[key]["kind"] == MEASURED for key in common):
        remarks.append(f"measured on different machines: {cpus[0]} and {cpus[1]}; times cannot be compared")
    changes = [change for key in common for change in _changes(before[key], after[key])]
    unchecked = [change for key in common if (change := _unchecked(before[key], after[key]))]
    failed: list[tuple[Condition, Change]] = []
    for condition in conditions:
        concerned = [change for change in changes if change.metric == condition.metric]
        if not concerned and not (condition.metric in SPEED and unchecked):
            raise UsageError(
                f"--fail-if {condition.text!r}: no row of both results has {condition.metric}; "
                + ("measure both with --data" if condition.metric == "accuracy" else "measure both again")
            )
        failed += [(condition, change) for change in concerned if condition.fails(change)]
    for change in unchecked:
        changes.append(change)
        failed += [(condition, change) for condition in conditions if condition.metric in SPEED]
    return Comparison(tuple(changes), tuple(failed), tuple(remarks))


def text(found: Comparison) -> str:
    """The comparison for a terminal: each change, remarks, and the rows that failed."""
    lines = [
        f"{change.row}: {change.metric} {change.old:.4g} -> {change.new:.4g} {METRICS[change.metric][0]} "
        f"({change.ratio:.3f}x{change.by})"
        for change in found.changes
    ]
    lines += list(found.remarks)
    lines += [f"FAILED {condition.text}: {change.row}" for condition, change in found.failed]
    return "\n".join(lines) + "\n"


def to_dict(found: Comparison) -> dict[str, Any]:
    """The comparison as JSON."""
    keys = ("row", "metric", "old", "new", "ratio")
    return {
        "changes": [{key: getattr(change, key) for key in keys} for change in found.changes],
        "failed": [{"condition": condition.text, "row": change.row} for condition, change in found.failed],
        "remarks": list(found.remarks),
    }


def _unchecked(old: dict[str, Any], new: dict[str, Any]) -> Change | None:
    """The fps of a row whose speed says nothing of a change in the model; None for all others.

    It had a time and has none now (the model no longer fits, or its backend refuses it), or its time comes from another
    backend (an emulator that is new, gone or was killed).
    """
    if old["ms"] is None:
        return None
    if new["ms"] is None:
        return Change(_title(new), "fps", old["fps"], 0.0, 0.0, ", has no time any more")
    if old["backend"] == new["backend"]:
        return None
    by = f", by {old['backend']} before and by {new['backend']} now: not comparable{_estimate('fps', new)}"
    return Change(_title(new), "fps", old["fps"], new["fps"], new["fps"] / old["fps"], by)


def _estimate(metric: str, row: dict[str, Any]) -> str:
    """Kind and band of an estimate's figure, which never stands bare."""
    if row["kind"] == MEASURED:
        return ""
    low, high = row["fps_band"] if metric == "fps" else row["band_ms"]
    return f", {row['kind']}, now within {low:.4g}-{high:.4g}"


def _changes(old: dict[str, Any], new: dict[str, Any]) -> list[Change]:
    counts = _instructions(old), _instructions(new)
    found = []
    for metric, (_, figure) in METRICS.items():
        before, after = figure(old), figure(new)
        if before is None or after is None or (metric in TIMES and old["backend"] != new["backend"]):
            continue
        ratio, by = after / before if before else float("inf") if after else 1.0, ""
        if metric in TIMES and counts[0] and counts[1]:
            ratio = counts[0] / counts[1] if metric == "fps" else counts[1] / counts[0]
            by = " by instruction count"
        if metric in TIMES:
            by += _estimate(metric, new)
        found.append(Change(_title(new), metric, before, after, ratio, by))
    return found


def _identity(row: dict[str, Any]) -> tuple[Any, ...]:
    return row["name"], row["device"], row["threads"], (row["runtime"] or "").partition(" ")[0]


def _title(row: dict[str, Any]) -> str:
    return f"{row['name']} on {row['device']}"
