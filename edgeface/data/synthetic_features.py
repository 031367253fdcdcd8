"""Eyes, brows, nose, mouth, marks and glasses of a synthetic face."""

from __future__ import annotations

import numpy as np

from edgeface.data.synthetic_head import Canvas, Head, ellipse, shade
from edgeface.data.synthetic_person import Colour, Person, mix

_ACROSS = np.linspace(-1, 1, 9)
_ARCH = 1 - _ACROSS**2


def paint_relief(canvas: Canvas, head: Head, person: Person, skin: Colour) -> None:
    """Soft light and dark of the face: eye sockets, nose, cheeks, folds. Blurred by the caller."""
    dark, light = shade(skin, 0.80), shade(skin, 1.08)
    for side in (-1, 1):
        socket = ellipse(side * person.eye_x, person.eye_y - 0.05, person.eye_width * 1.35, 0.15)
        canvas.fill(head.front(socket), shade(skin, 0.87))
        cheek = ellipse(side * 0.42 * person.cheek_width / 0.76, 0.32, 0.17, 0.11)
        canvas.fill(head.front(cheek), mix(skin, (225, 120, 110), 0.18))
        if person.bags > 0.1:
            bag = ellipse(side * person.eye_x, person.eye_y + 0.14, person.eye_width * 0.95, 0.045)
            canvas.fill(head.front(bag), shade(skin, 1 - 0.24 * person.bags))
        if person.folds > 0.1:
            fold = np.array(
                [[0.16, person.mouth_y - 0.20], [0.28, person.mouth_y - 0.08], [0.33, person.mouth_y + 0.06]]
            )
            canvas.lines([head.front(fold * np.array([side, 1]))], shade(skin, 1 - 0.42 * person.folds), 0.035)
    bottom = person.eye_y + person.nose_length
    ridge = np.array([[-0.05, person.eye_y - 0.1], [0.05, person.eye_y - 0.1], [0.06, bottom], [-0.06, bottom]])
    canvas.fill(head.front(ridge, np.array([0.03, 0.03, person.nose_out, person.nose_out])), light)
    canvas.fill(head.front(ellipse(0, bottom + 0.05, person.nose_width * 1.05, 0.05)), dark)
    canvas.fill(head.front(ellipse(0, person.mouth_y + 0.17, person.mouth_width * 0.5, 0.035)), dark)
    if person.folds > 0.5:
        lines = [np.column_stack([_ACROSS * 0.38, np.full(9, y)]) for y in (-0.42, -0.52)]
        canvas.lines([head.front(line) for line in lines], shade(skin, 0.86), 0.02)


def paint_marks(canvas: Canvas, head: Head, person: Person, skin: Colour) -> None:
    """Moles, freckles and a cleft chin."""
    if person.freckles:
        rng = np.random.default_rng(person.mark_seed)
        places = np.column_stack([rng.normal(0, 0.26, person.freckles), rng.normal(0.22, 0.10, person.freckles)])
        for place in head.front(places):
            canvas.dot(place[None], 0.014, shade(skin, 0.74))
    for x, y, radius in person.moles:
        canvas.dot(head.front(np.array([[x, y]]), 0.01), radius, shade(skin, 0.38))
    if person.cleft:
        canvas.lines([head.front(np.array([[0, 0.86], [0.0, 0.95]]), 0.01)], shade(skin, 0.68), 0.03)


def paint_eye(canvas: Canvas, head: Head, person: Person, side: int, skin: Colour) -> None:
    """One eye: white, iris and pupil, then the lids over them."""
    shot = canvas.shot
    centre = np.array([side * person.eye_x, person.eye_y])
    width, height = person.eye_width, person.eye_height
    tilt = -person.eye_tilt * 0.3 * side * _ACROSS * width
    squeeze = shot.eye_open * (1 - 0.25 * max(0.0, shot.smile) - 0.15 * shot.frown)
    upper = centre + np.column_stack([_ACROSS * width, tilt - height * _ARCH * squeeze])
    lower = centre + np.column_stack([_ACROSS * width, tilt + 0.72 * height * _ARCH * min(1.0, squeeze + 0.1)])
    canvas.fill(head.front(np.concatenate([upper, lower[::-1]]), 0.01), (236, 232, 228))
    look = centre + np.array([shot.gaze[0] * width * 0.45, shot.gaze[1] * height * 0.3])
    x, y = float(look[0]), float(look[1])
    canvas.fill(head.front(ellipse(x, y, person.iris_size, person.iris_size), 0.02), person.iris)
    canvas.fill(head.front(ellipse(x, y, person.iris_size * 0.5, person.iris_size * 0.5, 10), 0.02), (14, 12, 12))
    canvas.dot(head.front(look[None] + np.array([[0.02, -0.025]]), 0.03), 0.016, (250, 250, 250))
    reach = np.column_stack([_ACROSS * width * 1.25, tilt])
    above = centre + reach + np.column_stack([np.zeros(9), -0.05 - (person.iris_size * 1.6) * _ARCH])
    below = centre + reach + np.column_stack([np.zeros(9), 0.04 + (person.iris_size * 1.4) * _ARCH])
    canvas.fill(head.front(np.concatenate([upper, above[::-1]]), 0.02), shade(skin, 0.80 + 0.10 * person.lid))
    canvas.fill(head.front(np.concatenate([lower, below[::-1]]), 0.02), shade(skin, 0.93))
    canvas.lines([head.front(upper, 0.03)], shade(skin, 0.22), 0.018 + 0.012 * person.lid)
    crease = upper + np.column_stack([np.zeros(9), -0.02 - 0.035 * person.lid * _ARCH])
    canvas.lines([head.front(crease, 0.03), head.front(lower, 0.03)], shade(skin, 0.62), 0.008)


def paint_brow(canvas: Canvas, head: Head, person: Person, side: int, colour: Colour) -> None:
    """One eyebrow, raised or drawn together by the expression."""
    shot = canvas.shot
    y = person.eye_y - person.brow_y - 0.06 * shot.brow_raise + 0.04 * shot.frown
    along = (_ACROSS + 1) / 2  # from the inner end outwards
    inner = person.eye_x - person.brow_length * 0.95 - 0.03 * shot.frown
    x = inner + along * 2 * person.brow_length
    middle = y - person.brow_arch * _ARCH - person.brow_tilt * 0.25 * (along - 0.5) + 0.09 * shot.frown * (0.5 - along)
    thick = person.brow_thickness * (1 - 0.65 * along**2)
    upper, lower = np.column_stack([side * x, middle - thick]), np.column_stack([side * x, middle + thick])
    canvas.fill(head.front(np.concatenate([upper, lower[::-1]]), 0.03), colour)


def paint_nose(canvas: Canvas, head: Head, person: Person, skin: Colour) -> None:
    """Nose tip, wings and nostrils; the side away from the camera is darker."""
    bottom = person.eye_y + person.nose_length
    out, wide = person.nose_out, person.nose_width
    away = -1 if canvas.shot.yaw > 0 else 1
    flank = np.array([
        [away * 0.045, person.eye_y - 0.06], [away * 0.05, bottom - 0.05], [away * wide, bottom + 0.02],
        [away * wide * 0.9, bottom - 0.10],
    ])  # fmt: skip
    canvas.fill(head.front(flank, np.array([0.03, out, out * 0.2, out * 0.2])), shade(skin, 0.82))
    for side in (-1, 1):
        wing = ellipse(side * wide * 0.72, bottom - 0.02, wide * 0.38, 0.065, 12)
        canvas.fill(head.front(wing, out * 0.5), shade(skin, 0.90 if side != away else 0.80))
    canvas.fill(head.front(ellipse(0, bottom - 0.02, person.nose_tip * 1.15, person.nose_tip), out), shade(skin, 1.03))
    for side in (-1, 1):
        nostril = ellipse(side * wide * 0.45, bottom + 0.035, wide * 0.20, 0.022, 10)
        canvas.fill(head.front(nostril, out * 0.6), shade(skin, 0.32))


def paint_mouth(canvas: Canvas, head: Head, person: Person) -> None:
    """Lips; an open mouth shows teeth."""
    shot = canvas.shot
    y, wide = person.mouth_y, person.mouth_width * (1 + 0.18 * max(0.0, shot.smile) - 0.12 * shot.mouth_open)
    gap = 0.13 * shot.mouth_open
    corners = -0.09 * shot.smile * _ACROSS**2
    x = _ACROSS * wide
    bow = person.cupid * 0.02 * np.exp(-((_ACROSS / 0.18) ** 2))
    inner_up = y + corners - gap * 0.35 * _ARCH
    inner_low = y + corners + gap * _ARCH
    top = inner_up - person.upper_lip * _ARCH**0.7 + bow
    base = inner_low + person.lower_lip * _ARCH
    lift = 0.05

    def shape(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return head.front(np.concatenate([np.column_stack([x, a]), np.column_stack([x, b])[::-1]]), lift)

    lips = person.lip_colour
    canvas.fill(shape(top, base), shade(lips, 0.88))
    canvas.fill(shape(inner_low, base), lips)
    if gap > 0.01:
        canvas.fill(shape(inner_up, inner_low), (52, 20, 22))
        if gap > 0.03:
            canvas.fill(shape(inner_up, np.minimum(inner_up + 0.05 * _ARCH, inner_low)), (232, 228, 218))
    canvas.lines([head.front(np.column_stack([x, inner_up]), lift)], shade(lips, 0.45), 0.016)


def paint_glasses(canvas: Canvas, head: Head, person: Person, kind: str, colour: Colour, dark: bool = False) -> None:
    """Rims, bridge and arms; `dark` fills the lenses."""
    rx, ry, power = {"round": (0.21, 0.20, 2.0), "square": (0.22, 0.17, 5.0), "wide": (0.27, 0.15, 3.0)}[kind]
    angles = np.linspace(0, 2 * np.pi, 24, endpoint=False)
    cos, sin = np.cos(angles), np.sin(angles)
    plane = float(head.front(np.array([[person.eye_x * 0.6, person.eye_y]]))[0, 2]) + 0.10
    rims, ends = [], []
    for side in (-1, 1):
        x = side * person.eye_x + rx * np.sign(cos) * np.abs(cos) ** (2 / power)
        y = person.eye_y + 0.02 + ry * np.sign(sin) * np.abs(sin) ** (2 / power)
        rims.append(np.column_stack([x, y, np.full(24, plane) - 0.25 * np.abs(x) ** 2]))
        hinge = np.array([side * (person.eye_x + rx), person.eye_y - 0.04, plane - 0.25 * (person.eye_x + rx) ** 2])
        if canvas.faces_camera((side, 0, 0.45)) > 0:
            ends.append(np.stack([hinge, [side * head.width_at(0.0) * 1.02, person.eye_y - 0.05, -0.1]]))
    if dark:
        for rim in rims:
            canvas.fill(rim, (20, 20, 24))
    width = 0.045 if kind == "square" else 0.03
    canvas.lines(rims, colour, width, closed=True)
    bridge = np.array(
        [[-person.eye_x + rx, person.eye_y - 0.03, plane], [person.eye_x - rx, person.eye_y - 0.03, plane]]
    )
    canvas.lines([bridge, *ends], colour, width)
