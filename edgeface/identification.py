"""From a photo to names: the faces that a reader finds, searched for in a gallery."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from edgeface.face_reader import FaceReader
from edgeface.gallery import Gallery, Match

if TYPE_CHECKING:
    from edgeface.approximate import ApproximateTemplates


@dataclass(frozen=True)
class Identified:
    """A face and who it is: `name` is None for somebody unknown, or when `refused` says why it was not compared.

    `box` is (left, top, width, height) in pixels; `matches` are the nearest people, also under the threshold.
    """

    box: tuple[float, float, float, float]
    name: str | None
    matches: tuple[Match, ...]
    refused: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """A JSON-serialisable form."""
        nearest = [{"name": match.name, "similarity": round(match.similarity, 6)} for match in self.matches]
        return {"box": [round(v, 1) for v in self.box], "name": self.name, "nearest": nearest, "refused": self.refused}


def identify_faces(
    reader: FaceReader,
    gallery: Gallery,
    photo: str | Path | np.ndarray,
    threshold: float,
    *,
    every: bool = False,
    top: int = 1,
    average: bool = False,
    index: ApproximateTemplates | None = None,
) -> list[Identified]:
    """Who is in a photo: the largest face, or `every` face, largest first; empty when there is none.

    A face gets the nearest person's name when their cosine is at least `threshold`. Raises ImageError for a photo that
    cannot be read and GalleryError for a damaged gallery.
    """
    read = reader.faces(photo, every=every)
    vectors = [face.vector for face in read if face.vector is not None]
    rows = iter(gallery.nearest(np.stack(vectors), top, average=average, index=index) if vectors else [])
    result = []
    for face in read:
        if face.vector is None:
            result.append(Identified(face.face.box, None, (), face.refused))
            continue
        matches = tuple(next(rows))
        known = bool(matches) and matches[0].similarity >= threshold
        result.append(Identified(face.face.box, matches[0].name if known else None, matches))
    return result
