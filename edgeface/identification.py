"""From photos to people: enrolling them, naming the faces of a photo, and naming those that a camera sees."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from edgeface.camera import Frame, frames
from edgeface.data.images import read_bytes
from edgeface.errors import FaceError
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


def enroll_photos(
    reader: FaceReader, gallery: Gallery, name: str, photos: Sequence[str | Path], *, add: bool = False
) -> int:
    """Enrol a person, one template from the largest face of each photo; gives how many the person has now.

    All photos or none: raises FaceError or ImageError for the first that cannot be used (or when there are none), and
    GalleryError when the name is there already (unless `add`), or the gallery is of another model.
    """
    gallery.accept(reader.bundle, reader.reading.flip)
    if not photos:
        raise FaceError(f"{name}: no photos given; give at least one")
    vectors = np.stack([reader.vector(photo) for photo in photos])
    kept = [read_bytes(photo) for photo in photos] if gallery.info.keep_photos else []
    return gallery.enroll(name, vectors, [Path(photo).name for photo in photos], kept, add=add)


def watch_faces(
    reader: FaceReader, gallery: Gallery, source: str, threshold: float, *, max_fps: float = 10.0, average: bool = False
) -> Generator[tuple[Frame, list[Identified]], None, None]:
    """Every frame that is looked at, of a camera's number, a video or a folder, with who is in it.

    Frames that come while one is looked at are dropped. Raises CameraError; see `edgeface.camera.frames`.
    """
    look = partial(identify_faces, reader, gallery, threshold=threshold, every=True, average=average)
    return _looked_at(frames(source, max_fps), look)


def _looked_at(
    stream: Generator[Frame, None, None], look: Callable[[np.ndarray], list[Identified]]
) -> Generator[tuple[Frame, list[Identified]], None, None]:
    with contextlib.closing(stream):
        for frame in stream:
            yield frame, [] if frame.image is None else look(frame.image)


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
    cannot be read and GalleryError for a gallery that is damaged or of another model.
    """
    gallery.accept(reader.bundle, reader.reading.flip)
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
