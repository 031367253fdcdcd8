"""Synthetic faces: enough like the real task that a network must learn, and nobody's photo.

A person is geometry, colours, hair, glasses and marks; a photo is pose, light, expression, background and the
faults of a cheap camera. The same seed draws the same faces, person by person and photo by photo.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np

from edgeface.data.images import encode_image
from edgeface.data.synthetic_camera import light, occlude, paint_background, photograph
from edgeface.data.synthetic_features import (
    paint_brow,
    paint_eye,
    paint_glasses,
    paint_marks,
    paint_mouth,
    paint_nose,
    paint_relief,
)
from edgeface.data.synthetic_hair import (
    paint_back_hair,
    paint_beard,
    paint_ear,
    paint_front_hair,
    paint_hair_cap,
    paint_neck,
)
from edgeface.data.synthetic_head import Canvas, Head, shade
from edgeface.data.synthetic_person import Person, draw_person, draw_shot, mix
from edgeface.errors import UsageError
from edgeface.files import atomic_folder


def draw_faces(
    folder: Path,
    identities: int,
    images: int,
    seed: int = 0,
    size: int = 112,
    val: float = 0.2,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Write `folder/train/person_00/0000.jpg ...` and `folder/val/...`, `images` photos of `size` pixels each person.

    `val` is the share of each person's photos put into val (at least one stays in train). The folder must not
    hold anything yet. `progress(done, total)` is called per photo. Raises UsageError for senseless numbers.
    """
    if identities < 1 or images < 1 or not 32 <= size <= 1024 or not 0 <= val < 1 or seed < 0:
        raise UsageError(
            "synthetic faces need 1 or more identities and images, size 32-1024, val 0-1 and seed 0 or more"
        )
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(f"{folder}: exists already; choose a new folder or remove it")
    held_back = min(images - 1, max(1, round(images * val)) if val > 0 else 0)
    digits = max(2, len(str(identities - 1)))
    with atomic_folder(folder) as temporary:
        for identity in range(identities):
            person = synthetic_person(seed, identity)
            for number in range(images):
                split = "val" if number >= images - held_back else "train"
                target = temporary / split / f"person_{identity:0{digits}d}"
                if number in (0, images - held_back):
                    target.mkdir(parents=True)
                rng = np.random.default_rng((seed, 1, identity, number))
                photo = draw_face(person, rng, size)
                quality = int(rng.integers(55, 96))
                (target / f"{number:04d}.jpg").write_bytes(encode_image(photo, ".jpg", quality))
                if progress is not None:
                    progress(identity * images + number + 1, identities * images)


def synthetic_person(seed: int, identity: int) -> Person:
    """The person number `identity` of a seed."""
    return draw_person(np.random.default_rng((seed, 0, identity)))


def draw_face(person: Person, rng: np.random.Generator, size: int = 112) -> np.ndarray:
    """One photo of a person, RGB uint8 (size, size, 3), drawn at twice the size and reduced."""
    shot = draw_shot(person, rng)
    canvas = Canvas(paint_background(2 * size, rng), shot)
    head = _head(person)
    _paint_head(canvas, head, person)
    _paint_features(canvas, head, person)
    if rng.random() < 0.04:
        paint_glasses(canvas, head, person, "wide", (20, 20, 24), dark=True)
    elif shot.wears_glasses:
        paint_glasses(canvas, head, person, person.glasses, person.glasses_colour)
    image = light(canvas.image, canvas.centre, canvas.unit, rng)
    if rng.random() < 0.1:
        occlude(image, rng)
    return photograph(image, size, rng)


@lru_cache(maxsize=16)
def _head(person: Person) -> Head:
    return Head(person)


def _paint_head(canvas: Canvas, head: Head, person: Person) -> None:
    """Everything that is soft: back hair, neck, head, hair, ears, beard and relief, blurred together."""
    skin, hair = canvas.shot.skin, canvas.shot.hair
    paint_back_hair(canvas, person, hair)
    paint_neck(canvas, person, skin)
    near = [side for side in (-1, 1) if canvas.faces_camera((side, 0, 0)) > 0]
    for side in {-1, 1} - set(near):
        paint_ear(canvas, head, person, side, skin)
    canvas.fill_hull(head.points(), skin)
    paint_hair_cap(canvas, head, person, hair, skin)
    for side in near:
        paint_ear(canvas, head, person, side, skin)
    paint_beard(canvas, head, person, hair, skin)
    paint_relief(canvas, head, person, skin)
    blur = 2 * round(canvas.unit * 0.05) + 1
    canvas.image = cv2.GaussianBlur(canvas.image, (blur, blur), 0)


def _paint_features(canvas: Canvas, head: Head, person: Person) -> None:
    skin, hair = canvas.shot.skin, canvas.shot.hair
    brow = mix(shade(hair, 0.8), skin, 0.25)
    paint_marks(canvas, head, person, skin)
    for side in (-1, 1):
        paint_eye(canvas, head, person, side, skin)
        paint_brow(canvas, head, person, side, brow)
    paint_mouth(canvas, head, person)
    paint_nose(canvas, head, person, skin)
    paint_front_hair(canvas, head, person, hair)
