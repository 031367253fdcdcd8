"""The default face detector: the cascades that come with OpenCV (Viola and Jones 2001; Lienhart and Maydt 2002).

No extra file and no network, a few milliseconds on a small board. Made for faces that look at the camera; turned ones
are tried last, with the profile cascade. Sizes and steps were chosen on the LFW development photos.
"""

from __future__ import annotations

import math
from pathlib import Path

import cv2
import numpy as np

from edgeface.errors import MissingDependencyError

WORK_SIDE = 640
"""Longest side in pixels that is searched; larger photos are shrunk for the search, not for the face."""
SMALLEST_SHARE = 0.06
"""Smallest face searched for, as a share of the shorter side."""
SMALLEST_SIDE = 24
"""Smallest face searched for, in pixels of the searched picture."""
_EYE_SIDE = 160
_WORST_PAIR = 1.0
"""Of 185 pairs found in faces of people51 7 cost more than 0.5, none more than 0.7 (see `best_pair`)."""
_STEPS = (
    ("haarcascade_frontalface_alt2.xml", 3, False, "frontal"),
    ("haarcascade_frontalface_alt2.xml", 1, True, "frontal"),
    ("haarcascade_frontalface_default.xml", 3, True, "frontal"),
    ("haarcascade_profileface.xml", 2, True, "profile"),
)
"""Tried in turn until one finds a face: cascade, neighbours needed, histogram equalised, what it finds."""

Found = tuple[tuple[float, float, float, float], float, "np.ndarray | None"]
"""Box (left, top, width, height) in pixels, score, and two eyes float32 (2, 2) as x, y, left in the picture first."""


class CascadeDetector:
    """Faces by OpenCV's cascades, eyes by its eye cascade. Not for use in two threads at once."""

    name = "cascade"

    def __init__(self) -> None:
        self._cascades: dict[str, cv2.CascadeClassifier] = {}

    def detect(self, image: np.ndarray) -> list[Found]:
        """Faces of an RGB uint8 image (height, width, 3), in no order. The score grows with certainty (no unit)."""
        gray = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
        scale = min(1.0, WORK_SIDE / max(gray.shape))
        if scale * min(gray.shape) < SMALLEST_SIDE:
            return []
        small = cv2.resize(gray, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA) if scale < 1 else gray
        for file, neighbours, equalise, kind in _STEPS:
            searched = cv2.equalizeHist(small) if equalise else small
            boxes = self._search(searched, file, neighbours, kind)
            if boxes:
                whole = [(tuple(value / scale for value in box), score) for box, score in boxes]
                return [(box, score, self._eyes(gray, box)) for box, score in whole]  # type: ignore[misc, arg-type]
        return []

    def _search(self, gray: np.ndarray, file: str, neighbours: int, kind: str) -> list[tuple[tuple[int, ...], float]]:
        smallest = max(SMALLEST_SIDE, round(SMALLEST_SHARE * min(gray.shape)))
        found = self._run(gray, file, neighbours, smallest)
        if kind == "profile":  # the cascade knows one side only
            width = gray.shape[1]
            mirrored = self._run(np.ascontiguousarray(gray[:, ::-1]), file, neighbours, smallest)
            found += [((width - left - w, top, w, h), score) for (left, top, w, h), score in mirrored]
        return _without_overlaps(found)

    def _run(self, gray: np.ndarray, file: str, neighbours: int, smallest: int) -> list[tuple[tuple[int, ...], float]]:
        boxes, _, weights = self._cascade(file).detectMultiScale3(
            gray, 1.1, neighbours, minSize=(smallest, smallest), outputRejectLevels=True
        )
        return [
            (tuple(int(v) for v in box), float(weight)) for box, weight in zip(boxes, np.ravel(weights), strict=True)
        ]

    def _eyes(self, gray: np.ndarray, box: tuple[float, float, float, float]) -> np.ndarray | None:
        """Both eyes, or None. Searched in the upper part of the face, at a fixed size."""
        left, top, width, height = box
        x0, y0 = max(0, int(left)), max(0, int(top + 0.12 * height))
        region = gray[y0 : int(top + 0.62 * height), x0 : int(left + width)]
        if min(region.shape) < 8 or region.shape[1] > 8 * region.shape[0]:
            return None
        scale = _EYE_SIDE / region.shape[1]
        region = cv2.resize(
            region, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
        )
        smallest, largest = round(0.14 * _EYE_SIDE), round(0.45 * _EYE_SIDE)
        eyes = self._cascade("haarcascade_eye_tree_eyeglasses.xml").detectMultiScale(
            region, 1.05, 2, minSize=(smallest, smallest), maxSize=(largest, largest)
        )
        centres = [np.array([x + w / 2, y + h / 2], np.float32) for x, y, w, h in eyes]
        pair = best_pair(centres, _EYE_SIDE)
        return None if pair is None else pair / np.float32(scale) + np.array([x0, y0], np.float32)

    def _cascade(self, file: str) -> cv2.CascadeClassifier:
        if file not in self._cascades:
            path = Path(cv2.__file__).with_name("data") / file
            cascade = cv2.CascadeClassifier(str(path))
            if cascade.empty():
                raise MissingDependencyError(
                    f"{path}: OpenCV's cascade is missing; reinstall opencv-python, or use --detector yunet"
                )
            self._cascades[file] = cascade
        return self._cascades[file]


def best_pair(centres: list[np.ndarray], width: float) -> np.ndarray | None:
    """The two points that lie most like eyes in a face `width` wide: float32 (2, 2), left first, or None.

    Eyes are about 0.4 widths apart, on either side of the middle, tilted by under 25 degrees.
    """
    best, best_cost = None, _WORST_PAIR
    for a in centres:
        for b in centres:
            across, down = float(b[0] - a[0]) / width, float(b[1] - a[1]) / width
            if across <= 0.2 or abs(math.degrees(math.atan2(down, across))) > 25:
                continue
            middle = float(a[0] + b[0]) / 2 / width
            cost = abs(math.hypot(across, down) - 0.4) / 0.2 + abs(middle - 0.5) / 0.2 + abs(down) / 0.4
            if cost < best_cost:
                best, best_cost = np.stack([a, b]), cost
    return best


def _without_overlaps(found: list[tuple[tuple[int, ...], float]]) -> list[tuple[tuple[int, ...], float]]:
    """Of boxes that share more than a third of their union, the surest."""
    kept: list[tuple[tuple[int, ...], float]] = []
    for box, score in sorted(found, key=lambda item: -item[1]):
        if all(overlap(box, other) < 1 / 3 for other, _ in kept):
            kept.append((box, score))
    return kept


def overlap(a: tuple[float, ...], b: tuple[float, ...]) -> float:
    """Intersection over union of two boxes (left, top, width, height), 0..1."""
    width = min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0])
    height = min(a[1] + a[3], b[1] + b[3]) - max(a[1], b[1])
    shared = max(0.0, width) * max(0.0, height)
    return shared / (a[2] * a[3] + b[2] * b[3] - shared)
