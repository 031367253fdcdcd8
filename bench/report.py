"""Tables from a bench result document: plain text of at most 120 columns, Markdown, and CSV."""

from __future__ import annotations

import csv
import io
import textwrap
from collections.abc import Sequence
from typing import Any

from edgeface.bench import cells
from edgeface.bench.document import MEASURED

WIDTH = 120
_GAP = "  "
_BAR = 30
_SHORTEST_NAME = 16
LEAST_MICROSECONDS = 0.05
"""Operators that take no time at this precision are left out of tables; the JSON has them."""
Table = tuple[str, Sequence[str], list[tuple[str, ...]]]
"""Title, head, rows."""


def text(result: dict[str, Any]) -> str:
    """The result for a terminal: what it ran on, its tables, time by operator as bars, and notes."""
    parts = [_headline(result)]
    for title, head, rows in tables(result):
        parts.append((title + "\n" if title else "") + _text_table(head, rows))
    parts.append("\n".join(textwrap.fill(line, WIDTH, subsequent_indent="  ") for line in notes(result)))
    return "\n\n".join(part for part in parts if part) + "\n"


def markdown(result: dict[str, Any]) -> str:
    """The result as Markdown."""
    parts = [_headline(result)]
    for title, head, rows in tables(result):
        parts.append((f"**{title}**\n\n" if title else "") + _markdown_table(head, rows))
    parts.append("\n".join(f"- {line}" for line in notes(result)))
    return "\n\n".join(part for part in parts if part) + "\n"


def csv_text(result: dict[str, Any]) -> str:
    """One line a row with plain numbers: milliseconds, bytes, megabytes of resident memory, top-1 in 0..1."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(_CSV_HEAD)
    for row in result["rows"]:
        latency, rss, ratio = row["latency_ms"] or {}, row["rss_mb"] or {}, row["ratio"] or {}
        low, high = row["band_ms"] or (None, None)
        writer.writerow(
            [
                *(row[key] for key in ("name", "what", "mode", "device", "kind", "backend", "runtime", "threads")),
                *(row["ms"], low, high, row["fps"]),
                *(latency.get(key) for key in ("mean", "std", "min", "p50", "p90", "p95", "p99")),
                *(ratio.get(key) for key in ("value", "low", "high")),
                (row["batch"] or {}).get("fps"),
                (row["pipeline_ms"] or {}).get("p50"),
                *(row["cold_start_ms"], row["load_ms"], row["first_inference_ms"]),
                *(rss.get(key) for key in ("base", "init", "peak")),
                *(row["file_bytes"], row["memory"].get("arena"), row["fits"], row["reason"]),
                None if row["accuracy"] is None else row["accuracy"]["top1"],
            ]
        )
    return out.getvalue()


_CSV_HEAD = (
    "model", "what", "mode", "device", "kind", "backend", "runtime", "threads", "ms", "band_low_ms", "band_high_ms",
    "fps", "mean_ms", "std_ms", "min_ms", "p50_ms", "p90_ms", "p95_ms", "p99_ms", "ratio", "ratio_low", "ratio_high",
    "batch_fps", "photo_to_label_ms", "cold_start_ms", "load_ms", "first_inference_ms", "rss_base_mb", "rss_init_mb",
    "rss_peak_mb", "file_bytes", "arena_bytes", "fits", "reason", "top1",
)  # fmt: skip


def tables(result: dict[str, Any]) -> list[Table]:
    """The tables of a result: costs of all rows, then what only measured or only simulated rows have."""
    rows = result["rows"]
    measured = [row for row in rows if row["kind"] == MEASURED]
    simulated = [row for row in rows if row["kind"] != MEASURED]
    head: tuple[str, ...] = ("model", "device", "kind", "ms", "band ms", "fps", "file MB", "memory MB", "top-1")
    found: list[Table] = [("", head, [_cost(row) for row in rows])]
    if measured:
        head = ("model", "mean+-std ms", "min", "p50", "p90", "p95", "p99", "runs", "vs first")
        found.append(("Measured: milliseconds of one inference", head, [_spread(row) for row in measured]))
        head = ("model", "type", "runtime", "delegate", "threads", "cold start ms", "load ms", "first ms")
        found.append(("Measured: how it ran", head, [_way(row) for row in measured]))
        head = ("model", "RSS before MB", "after init MB", "peak MB", "arena MB", "batch fps", "photo to label ms")
        found.append(("Measured: memory, batches, whole photos", head, [_rest(row) for row in measured]))
    if simulated:
        head = ("model", "device", "backend", "threads", "fits", "memory MB")
        found.append(("Simulated", head, [_simulation(row) for row in simulated]))
    return found + [table for row in rows for table in _profile(row)]


def _headline(result: dict[str, Any]) -> str:
    machine, settings = result["machine"], result["settings"]
    features = ", ".join(name for name in machine["features"] if name != "sse4_1") or "no vector extensions known"
    place = f"{machine['cpu']}, {machine['cores']} cores, {machine['arch']}"
    lines = [
        f"devices {', '.join(settings['devices'])}; this machine: {place}",
        f"{features}; {machine['os']}, Python {machine['python']}, EdgeFace {result['edgeface']}, {result['date']}",
    ]
    return "\n".join(_cut(line, WIDTH) for line in lines)


def _cost(row: dict[str, Any]) -> tuple[str, ...]:
    return (
        row["name"],
        row["device"],
        row["kind"],
        cells.time(row),
        cells.band(row),
        cells.fps(row),
        cells.megabytes(row["file_bytes"]),
        cells.memory(row),
        cells.accuracy(row),
    )


def _spread(row: dict[str, Any]) -> tuple[str, ...]:
    times = row["latency_ms"]
    return (
        row["name"],
        f"{cells.milliseconds(times['mean'])}+-{cells.milliseconds(times['std'])}",
        *(cells.milliseconds(times[key]) for key in ("min", "p50", "p90", "p95", "p99")),
        str(row["runs"]),
        cells.ratio(row),
    )


def _way(row: dict[str, Any]) -> tuple[str, ...]:
    return (
        row["name"],
        row["mode"] if row["what"] == "bundle" else f"Keras {row['mode']}",
        row["runtime"],
        cells.delegate(row),
        str(row["threads"]),
        f"{row['cold_start_ms']:.0f}",
        cells.milliseconds(row["load_ms"]),
        cells.milliseconds(row["first_inference_ms"]),
    )


def _rest(row: dict[str, Any]) -> tuple[str, ...]:
    rss = row["rss_mb"]
    return (
        row["name"],
        *(cells.NOTHING if rss[key] is None else f"{rss[key]:.0f}" for key in ("base", "init", "peak")),
        cells.megabytes(row["memory"].get("arena")),
        cells.batch(row),
        cells.milliseconds(row["pipeline_ms"]["p50"]),
    )


def _simulation(row: dict[str, Any]) -> tuple[str, ...]:
    return (row["name"], row["device"], row["backend"], str(row["threads"]), cells.fit(row), cells.bytes_list(row))


def _profile(row: dict[str, Any]) -> list[Table]:
    """Time by type of operator and by block, with a bar for each share; of an estimate the shares alone."""
    found = row["per_op"]
    if found is None or "reason" in found:
        return []
    made: list[Table] = []
    for key, what in (("by_type", "operator"), ("by_block", "block")):
        if found[key] is None:
            continue
        longest = max(entry["share"] for entry in found[key]) or 1.0
        measured = row["kind"] == MEASURED
        head = (what, "number", *(["us"] if measured else []), "share", "")
        lines: list[tuple[str, ...]] = [
            (
                entry["name"],
                str(entry["count"]),
                *([f"{entry['us']:.1f}"] if measured else []),
                f"{100 * entry['share']:.1f} %",
                "#" * round(_BAR * entry["share"] / longest),
            )
            for entry in found[key]
            if entry["us"] >= LEAST_MICROSECONDS
        ]
        made.append((f"Time by {what}: {row['name']} on {row['device']}", head, lines))
    return made


def notes(result: dict[str, Any]) -> list[str]:
    """Warnings, explanations, and what the figures mean."""
    rows, said = result["rows"], result["definitions"]
    measured = [row for row in rows if row["kind"] == MEASURED]
    lines = [*result["warnings"], *result["notes"]]
    known = [row["accuracy"] for row in rows if row["accuracy"] is not None]
    if known:
        lines.append(f"top-1 on {known[0]['images']} images: {known[0]['data']}, split {known[0]['split']}")
    keras = [row for row in measured if row["what"] == "run"]
    if keras:
        lines.append(f"Keras runs: {keras[0]['delegate']['evidence']}, batch 1 in a tf.function")
    told: dict[str, list[str]] = {}
    for row in rows:
        for line in ([row["reason"]] if row["reason"] else []) + row["notes"]:
            told.setdefault(line, []).append(f"{row['name']} on {row['device']}")
    lines += [f"{_some(names)}: {line}" for line, names in told.items()]
    reasons = {row["per_op"]["reason"] for row in measured if row["per_op"] and "reason" in row["per_op"]}
    lines += [f"time by operator: {reason}" for reason in sorted(reasons)]
    methods = {row["per_op"]["method"] for row in rows if row["per_op"] and "method" in row["per_op"]}
    lines += [f"time by operator: {method}" for method in sorted(methods)]
    if len(measured) > 1:
        lines.append(f"vs first: {said['ratio']}")
    lines.append(f"band: {said['band_ms']}")
    if measured:
        lines += [f"RSS: {said['rss_mb']}", f"memory: {said['memory']}", f"cold start: {said['cold_start_ms']}"]
        lines.append(f"photo to label: {said['pipeline_ms']}; on {measured[0]['pipeline_ms']['photo']}")
        lines += sorted({row["batch"]["reason"] for row in measured if row["batch"] and "reason" in row["batch"]})
    return lines


def _some(names: Sequence[str]) -> str:
    """The first of several names and how many more there are."""
    return names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more"


def _text_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Aligned columns, text to the left and numbers to the right; cut to fit 120 columns, names before figures."""
    widths = [max(len(line[index]) for line in (head, *rows)) for index in range(len(head))]
    while sum(widths) + len(_GAP) * (len(head) - 1) > WIDTH:
        widths[0 if widths[0] > _SHORTEST_NAME else widths.index(max(widths))] -= 1
    right = [index > 0 and all(_is_number(line[index]) for line in rows) for index in range(len(head))]
    lines = []
    for line in (head, ["-" * width for width in widths], *rows):
        shown = [_cut(cell, width) for cell, width in zip(line, widths, strict=True)]
        padded = zip(shown, widths, right, strict=True)
        lines.append(_GAP.join(cell.rjust(width) if end else cell.ljust(width) for cell, width, end in padded).rstrip())
    return "\n".join(lines)


def _markdown_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    right = [index > 0 and all(_is_number(line[index]) for line in rows) for index in range(len(head))]
    rule = ["---:" if end else "---" for end in right]
    return "\n".join("| " + " | ".join(cell.replace("|", "/") for cell in line) + " |" for line in (head, rule, *rows))


def _is_number(cell: str) -> bool:
    return cell.removeprefix("~")[:1].isdigit() or cell in (cells.NOT_MEASURED, cells.NOTHING)


def _cut(cell: str, width: int) -> str:
    """The cell, or its two ends with a mark between when it is too long."""
    if len(cell) <= width:
        return cell
    front = (width - 2) // 2
    return f"{cell[:front]}..{cell[len(cell) - (width - 2 - front) :]}"
