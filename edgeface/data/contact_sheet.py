"""Many photos on one page, a row for each person."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edgeface.data.dataset import FaceDataset, Sample
from edgeface.data.images import read_image
from edgeface.errors import DataError, ImageError
from edgeface.face_input import FaceInput

_GAP = 4


def contact_sheet(images: Sequence[np.ndarray] | np.ndarray, columns: int) -> np.ndarray:
    """Lay RGB uint8 images of equal shape (H, W, 3) out in rows of `columns` on white; returns an RGB uint8 page."""
    if not len(images) or columns < 1:
        raise ValueError("a contact sheet needs at least one image and one column")
    height, width = images[0].shape[:2]
    rows = -(-len(images) // columns)
    page = np.full((rows * (height + _GAP) + _GAP, columns * (width + _GAP) + _GAP, 3), 255, np.uint8)
    for index, image in enumerate(images):
        top = _GAP + index // columns * (height + _GAP)
        left = _GAP + index % columns * (width + _GAP)
        page[top : top + height, left : left + width] = image
    return page


def pick_photos(
    dataset: FaceDataset, face_input: FaceInput, people: int, columns: int, seed: int = 0, *, repeat: bool = True
) -> np.ndarray:
    """Random photos as the network gets them, uint8 (people * columns, size, size, 3), a person after the other.

    They come from train where it exists. A person with too few usable photos is shown with repeats, or without `repeat`
    with white pictures at the end of the row; one with none is left out. Raises DataError when nobody has any.
    """
    rng = np.random.default_rng(seed)
    split = dataset.splits[0]
    photos: dict[int | None, list[Sample]] = {}
    for sample in dataset.of(split):
        photos.setdefault(sample.identity, []).append(sample)
    rows: list[np.ndarray] = []
    for identity in rng.permutation(np.array(list(photos), object)):
        if len(rows) == people * columns:
            break
        usable: list[np.ndarray] = []
        for index in rng.permutation(len(photos[identity])):
            if len(usable) == columns:
                break
            sample = photos[identity][index]
            try:
                usable.append(face_input.prepare(read_image(sample.path), sample.path))
            except ImageError:
                continue
        if usable and not repeat:
            usable += [np.full_like(usable[0], 255)] * (columns - len(usable))
        rows += [usable[index % len(usable)] for index in range(columns)] if usable else []
    if not rows:
        raise DataError(f"{dataset.root}: no usable photo in split {split!r}; see: edgeface data check {dataset.root}")
    return np.stack(rows)
