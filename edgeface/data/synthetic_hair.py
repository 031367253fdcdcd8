"""Hair, beards, and the bare head with its ears and neck."""

from __future__ import annotations

import numpy as np

from edgeface.data.synthetic_head import Canvas, Head, ellipse, shade
from edgeface.data.synthetic_person import Colour, Person, mix

# style: (volume at the sides, extra height at the crown, how far down the sides it reaches)
_CAPS = {
    "buzz": (0.02, 0.0, 0.0),
    "short": (0.05, 0.04, 0.1),
    "part": (0.06, 0.08, 0.1),
    "fringe": (0.07, 0.06, 0.2),
    "quiff": (0.04, 0.24, 0.0),
    "curly": (0.09, 0.08, 0.2),
    "afro": (0.30, 0.20, 0.2),
    "bob": (0.11, 0.05, 0.7),
    "long": (0.09, 0.04, 1.0),
    "bun": (0.03, 0.02, 0.0),
    "receding": (0.04, 0.0, 0.2),
}
_LONG = ("bob", "long")


def paint_back_hair(canvas: Canvas, person: Person, colour: Colour) -> None:
    """Hair that hangs behind the neck, and a bun."""
    if person.style in _LONG:
        bottom = 1.05 if person.style == "bob" else 1.9
        wide = person.skull_width + 0.14 * person.hair_volume
        curtain = np.array([
            [-wide, -0.4, -0.3], [-wide * 1.08, 0.4, -0.3], [-wide * 1.02, bottom, -0.3],
            [wide * 1.02, bottom, -0.3], [wide * 1.08, 0.4, -0.3], [wide, -0.4, -0.3],
        ])  # fmt: skip
        canvas.fill(curtain, shade(colour, 0.7))
    elif person.style == "bun":
        canvas.dot(np.array([[0.1, -1.28, -0.35]]), 0.24 + 0.1 * person.hair_volume, shade(colour, 0.85))


def paint_neck(canvas: Canvas, person: Person, skin: Colour) -> None:
    """Neck and shoulders."""
    neck = person.jaw_width * 0.78
    column = np.array([[-neck, 0.5, -0.2], [neck, 0.5, -0.2], [neck * 1.1, 1.6, -0.35], [-neck * 1.1, 1.6, -0.35]])
    canvas.fill(column, shade(skin, 0.72))
    body = np.array([
        [-2.4, 2.6, -0.3], [-2.1, 1.62, -0.35], [-neck * 1.3, 1.30, -0.35], [-neck * 0.6, 1.52, -0.1],
        [neck * 0.6, 1.52, -0.1], [neck * 1.3, 1.30, -0.35], [2.1, 1.62, -0.35], [2.4, 2.6, -0.3],
    ])  # fmt: skip
    canvas.fill(body, canvas.shot.clothes)


def paint_ear(canvas: Canvas, head: Head, person: Person, side: int, skin: Colour) -> None:
    """The ear on the side -1 (left in the image) or 1."""
    out = head.width_at(0.0)
    oval = ellipse(0.0, 0.03, person.ear_out, person.ear_size)
    outer = np.column_stack([side * (out - 0.02 + oval[:, 0] + 0.03), oval[:, 1], -0.18 - oval[:, 0] * 0.8])
    canvas.fill(outer, shade(skin, 0.93))
    inner = (outer - outer.mean(axis=0)) * 0.55 + outer.mean(axis=0)
    canvas.fill(inner, shade(skin, 0.74))


def paint_hair_cap(canvas: Canvas, head: Head, person: Person, colour: Colour, skin: Colour) -> None:
    """Hair over the skull, then the face's opening in it painted back in skin colour."""
    if person.style == "bald":
        return
    grow, lift, low = _CAPS[person.style]
    grow *= person.hair_volume
    if person.style == "buzz":
        colour = mix(colour, skin, 0.45)
    outline = canvas.fill_hull(head.points(high=low, grow=grow, lift=lift * person.hair_volume), colour)
    if person.style in ("curly", "afro"):
        _paint_curls(canvas, outline, person, colour)
    opening = face_opening(head, person)
    canvas.fill(head.front(opening), skin)


def _paint_curls(canvas: Canvas, outline: np.ndarray, person: Person, colour: Colour) -> None:
    rng = np.random.default_rng(person.mark_seed)
    radius = (0.10 if person.style == "curly" else 0.07) * canvas.unit
    count = 26
    places = outline[np.linspace(0, len(outline) - 1, count).astype(int)]
    sizes = radius * rng.uniform(0.7, 1.3, count)
    for (x, y), size, tone in zip(places, sizes, rng.uniform(0.85, 1.15, count), strict=True):
        canvas.disc(float(x), float(y), float(size), shade(colour, tone))


def face_opening(head: Head, person: Person) -> np.ndarray:
    """The part of the face that hair leaves free, a frontal polygon (N, 2)."""
    top = person.hairline - (0.22 if person.style == "receding" else 0.0)
    across = np.linspace(-1, 1, 13)
    temple = 0.90 * head.width_at(-0.4)
    rise = top + 0.20 * across**4 + person.widow_peak * np.exp(-((across / 0.25) ** 2))
    if person.style == "receding":
        rise -= 0.18 * np.exp(-(((np.abs(across) - 0.6) / 0.25) ** 2))
    if person.style in ("part", "long", "bob"):
        rise += 0.22 * np.abs(across - person.part_side) - 0.10
    hairline = np.column_stack([across * temple, rise])
    side = [(0.93, -0.1), (0.95, 0.15), (0.97, 0.4), (0.97, 0.7)]
    right = np.array([[share * head.width_at(y), y] for share, y in side])
    left = right[::-1] * np.array([-1, 1])
    chin = np.array([[0.4 * person.jaw_width, 0.96], [-0.4 * person.jaw_width, 0.96]])
    return np.concatenate([hairline, right, chin, left])


def paint_front_hair(canvas: Canvas, head: Head, person: Person, colour: Colour) -> None:
    """Fringe, side locks and strands, over the finished face."""
    if person.style == "fringe":
        across = np.linspace(-1, 1, 11)
        wide = 0.97 * head.width_at(-0.45)
        ragged = -0.34 + 0.05 * np.cos(across * 23 + person.part_side * 9) - 0.08 * (1 - across**2) * person.widow_peak
        lower = np.column_stack([across * wide, ragged + 0.12 * np.abs(across)])
        upper = np.column_stack([across[::-1] * wide * 0.85, np.full(11, -0.95)])
        canvas.fill(head.front(np.concatenate([lower, upper]), 0.05), colour)
    if person.style in _LONG:
        bottom = 0.75 if person.style == "bob" else 1.5
        for side in (-1, 1):
            wide = head.width_at(-0.2)
            lock = np.array([[0.80, -0.75], [0.93, -0.2], [0.98, 0.3], [0.9, bottom], [1.3, bottom], [1.22, 0.0]])
            depth = np.array([0.35, 0.30, 0.25, 0.2, -0.2, -0.2])
            canvas.fill(np.column_stack([side * lock[:, 0] * wide, lock[:, 1], depth]), colour)
    if person.style not in ("bald", "buzz", "afro"):
        _paint_strands(canvas, head, person, colour)


def _paint_strands(canvas: Canvas, head: Head, person: Person, colour: Colour) -> None:
    rng = np.random.default_rng(person.mark_seed)
    starts = rng.uniform(-0.9, 0.9, 14)
    grow = _CAPS[person.style][0] * person.hair_volume
    steps = np.linspace(0, 1, 4)[None, :, None]
    root = np.array([person.part_side * 0.5, -1.05])
    ends = np.column_stack([starts * head.width_at(-0.7), np.full(14, person.hairline - 0.10)])[:, None]
    bends = np.column_stack([starts * 0.25, np.full(14, -0.12)])[:, None]
    paths = root + (ends - root) * steps + bends * np.sin(steps * np.pi)
    strands = head.front(paths.reshape(-1, 2), grow + 0.05).reshape(14, 4, 3)
    dark, light = list(strands[1::2]), list(strands[::2])
    canvas.lines(dark, shade(colour, 0.72), 0.012)
    canvas.lines(light, mix(shade(colour, 1.25), (200, 190, 180), 0.12), 0.012)


def paint_beard(canvas: Canvas, head: Head, person: Person, colour: Colour, skin: Colour) -> None:
    """Stubble, moustache, goatee or full beard, under the mouth that is painted later."""
    if person.beard == "none":
        return
    tone = mix(skin, colour, {"stubble": 0.35, "full": 0.85}.get(person.beard, 0.8))
    mouth = person.mouth_y
    if person.beard in ("stubble", "full"):
        side = [(0.99, 0.15), (0.88, 0.40), (0.60, mouth - 0.12), (0.35, mouth - 0.15), (0.0, mouth - 0.13)]
        right = np.array([[share * head.width_at(y), y] for share, y in side])
        lower = np.array([[head.width_at(y) * 0.99, y] for y in (0.99, 0.94, 0.85, 0.7, 0.5, 0.3)])
        ring = np.concatenate([lower, right])
        canvas.fill(head.front(np.concatenate([ring, ring[::-1] * np.array([-1, 1])])), tone)
    elif person.beard == "goatee":
        canvas.fill(head.front(ellipse(0, mouth + 0.13, person.mouth_width * 0.8, 0.27), 0.02), tone)
    if person.beard in ("moustache", "goatee", "full"):
        wide = person.mouth_width * 1.05
        x = np.array([0, 0.5, 1.0, 0.5, 0, -0.5, -1.0, -0.5]) * wide
        y = mouth + np.array([-0.13, -0.14, 0.0, -0.03, -0.05, -0.03, 0.0, -0.14])
        canvas.fill(head.front(np.column_stack([x, y]), 0.03), shade(tone, 0.92))
