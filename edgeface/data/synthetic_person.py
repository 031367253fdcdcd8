"""What a synthetic person is (geometry, colours, hair, glasses...) and what one photo of them is (pose, light...).

Lengths are in half face heights: eyes near y = 0, chin at y = 1, crown at y = -1.15; x to the right, z to the camera.
Skin and hair come from short shared palettes, and light changes colours more than people do, so that colour
statistics do not tell people apart.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

Colour = tuple[float, float, float]

SKINS: tuple[Colour, ...] = ((241, 205, 180), (228, 184, 150), (205, 156, 120), (172, 120, 86), (128, 84, 60))
HAIRS: tuple[Colour, ...] = (
    (28, 24, 24),
    (62, 42, 32),
    (104, 70, 44),
    (150, 110, 66),
    (200, 168, 110),
    (150, 148, 148),
)
IRISES: tuple[Colour, ...] = ((70, 44, 26), (104, 74, 40), (92, 110, 70), (88, 124, 160))
STYLES = ("bald", "buzz", "short", "part", "fringe", "quiff", "curly", "afro", "bob", "long", "bun", "receding")
BEARDS = ("none", "none", "none", "none", "stubble", "moustache", "goatee", "full")
GLASSES = ("none", "none", "none", "none", "round", "square", "wide")


@dataclass(frozen=True)
class Person:
    """One synthetic identity. All of it is constant over the person's photos."""

    skin: Colour
    hair_colour: Colour
    iris: Colour
    lip_colour: Colour
    style: str
    beard: str
    glasses: str
    glasses_colour: Colour
    skull_width: float
    cheek_width: float
    jaw_width: float
    chin_width: float
    depth: float
    hairline: float
    widow_peak: float
    part_side: float
    hair_volume: float
    eye_x: float
    eye_y: float
    eye_width: float
    eye_height: float
    eye_tilt: float
    iris_size: float
    lid: float
    brow_y: float
    brow_length: float
    brow_thickness: float
    brow_arch: float
    brow_tilt: float
    nose_length: float
    nose_width: float
    nose_tip: float
    nose_out: float
    mouth_y: float
    mouth_width: float
    upper_lip: float
    lower_lip: float
    cupid: float
    ear_size: float
    ear_out: float
    folds: float
    bags: float
    cleft: bool
    freckles: int
    moles: tuple[tuple[float, float, float], ...]
    mark_seed: int


@dataclass(frozen=True)
class Shot:
    """What changes from photo to photo: head pose in radians, expression 0..1, gaze and framing."""

    yaw: float
    pitch: float
    roll: float
    scale: float
    shift: tuple[float, float]
    mouth_open: float
    smile: float
    brow_raise: float
    frown: float
    eye_open: float
    gaze: tuple[float, float]
    wears_glasses: bool
    skin: Colour
    hair: Colour
    clothes: Colour


def draw_person(rng: np.random.Generator) -> Person:
    """A random person."""

    def u(low: float, high: float) -> float:
        return float(rng.uniform(low, high))

    skin = mix(SKINS[rng.integers(len(SKINS))], SKINS[rng.integers(len(SKINS))], 0.15)
    jaw = u(0.50, 0.78)
    return Person(
        skin=skin,
        hair_colour=HAIRS[rng.integers(len(HAIRS))],
        iris=IRISES[rng.integers(len(IRISES))],
        lip_colour=mix(skin, (170, 60, 70), u(0.25, 0.6)),
        style=STYLES[rng.integers(len(STYLES))],
        beard=BEARDS[rng.integers(len(BEARDS))],
        glasses=GLASSES[rng.integers(len(GLASSES))],
        glasses_colour=((25, 22, 22), (110, 60, 35), (150, 150, 155))[rng.integers(3)],
        skull_width=u(0.72, 0.88),
        cheek_width=u(0.68, 0.84),
        jaw_width=jaw,
        chin_width=jaw * u(0.38, 0.68),
        depth=u(0.85, 1.0),
        hairline=u(-0.82, -0.55),
        widow_peak=u(-0.10, 0.16),
        part_side=u(-0.5, 0.5),
        hair_volume=u(0.5, 1.4),
        eye_x=u(0.27, 0.39),
        eye_y=u(-0.10, 0.04),
        eye_width=u(0.12, 0.185),
        eye_height=u(0.050, 0.095),
        eye_tilt=u(-0.25, 0.30),
        iris_size=u(0.062, 0.085),
        lid=u(0.0, 1.0),
        brow_y=u(0.15, 0.27),
        brow_length=u(0.17, 0.27),
        brow_thickness=u(0.018, 0.062),
        brow_arch=u(-0.02, 0.10),
        brow_tilt=u(-0.25, 0.30),
        nose_length=u(0.32, 0.52),
        nose_width=u(0.11, 0.22),
        nose_tip=u(0.05, 0.11),
        nose_out=u(0.10, 0.30),
        mouth_y=u(0.58, 0.72),
        mouth_width=u(0.20, 0.36),
        upper_lip=u(0.025, 0.075),
        lower_lip=u(0.040, 0.100),
        cupid=u(0.0, 0.6),
        ear_size=u(0.14, 0.25),
        ear_out=u(0.04, 0.16),
        folds=max(0.0, u(-0.6, 1.0)),
        bags=max(0.0, u(-0.6, 1.0)),
        cleft=bool(rng.random() < 0.2),
        freckles=int(rng.integers(25, 50)) if rng.random() < 0.15 else 0,
        moles=tuple((u(-0.5, 0.5), u(-0.35, 0.85), u(0.018, 0.034)) for _ in range(max(0, rng.integers(-2, 4)))),
        mark_seed=int(rng.integers(1 << 31)),
    )


def draw_shot(person: Person, rng: np.random.Generator) -> Shot:
    """A random photo of `person`."""

    def n(spread: float, limit: float) -> float:
        return float(np.clip(rng.normal(0, spread), -limit, limit))

    jitter = rng.uniform(0.88, 1.10, 2)
    tint = rng.uniform(0.96, 1.04, 3)
    return Shot(
        yaw=n(0.26, 0.65),
        pitch=n(0.12, 0.30),
        roll=n(0.10, 0.30),
        scale=float(rng.uniform(0.88, 1.12)),
        shift=(n(0.04, 0.09), n(0.04, 0.09)),
        mouth_open=max(0.0, float(rng.uniform(-1.0, 1.0))),
        smile=float(rng.uniform(-0.4, 1.0)),
        brow_raise=float(rng.uniform(-0.3, 1.0)),
        frown=max(0.0, float(rng.uniform(-1.0, 1.0))),
        eye_open=0.08 if rng.random() < 0.04 else float(rng.uniform(0.65, 1.1)),
        gaze=(n(0.35, 0.8), n(0.25, 0.6)),
        wears_glasses=person.glasses != "none" and bool(rng.random() < 0.85),
        skin=_scaled(person.skin, jitter[0] * tint),
        hair=_scaled(person.hair_colour, jitter[1] * tint),
        clothes=tuple(float(v) for v in rng.integers(15, 245, 3)),  # type: ignore[arg-type]
    )


def mix(a: Colour, b: Colour, share: float) -> Colour:
    """`a` with `share` of `b` mixed in."""
    return (
        a[0] + (b[0] - a[0]) * share,
        a[1] + (b[1] - a[1]) * share,
        a[2] + (b[2] - a[2]) * share,
    )


def _scaled(colour: Colour, factors: np.ndarray) -> Colour:
    r, g, b = np.clip(np.asarray(colour) * factors, 0, 255)
    return float(r), float(g), float(b)
