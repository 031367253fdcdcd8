"""Photographs of confusions, for a page that stays on this machine (`edgeface report --with-photos`)."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from edgeface.bench.reproduction.plan import read_plans
from edgeface.bench.reproduction.reading import read_answers
from edgeface.data.cache import cached_images
from edgeface.data.dataset import default_face_input
from edgeface.data.layouts import load_dataset
from edgeface.errors import DataError

SIDE = 96
MOST = 4


@dataclass(frozen=True)
class Photos:
    """By a dataset's hash its validation images, uint8 (N, side, side, 3), and identities; where runs' answers are."""

    out: Path
    sets: Mapping[str, tuple[np.ndarray, tuple[str, ...]]]

    def of(self, data_hash: str, key: str, actual: str, predicted: str) -> list[str]:
        """Data URLs of up to four photos of `actual` that the run took for `predicted`."""
        answers = read_answers(self.out / "scores" / f"{key}.npz")
        images, identities = self.sets[data_hash]
        if answers is None or len(answers["labels"]) != len(images) or not {actual, predicted} <= set(identities):
            return []
        wrong = (answers["labels"] == identities.index(actual)) & (answers["predicted"] == identities.index(predicted))
        return [_data_url(images[index]) for index in np.flatnonzero(wrong)[:MOST]]


def open_photos(out: Path, data: Path | None = None) -> Photos:
    """The photos of every dataset that a reproduction's tables are of; `data` is where they are now, if they moved.

    Raises DataError when one is not there or is another than that of the table.
    """
    sets: dict[str, tuple[np.ndarray, tuple[str, ...]]] = {}
    for plan in read_plans(out):
        if plan.data_hash in sets:
            continue
        dataset = load_dataset(data or Path(plan.data))
        if dataset.content_hash() != plan.data_hash:
            raise DataError(f"{dataset.root}: is not the data of table {plan.table}; name its folder with --data")
        images, _, _ = cached_images(dataset, "val", default_face_input(dataset, SIDE))
        sets[plan.data_hash] = (images, dataset.identities)
    return Photos(out, sets)


def _data_url(image: np.ndarray) -> str:
    encoded = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 80])[1]
    return "data:image/jpeg;base64," + base64.b64encode(encoded.tobytes()).decode()
