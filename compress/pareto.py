"""The tries of a budget search, compared: which are not beaten in everything, as a table and as a picture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from edgeface.files import atomic_path
from edgeface.model_card import NOT_MEASURED

HEAD = ("try", "top-1", "drop", "KB", "million MACs", "fps", "speed-up", "front", "verdict")


def pareto_front(tries: Sequence[dict[str, Any]], costs: Sequence[str] = ("size", "fps")) -> list[int]:
    """Places of the finished tries that no other beats: none is as accurate, as small and as fast, and better in one.

    A try needs `accuracy` and `size`; an `fps` of None counts as the slowest. `costs` may be one of the two alone.
    """

    def figures(row: dict[str, Any]) -> tuple[float, ...]:
        return (row["accuracy"], *(-row["size"] if cost == "size" else row["fps"] or 0.0 for cost in costs))

    known = [place for place, row in enumerate(tries) if row["accuracy"] is not None]

    def beaten(place: int) -> bool:
        own = figures(tries[place])
        others = (figures(tries[other]) for other in known if other != place)
        return any(other != own and all(a >= b for a, b in zip(other, own, strict=True)) for other in others)

    return [place for place in known if not beaten(place)]


def table(tries: Sequence[dict[str, Any]]) -> str:
    """The tries for a terminal, in the order they were made."""
    front = set(pareto_front(tries))
    lines = [HEAD, *(_cells(row, place in front) for place, row in enumerate(tries))]
    widths = [max(len(line[column]) for line in lines) for column in range(len(HEAD))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if column in (0, len(HEAD) - 1) else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )


def draw(tries: Sequence[dict[str, Any]], chosen: str | None, path: Path, device: str = "cpu") -> None:
    """Write a PNG: accuracy against size, and against the device's fps; each front joined, the chosen try ringed."""
    from matplotlib.figure import Figure

    finished = [row for row in tries if row["accuracy"] is not None]
    figure = Figure(figsize=(10, 4.2), layout="constrained")
    labels = ("size, KB", "fps, measured" if device == "cpu" else f"fps, estimated for {device}")
    for axes, key, scale, label in zip(figure.subplots(1, 2), ("size", "fps"), (1e-3, 1.0), labels, strict=True):
        rows = [row for row in finished if row[key] is not None]
        axes.plot([scale * row[key] for row in rows], [100 * row["accuracy"] for row in rows], "o", color="tab:gray")
        front = [tries[place] for place in pareto_front(tries, (key,))]
        line = sorted((scale * row[key], 100 * row["accuracy"]) for row in front if row[key] is not None)
        axes.plot(*zip(*line, strict=True), "o-", color="tab:blue") if line else None
        for row in rows:
            place = (scale * row[key], 100 * row["accuracy"])
            axes.annotate(row["try"], place, fontsize=7, xytext=(4, 4), textcoords="offset points")
            if row["try"] == chosen:
                axes.plot(*place, "o", markersize=14, markerfacecolor="none", markeredgecolor="tab:red")
        axes.margins(x=0.3, y=0.1)  # room for the names
        axes.set_xlabel(label)
        axes.set_ylabel("top-1, %")
        axes.grid(alpha=0.3)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png", dpi=110)


def _cells(row: dict[str, Any], on_front: bool) -> tuple[str, ...]:
    return (
        row["try"],
        _number(row["accuracy"], 100, 2, " %"),
        _number(row["drop"], 1, 2),
        _number(row["size"], 1e-3, 0),
        _number(row["macs"], 1e-6, 1),
        _number(row["fps"], 1, 1),
        _number(row["speedup"], 1, 2, "x"),
        "*" if on_front else "",
        row["verdict"],
    )


def _number(value: float | None, scale: float, digits: int, unit: str = "") -> str:
    return NOT_MEASURED if value is None else f"{scale * value:.{digits}f}{unit}"
