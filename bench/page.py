"""A bench result as one HTML page: charts of plain HTML and CSS, and all tables. Needs no network and no script."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape
from typing import Any

from edgeface.bench import cells, page_style, report
from edgeface.bench.document import MEASURED, plain_name

COLOURS = 8
_DECADE_STEPS = (1, 2, 5)
_WHOLE = 100.0


def html(result: dict[str, Any]) -> str:
    """The page, self-contained, for light and dark screens, phones and wide windows."""
    rows = result["rows"]
    devices = list(dict.fromkeys(row["device"] for row in rows))
    parts = [_lead(result), _legend(devices), _accuracy_against_fps(rows, devices), _fps_bars(rows, devices)]
    parts += [_size_bars(rows), _memory_bars(rows, devices)]
    parts += [_profile(row, devices) for row in rows if row["per_op"] and "reason" not in row["per_op"]]
    parts += [_table(*table) for table in report.tables(result) if not table[0].startswith("Time by")]
    notes = "".join(f"<li>{escape(line)}</li>" for line in report.notes(result))
    parts.append(f"<section><h2>Notes</h2><ul>{notes}</ul></section>")
    body = "\n".join(part for part in parts if part)
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>EdgeFace bench, {escape(result['date'][:10])}</title>\n<style>{page_style.CSS}</style>\n</head>\n"
        f"<body>\n<main>\n{body}\n</main>\n</body>\n</html>\n"
    )


def _lead(result: dict[str, Any]) -> str:
    machine = result["machine"]
    place = f"{machine['cpu']}, {machine['cores']} cores, {machine['arch']}, {machine['os']}"
    return (
        "<header><h1>EdgeFace bench</h1>"
        f"<p>{len(result['rows'])} rows, {escape(result['date'])}, EdgeFace {escape(result['edgeface'])}. "
        f"Measured rows ran on {escape(place)}. Every estimate stands with its error band.</p></header>"
    )


def _legend(devices: Sequence[str]) -> str:
    marks = "".join(
        f'<li><span class="mark c{index % COLOURS}"></span>{escape(name)}</li>' for index, name in enumerate(devices)
    )
    kinds = (
        '<li><span class="mark plain"></span>measured</li><li><span class="mark plain open"></span>estimated</li>'
        if len(devices) > 1
        else ""
    )
    return f'<ul class="legend">{marks}{kinds}</ul>'


def _accuracy_against_fps(rows: Sequence[dict[str, Any]], devices: Sequence[str]) -> str:
    """Top-1 over frames a second (logarithmic), a point for each row, its band as a line."""
    shown = [row for row in rows if row["accuracy"] is not None and row["ms"] is not None]
    if not shown:
        return ""
    left, right = _decades(min(row["fps_band"][0] for row in shown), max(row["fps_band"][1] for row in shown))
    scores = [100 * row["accuracy"]["top1"] for row in shown]
    bottom, top, step = _linear(min(scores), max(scores))
    marks = [_grid_line("x", _log(value, left, right), _plain(value)) for value in _steps(left, right)]
    count = round((top - bottom) / step)
    marks += [_grid_line("y", _WHOLE * k / count, f"{bottom + k * step:g} %") for k in range(count + 1)]
    for number, (row, score) in enumerate(zip(shown, scores, strict=True), 1):
        x, y = _log(row["fps"], left, right), _WHOLE * (score - bottom) / (top - bottom)
        start, end = (_log(value, left, right) for value in row["fps_band"])
        colour = f"c{devices.index(row['device']) % COLOURS}"
        title = escape(f"{row['name']} on {row['device']} ({row['kind']}): {cells.fps(row)} fps, {score:.2f} %")
        kind = "" if row["kind"] == MEASURED else " open"
        marks.append(
            f'<i class="whisker {colour}" style="left:{start:.2f}%;width:{end - start:.2f}%;bottom:{y:.2f}%"></i>'
        )
        marks.append(
            f'<b class="point {colour}{kind}" style="left:{x:.2f}%;bottom:{y:.2f}%" title="{title}">{number}</b>'
        )
    named = "".join(
        f"<li>{escape(row['name'])} on {escape(row['device'])}: {escape(cells.fps(row))} fps ({escape(row['kind'])}), "
        f"{cells.accuracy(row)}</li>"
        for row in shown
    )
    return (
        "<section><h2>Accuracy against frames a second</h2>"
        '<div class="plot" role="img" aria-label="Top-1 over frames a second">'
        f'<div class="area">{"".join(marks)}</div></div>'
        f'<p class="axis">frames a second (logarithmic), top-1 upwards</p><ol class="points">{named}</ol></section>'
    )


def _fps_bars(rows: Sequence[dict[str, Any]], devices: Sequence[str]) -> str:
    shown = [row for row in rows if row["ms"] is not None]
    most = max((row["fps_band"][1] for row in shown), default=0)
    lines = [
        _bar(row, devices, row["fps"] / most, f"{cells.fps(row)} fps", tuple(value / most for value in row["fps_band"]))
        for row in shown
    ]
    return _bars("Frames a second, batch 1", lines)


def _size_bars(rows: Sequence[dict[str, Any]]) -> str:
    """The size of each model once: it is the same on every device."""
    unique: dict[str, dict[str, Any]] = {}
    for row in rows:
        unique.setdefault(row["sha256"], row)
    shown = list(unique.values())
    most = max(row["file_bytes"] for row in shown)
    lines = [_bar(row, (), row["file_bytes"] / most, f"{cells.megabytes(row['file_bytes'])} MB") for row in shown]
    return _bars("Size of the model's file", lines)


def _memory_bars(rows: Sequence[dict[str, Any]], devices: Sequence[str]) -> str:
    """The arena of each row: on this machine as the runtime's planner lays it out, elsewhere as the backend says."""
    shown = [row for row in rows if row["memory"].get("arena")]
    most = max((row["memory"]["arena"] for row in shown), default=0)
    lines = [
        _bar(row, devices, row["memory"]["arena"] / most, f"{cells.megabytes(row['memory']['arena'])} MB")
        for row in shown
    ]
    return _bars("Memory for activations (arena)", lines)


def _profile(row: dict[str, Any], devices: Sequence[str]) -> str:
    """Where the time of one inference goes."""
    style = _colour(row, devices) + ("" if row["kind"] == MEASURED else " open")
    parts = []
    for key, what in (("by_type", "type of operator"), ("by_block", "block")):
        entries = row["per_op"][key]
        if not entries:
            continue
        most = max(entry["share"] for entry in entries) or 1.0
        lines = [
            _line(
                f"{entry['name']} ({entry['count']})",
                style,
                entry["share"] / most,
                (f"{entry['us']:.1f} us, " if row["kind"] == MEASURED else "") + f"{100 * entry['share']:.1f} %",
            )
            for entry in entries
            if entry["us"] >= report.LEAST_MICROSECONDS
        ]
        parts.append(_bars(f"Time by {what}: {row['name']} on {row['device']}", lines))
    return "".join(parts)


def _colour(row: dict[str, Any], devices: Sequence[str]) -> str:
    """The class of a device's colour, the legend's."""
    return f"c{devices.index(row['device']) % COLOURS}"


def _bar(
    row: dict[str, Any],
    devices: Sequence[str],
    share: float,
    value: str,
    band: tuple[float, ...] | None = None,
) -> str:
    colour = _colour(row, devices) if devices else "c0"
    estimated = devices and row["kind"] != MEASURED
    name = f"{row['name']} on {row['device']}" if devices else plain_name(row)
    return _line(name, colour + (" open" if estimated else ""), share, value, band)


def _line(name: str, style: str, share: float, value: str, band: tuple[float, ...] | None = None) -> str:
    """One bar: its name, its length as a share of the longest, its value, and the band as a line over it."""
    whisker = ""
    if band is not None:
        whisker = f'<i class="band" style="left:{_WHOLE * band[0]:.2f}%;width:{_WHOLE * (band[1] - band[0]):.2f}%"></i>'
    return (
        f'<div class="bar"><span class="name">{escape(name)}</span><span class="track">'
        f'<i class="fill {style}" style="width:{_WHOLE * share:.2f}%"></i>{whisker}</span>'
        f'<span class="value">{escape(value)}</span></div>'
    )


def _bars(title: str, lines: Sequence[str]) -> str:
    return f"<section><h2>{escape(title)}</h2>{''.join(lines)}</section>" if lines else ""


def _table(title: str, head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    top = "".join(f"<th>{escape(cell)}</th>" for cell in head)
    body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return (
        f"<section><h2>{escape(title or 'All rows')}</h2>"
        f'<div class="scroll"><table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table></div></section>'
    )


def _grid_line(axis: str, place: float, label: str) -> str:
    side = "left" if axis == "x" else "bottom"
    return f'<i class="grid {axis}" style="{side}:{place:.2f}%"><span>{escape(label)}</span></i>'


def _decades(low: float, high: float) -> tuple[float, float]:
    """The nearest of 1, 2, 5, 10, ... around a range."""
    ends = [base * 10.0**power for power in range(-4, 7) for base in _DECADE_STEPS]
    return max(end for end in ends if end <= low * 0.999), min(end for end in ends if end >= high * 1.001)


def _steps(left: float, right: float) -> list[float]:
    """Grid lines between two ends: 1, 2, 5 of each decade, or only the decades when there would be many."""
    ends = [base * 10.0**power for power in range(-4, 7) for base in _DECADE_STEPS]
    inside = [end for end in ends if left <= end <= right]
    if len(inside) <= 6:
        return inside
    return [end for end in inside if math.log10(end).is_integer()]


def _log(value: float, left: float, right: float) -> float:
    return _WHOLE * math.log(value / left) / math.log(right / left)


def _linear(low: float, high: float) -> tuple[float, float, float]:
    """(bottom, top, step) of an axis in per cent that holds a range with a margin."""
    reach = max(high - low, 1.0)
    step = next(step for step in (0.5, 1, 2, 5, 10, 20, 50) if reach / step <= 4)
    bottom, top = step * math.floor(low / step - 0.25), step * math.ceil(high / step + 0.25)
    return max(bottom, 0.0), min(top, 100.0), step


def _plain(value: float) -> str:
    return f"{value:g}" if value < 1000 else f"{value / 1000:g}k"
