"""Photographs of confusions, for a page that stays on this machine (`edgeface report --with-photos`)."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from edgeface.data.cache import cached_images
from edgeface.data.dataset import default_face_input
from edgeface.data.layouts import load_dataset

SIDE = 96
MOST = 4


@dataclass(frozen=True)
class Photos:
    """The validation images of a dataset, uint8 (N, side, side, 3), and where the runs' answers to them are."""

    out: Path
    images: np.ndarray
    identities: tuple[str, ...]

    def of(self, key: str, actual: str, predicted: str) -> list[str]:
        """Data URLs of up to four photos of `actual` that the run took for `predicted`."""
        with np.load(self.out / "scores" / f"{key}.npz") as answers:
            labels, answered = answers["labels"], answers["predicted"]
        if len(labels) != len(self.images):
            return []
        wrong = (labels == self.identities.index(actual)) & (answered == self.identities.index(predicted))
        return [_data_url(self.images[index]) for index in np.flatnonzero(wrong)[:MOST]]


def open_photos(out: Path, data: Path) -> Photos:
    """The photos of a reproduction's dataset. Raises DataError when it is not there."""
    dataset = load_dataset(data)
    images, _, _ = cached_images(dataset, "val", default_face_input(dataset, SIDE))
    return Photos(out, images, dataset.identities)


def _data_url(image: np.ndarray) -> str:
    encoded = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 80])[1]
    return "data:image/jpeg;base64," + base64.b64encode(encoded.tobytes()).decode()
