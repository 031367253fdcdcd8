"""The scatter plot of predicted against published latencies."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from edgeface.files import atomic_path

SIZE, LEFT, RIGHT, TOP, BOTTOM = 1100, 110, 40, 70, 100
INK, PALE, WHITE = (40, 40, 40), (225, 225, 225), (255, 255, 255)
COLOURS: list[tuple[int, int, int]] = [(180, 119, 31), (14, 127, 255), (44, 160, 44), (40, 39, 214), (189, 103, 148)]
COLOURS += [(75, 86, 140), (194, 119, 227), (127, 127, 127), (34, 189, 188), (207, 190, 23)]
WITHIN = 0.15
TICKS = (10, 20, 50, 100, 200, 500, 1000, 2000, 5000)


def scatter(points: Sequence[dict[str, Any]], path: Path, title: str) -> None:
    """Write a PNG: a mark for each point, discs float32 and squares int8, filled for one thread, hollow for several,
    a colour for each core; the diagonal and the band of 15 % around it. Axes are logarithmic, milliseconds."""
    values = [row[key] for row in points for key in ("ms", "predicted_ms")]
    low, high = math.log(min(values) / 1.3), math.log(max(values) * 1.3)

    def place(published: float, predicted: float) -> tuple[int, int]:
        across, up = ((math.log(value) - low) / (high - low) for value in (published, predicted))
        return round(LEFT + across * (SIZE - LEFT - RIGHT)), round(SIZE - BOTTOM - up * (SIZE - TOP - BOTTOM))

    page = np.full((SIZE, SIZE, 3), 255, np.uint8)
    first, last = math.exp(low), math.exp(high)
    _band(page, place, first, last)
    for tick in (tick for tick in TICKS if first < tick < last):
        cv2.line(page, place(tick, first), place(tick, last), PALE, 1, cv2.LINE_AA)
        cv2.line(page, place(first, tick), place(last, tick), PALE, 1, cv2.LINE_AA)
        x, y = place(tick, first)
        _write(page, str(tick), (x - 8 * len(str(tick)), y + 28))
        x, y = place(first, tick)
        _write(page, str(tick), (x - 16 * len(str(tick)) - 8, y + 6))
    cv2.line(page, place(first, first), place(last, last), INK, 1, cv2.LINE_AA)
    cv2.rectangle(page, place(first, first), place(last, last), INK, 1)
    colours = _colours(points)
    for row in points:
        at = place(row["ms"], row["predicted_ms"])
        _mark(page, at, colours[row["core"]], row["dtype"] == "int8", row["threads"] == 1)
    _legend(page, colours)
    _write(page, title, (LEFT, 42), 0.75)
    _write(page, "published, ms", (SIZE // 2 - 60, SIZE - 45), 0.6)
    _write(page, "predicted without it, ms", (LEFT + 12, TOP + 28), 0.6)
    with atomic_path(path) as temporary:
        temporary.write_bytes(cv2.imencode(".png", page)[1].tobytes())


def _band(page: np.ndarray, place: Any, first: float, last: float) -> None:
    corners = [(first, first * (1 - WITHIN)), (last, last * (1 - WITHIN)), (last, last * (1 + WITHIN))]
    corners.append((first, first * (1 + WITHIN)))
    shape = np.array([place(*corner) for corner in corners], np.int32)
    cv2.fillPoly(page, [shape], (244, 240, 232), cv2.LINE_AA)
    page[:TOP], page[SIZE - BOTTOM :], page[:, :LEFT], page[:, SIZE - RIGHT :] = WHITE, WHITE, WHITE, WHITE


def _colours(points: Sequence[dict[str, Any]]) -> dict[str, tuple[int, int, int]]:
    cores = sorted({row["core"] for row in points})
    return {core: COLOURS[number % len(COLOURS)] for number, core in enumerate(cores)}


def _legend(page: np.ndarray, colours: dict[str, tuple[int, int, int]]) -> None:
    left, top = SIZE - RIGHT - 250, SIZE - BOTTOM - 28 * (len(colours) + 3) - 12
    cv2.rectangle(page, (left - 22, top - 8), (SIZE - RIGHT - 10, SIZE - BOTTOM - 10), WHITE, -1)
    cv2.rectangle(page, (left - 22, top - 8), (SIZE - RIGHT - 10, SIZE - BOTTOM - 10), PALE, 1)
    for number, (core, colour) in enumerate(colours.items()):
        _mark(page, (left, top + 16 + 28 * number), colour, False, True)
        _write(page, core, (left + 18, top + 22 + 28 * number))
    for number, (name, square, filled) in enumerate(
        (("float32", False, True), ("int8", True, True), ("hollow: several threads", False, False)), len(colours)
    ):
        _mark(page, (left, top + 16 + 28 * number), INK, square, filled)
        _write(page, name, (left + 18, top + 22 + 28 * number))


def _mark(page: np.ndarray, at: tuple[int, int], colour: tuple[int, int, int], square: bool, filled: bool) -> None:
    weight = -1 if filled else 2
    if square:
        cv2.rectangle(page, (at[0] - 6, at[1] - 6), (at[0] + 6, at[1] + 6), colour, weight, cv2.LINE_AA)
    else:
        cv2.circle(page, at, 7, colour, weight, cv2.LINE_AA)


def _write(page: np.ndarray, words: str, at: tuple[int, int], size: float = 0.55) -> None:
    cv2.putText(page, words, at, cv2.FONT_HERSHEY_SIMPLEX, size, INK, 1, cv2.LINE_AA)
