"""The shape of a synthetic head in space, and the canvas that its parts are painted on."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from edgeface.data.synthetic_person import Colour, Person, Shot

_SHIFT = 4  # OpenCV draws with 1/16 pixel precision
_CAMERA_DISTANCE = 6.0
_ROWS_PER_UNIT = 200
_ANGLES = np.linspace(0, 2 * np.pi, 20, endpoint=False)
_COS, _SIN = np.cos(_ANGLES), np.sin(_ANGLES)


class Head:
    """A head as a stack of elliptic slices: half width, half depth and centre depth at each height y."""

    heights = np.array([-1.15, -1.10, -0.95, -0.70, -0.40, -0.10, 0.20, 0.45, 0.70, 0.88, 0.97, 1.0])

    def __init__(self, person: Person) -> None:
        skull, cheek, jaw, chin = person.skull_width, person.cheek_width, person.jaw_width, person.chin_width
        self.widths = np.array([
            0.0, 0.36 * skull, 0.70 * skull, 0.95 * skull, skull, (skull + cheek) / 2, cheek,
            (cheek + jaw) / 2, jaw, (jaw + chin) / 2, chin, 0.75 * chin,
        ])  # fmt: skip
        depth = person.depth
        self.depths = np.array([0, 0.4, 0.72, 0.92, 1, 1, 0.92, 0.80, 0.66, 0.55, 0.42, 0.34]) * depth
        self.centres = np.array([-0.15, -0.15, -0.15, -0.15, -0.13, -0.10, 0, 0.08, 0.17, 0.26, 0.34, 0.38]) * depth
        y = np.arange(-1.2, 1.2, 1 / _ROWS_PER_UNIT)
        columns = [np.interp(y, self.heights, of) for of in (self.widths + 1e-6, self.centres, self.depths)]
        self._table = np.column_stack(columns)  # (half width, centre, half depth) by height, looked up by `front`

    def points(self, low: float = -1.2, high: float = 1.01, grow: float = 0.0, lift: float = 0.0) -> np.ndarray:
        """Points (N, 3) all over the surface between two heights, grown by `grow` and raised by `lift` at the crown."""
        chosen = (self.heights >= low) & (self.heights <= high)
        y = self.heights[chosen][:, None]
        width, depth = self.widths[chosen][:, None] + grow, self.depths[chosen][:, None] + grow
        x, z = width * _COS, self.centres[chosen][:, None] + depth * _SIN
        raised = y - (grow + lift) * np.clip(-y - 0.3, 0, 1)
        return np.stack([x, np.broadcast_to(raised, x.shape), z], axis=-1).reshape(-1, 3)

    def front(self, xy: np.ndarray, lift: float | np.ndarray = 0.0) -> np.ndarray:
        """Points (N, 2) of the frontal view put onto the surface, (N, 3), raised towards the camera by `lift`."""
        rows = self._table.take(((xy[:, 1] + 1.2) * _ROWS_PER_UNIT).astype(np.intp), axis=0, mode="clip")
        across = xy[:, 0] / rows[:, 0]
        points = np.empty((len(xy), 3))
        points[:, :2] = xy
        points[:, 2] = rows[:, 1] + rows[:, 2] * np.sqrt(np.maximum(0.0, 1 - across * across)) + lift
        return points

    def width_at(self, y: float) -> float:
        """Half width at a height."""
        return float(np.interp(y, self.heights, self.widths))


class Canvas:
    """A square RGB image and the projection of head coordinates onto it."""

    def __init__(self, image: np.ndarray, shot: Shot, scale: float = 0.355) -> None:
        self.image = image
        self.shot = shot
        side = image.shape[0]
        self.unit = side * scale * shot.scale
        self.centre = np.array([side * (0.5 + shot.shift[0]), side * (0.53 + shot.shift[1])])
        cy, sy, cp, sp = np.cos(shot.yaw), np.sin(shot.yaw), np.cos(shot.pitch), np.sin(shot.pitch)
        cr, sr = np.cos(shot.roll), np.sin(shot.roll)
        turn = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
        nod = np.array([[1, 0, 0], [0, cp, sp], [0, -sp, cp]])
        lean = np.array([[cr, -sr, 0], [sr, cr, 0], [0, 0, 1]])
        self.rotation = lean @ nod @ turn
        self._turn = np.ascontiguousarray(self.rotation.T)

    def project(self, points: np.ndarray) -> np.ndarray:
        """Head coordinates (N, 3) to pixels, float (N, 2)."""
        turned = points @ self._turn
        turned[:, :2] *= (_CAMERA_DISTANCE * self.unit) / (_CAMERA_DISTANCE - turned[:, 2:])
        return turned[:, :2] + self.centre

    def fill(self, points: np.ndarray, colour: Colour) -> None:
        """Fill the polygon of head coordinates (N, 3)."""
        cv2.fillPoly(self.image, [self._fixed(self.project(points))], colour, cv2.LINE_AA, _SHIFT)

    def fill_hull(self, points: np.ndarray, colour: Colour) -> np.ndarray:
        """Fill the outline of a body given by points (N, 3) on it; returns the outline in pixels (M, 2)."""
        hull = cv2.convexHull(self.project(points).astype(np.float32))[:, 0]
        cv2.fillPoly(self.image, [self._fixed(hull)], colour, cv2.LINE_AA, _SHIFT)
        return hull

    def lines(self, lines: Sequence[np.ndarray], colour: Colour, width: float, closed: bool = False) -> None:
        """Stroke polylines of head coordinates, each (N, 3); `width` in head units."""
        fixed = [self._fixed(self.project(line)) for line in lines]
        cv2.polylines(self.image, fixed, closed, colour, max(1, round(width * self.unit)), cv2.LINE_AA, _SHIFT)

    def dot(self, point: np.ndarray, radius: float, colour: Colour) -> None:
        """A disc at one point (1, 3); `radius` in head units."""
        x, y = self.project(point)[0]
        self.disc(float(x), float(y), radius * self.unit, colour)

    def disc(self, x: float, y: float, radius: float, colour: Colour) -> None:
        """A disc given in pixels."""
        one = 1 << _SHIFT
        cv2.circle(self.image, (int(x * one), int(y * one)), max(1, int(radius * one)), colour, -1, cv2.LINE_AA, _SHIFT)

    def faces_camera(self, normal: tuple[float, float, float]) -> float:
        """How far a direction of the head points at the camera, -1..1."""
        return float(self.rotation[2] @ np.array(normal))

    @staticmethod
    def _fixed(pixels: np.ndarray) -> np.ndarray:
        return np.rint(pixels * (1 << _SHIFT)).astype(np.int32)


def ellipse(x: float, y: float, rx: float, ry: float, points: int = 20) -> np.ndarray:
    """An ellipse in the frontal plane, (points, 2)."""
    if points == len(_ANGLES):
        return np.column_stack([x + rx * _COS, y + ry * _SIN])
    angles = np.linspace(0, 2 * np.pi, points, endpoint=False)
    return np.column_stack([x + rx * np.cos(angles), y + ry * np.sin(angles)])


def shade(colour: Colour, factor: float) -> Colour:
    """A colour made darker (< 1) or lighter (> 1)."""
    return min(255.0, colour[0] * factor), min(255.0, colour[1] * factor), min(255.0, colour[2] * factor)
