"""The figures of a table, as SVG by name: learning curves, accuracy against size and speed, t-SNE of pre-logits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from edgeface.bench.reproduction import svg
from edgeface.bench.reproduction.plan import KINDS
from edgeface.bench.reproduction.reading import read_answers
from edgeface.bench.reproduction.speed import threads_of
from edgeface.bench.reproduction.svg import Series

MOST_CLOUDS = 5


def learning_curves(table: dict[str, Any]) -> str | None:
    """Validation accuracy by step of every run, a colour a row. None before any epoch."""
    series = []
    for place, row in enumerate(table["rows"]):
        for curve in (run["curve"] for run in row["runs"] if run["curve"]):
            points = tuple((float(epoch["global_step"]), 100 * epoch["val_accuracy"]) for epoch in curve)
            series.append(Series(row["title"], points, place, dashed=place >= svg.COLOURS))
    if not series:
        return None
    x = svg.axis_for([x for one in series for x, _ in one.points], "training steps")
    y = svg.axis_for([y for one in series for _, y in one.points], "validation accuracy, %")
    return svg.lines(series, x, y, f"Learning curves of {table['table']}")


def against_size(table: dict[str, Any]) -> str | None:
    """Accuracy of every bundle against the size of its file. None for rows of one network, which are of one size."""
    if len({row["network"] for row in table["rows"]}) < 2:
        return None
    return _against(table, "size of the file, MB", lambda row, kind: _millions(row["bytes"][kind]))


def against_speed(table: dict[str, Any], device: str) -> str | None:
    """Accuracy of every bundle against frames a second on one device."""

    def speed(row: dict[str, Any], kind: str) -> float | None:
        return next((item["fps"] for item in row["speed"][kind] if item["device"] == device), None)

    items = [item for row in table["rows"] for rows in row["speed"].values() for item in rows]
    items = [item for item in items if item["device"] == device]
    kind = "measured" if all(item["kind"] == "measured" for item in items) else "estimated"
    return _against(table, f"frames a second on {device} ({kind}, {threads_of(items)})", speed)


def devices(table: dict[str, Any]) -> list[str]:
    """The devices that some bundle of the table has a speed on."""
    found = [item["device"] for row in table["rows"] for rows in row["speed"].values() for item in rows if item["fps"]]
    return list(dict.fromkeys(found))


def clouds(out: Path, table: dict[str, Any]) -> list[tuple[str, str]]:
    """(title, chart) of the t-SNE of each network's pre-logits, of the first seed of up to five rows.

    All networks saw the same images.
    """
    charts: list[tuple[str, str]] = []
    for row in table["rows"]:
        run = next((run for run in row["runs"] if run["score"]), None)
        if run is None or len(charts) == MOST_CLOUDS:
            continue
        answers = read_answers(out / "scores" / f"{run['key']}.npz")
        if answers is None:
            continue
        points, identity, split = answers["flat"].tolist(), answers["identity"].tolist(), str(answers["split"])
        names = [f"identity {number}" for number in range(max(identity) + 1)]
        counts = sorted({identity.count(number) for number in set(identity)})
        each = f"{counts[0]} to {counts[-1]}" if len(counts) > 1 else f"{counts[0]}"
        title = f"{row['title']}: {len(set(identity))} identities, {len(identity)} images of {split}, {each} a person"
        charts.append((title, svg.cloud([tuple(point) for point in points], identity, names, title)))
    return charts


def _against(table: dict[str, Any], label: str, measure: Any) -> str | None:
    series = []
    for place, row in enumerate(table["rows"]):
        for kind in KINDS:
            figure, value = row["figures"][f"{kind}_val"], measure(row, kind)
            if figure is not None and value:
                text = f"{row['name']} {'int8' if kind == 'int8' else 'fp32'}"
                series.append(Series(text, ((value, 100 * figure["mean"]),), place, (text,)))
    if not series:
        return None
    values = [one.points[0][0] for one in series]
    x = svg.axis_for([*values, 3 * max(values)], label, logarithmic=True)  # room for the names at the right
    y = svg.axis_for([one.points[0][1] for one in series], "validation accuracy, %")
    return svg.dots(series, x, y, f"Accuracy against {label}")


def _millions(value: int | None) -> float | None:
    return None if value is None else value / 1e6
