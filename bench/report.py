"""Tables from a bench result document: plain text of at most 120 columns, and Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

WIDTH = 120
NOT_MEASURED = "not measured"
_GAP = "  "


def text(result: dict[str, Any]) -> str:
    """The result for a terminal: what it ran on, speed and accuracy, how it ran, and warnings."""
    rows = result["rows"]
    parts = [
        _headline(result),
        _text_table(_COST_HEAD, [_cost(row) for row in rows]),
        _text_table(_WAY_HEAD, [_way(row) for row in rows]),
        "\n".join(_notes(result)),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def markdown(result: dict[str, Any]) -> str:
    """The result as Markdown."""
    rows = result["rows"]
    parts = [
        _headline(result),
        _markdown_table(_COST_HEAD, [_cost(row) for row in rows]),
        _markdown_table(_WAY_HEAD, [_way(row) for row in rows]),
        "\n".join(f"- {line}" for line in _notes(result)),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


_COST_HEAD = ("model", "kind", "p50 ms", "p90 ms", "p99 ms", "fps", "vs first", "file MB", "RSS MB", "top-1")
_WAY_HEAD = ("model", "type", "runtime", "delegate", "mean+-std ms", "runs", "cold start ms", "first ms")


def _headline(result: dict[str, Any]) -> str:
    machine, settings = result["machine"], result["settings"]
    threads = f"{settings['threads']} thread{'s' if settings['threads'] > 1 else ''}"
    features = ", ".join(name for name in machine["features"] if name != "sse4_1") or "no vector extensions known"
    place = f"{machine['cpu']}, {machine['cores']} cores, {machine['arch']}"
    lines = [
        f"device {settings['device']} ({threads}): {place}",
        f"{features}; {machine['os']}, Python {machine['python']}, EdgeFace {result['edgeface']}, {result['date']}",
    ]
    return "\n".join(_cut(line, WIDTH) for line in lines)


def _cost(row: dict[str, Any]) -> tuple[str, ...]:
    times = row["latency_ms"]
    return (
        row["name"],
        row["kind"],
        *(_milliseconds(times[key]) for key in ("p50", "p90", "p99")),
        f"{row['fps']:.1f}",
        _ratio(row["ratio"]),
        f"{row['file_bytes'] / 1e6:.2f}",
        "-" if row["peak_rss_mb"] is None else f"{row['peak_rss_mb']:.0f}",
        NOT_MEASURED if row["accuracy"] is None else f"{100 * row['accuracy']['top1']:.2f} %",
    )


def _way(row: dict[str, Any]) -> tuple[str, ...]:
    times, delegate = row["latency_ms"], row["delegate"]
    share = "" if not delegate["operators"] else f" {delegate['operators']}/{delegate['of']} ops"
    return (
        row["name"],
        row["mode"] if row["what"] == "bundle" else f"Keras {row['mode']}",
        row["runtime"],
        delegate["name"] + share,
        f"{_milliseconds(times['mean'])}+-{_milliseconds(times['std'])}",
        str(row["runs"]),
        f"{row['cold_start_ms']:.0f}",
        _milliseconds(row["first_inference_ms"]),
    )


def _notes(result: dict[str, Any]) -> list[str]:
    measured = [row["accuracy"] for row in result["rows"] if row["accuracy"] is not None]
    notes = list(result["warnings"])
    if measured:
        first = measured[0]
        notes.append(f"top-1 on {first['images']} images: {first['data']}, split {first['split']}")
    keras = [row for row in result["rows"] if row["what"] == "run"]
    if keras:
        notes.append(f"Keras runs: {keras[0]['delegate']['evidence']}, batch 1 in a tf.function")
    if len(result["rows"]) > 1:
        notes.append(f"vs first: {result['definitions']['ratio']}")
    notes.append(f"fps: {result['definitions']['fps']}; RSS: {result['definitions']['peak_rss_mb']}")
    notes.append(f"cold start: {result['definitions']['cold_start_ms']}")
    return notes


def _ratio(ratio: dict[str, float] | None) -> str:
    if ratio is None:
        return "1x"
    return "{}x ({}-{})".format(*(f"{ratio[key]:.3g}" for key in ("value", "low", "high")))


def _milliseconds(value: float) -> str:
    """Three significant digits, never in powers of ten."""
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def _text_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Aligned columns, text to the left and numbers to the right; a long first column is cut to fit 120 columns."""
    widths = [max(len(line[index]) for line in (head, *rows)) for index in range(len(head))]
    rest = sum(widths[1:]) + len(_GAP) * (len(head) - 1)
    widths[0] = max(min(widths[0], WIDTH - rest), 8)
    lines = []
    for line in (head, ["-" * width for width in widths], *rows):
        cells = [_cut(line[0], widths[0]).ljust(widths[0])]
        for cell, width, sample in zip(line[1:], widths[1:], rows[0][1:], strict=True):
            cells.append(cell.rjust(width) if _is_number(sample) else cell.ljust(width))
        lines.append(_GAP.join(cells).rstrip())
    return "\n".join(lines)


def _markdown_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    rule = ["---:" if _is_number(sample) else "---" for sample in rows[0]]
    return "\n".join("| " + " | ".join(cell.replace("|", "/") for cell in line) + " |" for line in (head, rule, *rows))


def _is_number(cell: str) -> bool:
    return cell[:1].isdigit() or cell == NOT_MEASURED


def _cut(cell: str, width: int) -> str:
    """The cell, or its two ends with a mark between when it is too long."""
    if len(cell) <= width:
        return cell
    front = (width - 2) // 2
    return f"{cell[:front]}..{cell[len(cell) - (width - 2 - front) :]}"
