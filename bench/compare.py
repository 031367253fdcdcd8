"""Two results side by side, and the conditions under which a change fails (`--compare`, `--fail-if`)."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from edgeface.bench.document import MEASURED, plain_name
from edgeface.errors import UsageError

Row = dict[str, Any]
"""A row of a result document, as JSON."""


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
_NUMBER = re.compile(r" #\d+$")
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

    Rows are the same when model, device, number of threads and runtime (without its version) are. What could not be
    checked fails every condition on it: the speed of a row that has no time any more, or has it from another backend,
    and an accuracy over other images.
    """
    pairs, only_old, only_new = _matched(old["rows"], new["rows"])
    if not pairs:
        raise UsageError("the two results have no row in common: model, device, threads and runtime must be the same")
    remarks = [f"only in the old result: {_title(row)}" for row in only_old]
    remarks += [f"only in the new result: {_title(row)}" for row in only_new]
    apart = machine_differences(old["machine"], new["machine"])
    if apart and any(row["kind"] == MEASURED for _, row in pairs):
        remarks.append(f"measured on different machines: {'; '.join(apart)}; times cannot be compared")
    changes = [change for pair in pairs for change in _changes(*pair)]
    unchecked = [change for pair in pairs for change in _unchecked(*pair)]
    failed: list[tuple[Condition, Change]] = []
    for condition in conditions:
        concerned = [change for change in changes if change.metric == condition.metric]
        if not concerned and not any(_is_on(condition, change) for change in unchecked):
            raise UsageError(
                f"--fail-if {condition.text!r}: no row of both results has {condition.metric}; "
                + ("measure both with --data" if condition.metric == "accuracy" else "measure both again")
            )
        failed += [(condition, change) for change in concerned if condition.fails(change)]
    for change in unchecked:
        changes.append(change)
        failed += [(condition, change) for condition in conditions if _is_on(condition, change)]
    return Comparison(tuple(changes), tuple(failed), tuple(remarks))


def text(found: Comparison) -> str:
    """The comparison for a terminal: each change, remarks, and the rows that failed."""
    lines = [
        f"{change.row}: {change.metric} {change.old:.4g} -> {change.new:.4g} {METRICS[change.metric][0]} "
        f"({f'{change.ratio:.3f}x' if math.isfinite(change.ratio) else 'from 0'}{change.by})"
        for change in found.changes
    ]
    lines += list(found.remarks)
    lines += [f"FAILED {condition.text}: {change.row}" for condition, change in found.failed]
    return "\n".join(lines) + "\n"


def to_dict(found: Comparison) -> dict[str, Any]:
    """The comparison as JSON."""
    keys = ("row", "metric", "old", "new", "ratio")
    return {
        # JSON knows no infinity: a figure that was 0 has no ratio.
        "changes": [
            {key: getattr(change, key) for key in keys}
            | {"ratio": change.ratio if math.isfinite(change.ratio) else None}
            for change in found.changes
        ],
        "failed": [{"condition": condition.text, "row": change.row} for condition, change in found.failed],
        "remarks": list(found.remarks),
    }


def machine_differences(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """What says that two results were measured on different machines, such as "cores 2 and 4"; nothing of one machine.

    A processor's name alone does not tell: servers of one name are rented with few cores or many. Memory counts when it
    differs by more than a tenth, for kernels keep more or less of it.
    """
    apart = [
        f"{key} {old.get(key)} and {new.get(key)}" for key in ("cpu", "cores", "arch") if old.get(key) != new.get(key)
    ]
    features = set(old.get("features", ())) ^ set(new.get("features", ()))
    if features:
        apart.append(f"only one has {', '.join(sorted(features))}")
    memory = [one.get("memory_mb") or 0 for one in (old, new)]
    if all(memory) and max(memory) - min(memory) > 0.1 * max(memory):
        apart.append("memory {} and {} MB".format(*memory))
    return apart


def _is_on(condition: Condition, change: Change) -> bool:
    """Whether a change that could not be checked is one that a condition asks about. `fps` stands for all of speed."""
    return condition.metric == change.metric or (condition.metric in SPEED and change.metric in SPEED)


def _unchecked(old: Row, new: Row) -> list[Change]:
    """The fps and accuracy of a row that say nothing of a change in the model.

    It had a time and has none now (the model no longer fits, or its backend refuses it), or its time comes from another
    backend (an emulator that is new, gone or was killed); its accuracy is over other images.
    """
    found = []
    if old["ms"] is not None and new["ms"] is None:
        found.append(Change(_title(new), "fps", old["fps"], 0.0, 0.0, ", has no time any more"))
    elif old["ms"] is not None and old["backend"] != new["backend"]:
        by = f", by {old['backend']} before and by {new['backend']} now: not comparable{_estimate('fps', new)}"
        found.append(Change(_title(new), "fps", old["fps"], new["fps"], new["fps"] / old["fps"], by))
    before, after = _accuracy(old), _accuracy(new)
    if before is not None and after is not None and _images(old) != _images(new):
        by = f", on {_images(old)} before and on {_images(new)} now: not comparable"
        found.append(Change(_title(new), "accuracy", before, after, _ratio(before, after), by))
    return found


def _images(row: dict[str, Any]) -> str:
    """The images that a row's accuracy is over, in words; "" without one."""
    found = row["accuracy"]
    return "" if found is None else f"{found['images']} images of {found['data']}, {found['split']}"


def _ratio(old: float, new: float) -> float:
    return new / old if old else float("inf") if new else 1.0


def _estimate(metric: str, row: dict[str, Any]) -> str:
    """Kind and band of an estimate's figure, which never stands bare."""
    if row["kind"] == MEASURED:
        return ""
    low, high = row["fps_band"] if metric == "fps" else row["band_ms"]
    return f", {row['kind']}, now within {low:.4g}-{high:.4g}"


def _changes(old: Row, new: Row) -> list[Change]:
    counts = _instructions(old), _instructions(new)
    found = []
    for metric, (_, figure) in METRICS.items():
        before, after = figure(old), figure(new)
        if before is None or after is None or (metric in TIMES and old["backend"] != new["backend"]):
            continue
        if metric == "accuracy" and _images(old) != _images(new):
            continue
        ratio, by = _ratio(before, after), ""
        if metric in TIMES and counts[0] and counts[1]:
            ratio = counts[0] / counts[1] if metric == "fps" else counts[1] / counts[0]
            by = " by instruction count"
        if metric in TIMES:
            by += _estimate(metric, new)
        found.append(Change(_title(new), metric, before, after, ratio, by))
    return found


def _matched(old: Sequence[Row], new: Sequence[Row]) -> tuple[list[tuple[Row, Row]], list[Row], list[Row]]:
    """(rows of both results, old and new; those of the old alone; those of the new alone), in the new result's order.

    Bundles of one name are told apart by their models first, then by their order.
    """
    left, partners = list(old), {}  # type: tuple[list[Row], dict[int, Row]]
    for by_model in (True, False):
        for place, row in enumerate(new):
            if place in partners:
                continue
            wanted = _identity(row, by_model)
            match = next((index for index, other in enumerate(left) if _identity(other, by_model) == wanted), None)
            if match is not None:
                partners[place] = left.pop(match)
    pairs = [(partners[place], row) for place, row in enumerate(new) if place in partners]
    return pairs, left, [row for place, row in enumerate(new) if place not in partners]


def _identity(row: Row, by_model: bool) -> tuple[Any, ...]:
    """What two rows have in common when they are the same. Names without what keeps those of one result apart: runtime,
    threads and a number, which a result of other targets or options has otherwise."""
    name, runtime = _NUMBER.sub("", plain_name(row)), (row["runtime"] or "").partition(" ")[0]
    return name, row["device"], row["threads"], runtime, row["sha256"] if by_model else ""


def _title(row: dict[str, Any]) -> str:
    return f"{row['name']} on {row['device']}"
