"""Photos as they come to normalised embeddings, one face each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from edgeface.data.images import read_image
from edgeface.detector import Detector, align, central_face, find_faces
from edgeface.embedder import Recognizer
from edgeface.errors import ImageError
from edgeface.verification import normalised

Progress = Callable[[str, int, int], None]


def embed_photos(
    recognizer: Recognizer,
    photos: Sequence[Path],
    detector: Detector | None,
    progress: Progress | None = None,
    unreadable: list[str] | None = None,
    flip: bool = False,
) -> np.ndarray:
    """Embeddings of length 1, float32 (N, E), of the face in the middle of each photo; NaN rows where there is none.

    Without a detector each photo is taken for one aligned face. One photo is in memory at a time. A photo that cannot
    be read raises ImageError, or where a list is given goes into `unreadable`, as a sentence, and gets a NaN row.
    With `flip`, see `Recognizer.embed`.
    """
    rows = np.full((len(photos), recognizer.bundle.embedding_size), np.nan, np.float32)
    for number, path in enumerate(photos):
        try:
            prepared = _face(recognizer, path, detector)
        except ImageError as error:
            if unreadable is None:
                raise
            unreadable.append(str(error))
            prepared = None
        if prepared is not None:
            rows[number] = normalised(recognizer.embed([prepared], prepared=True, flip=flip))[0]
        if progress is not None:
            progress("embedding photos", number + 1, len(photos))
    return rows


def _face(recognizer: Recognizer, path: Path, detector: Detector | None) -> np.ndarray | None:
    """The photo's face as the network takes it, uint8 (size, size, 3)."""
    image, face_input = read_image(path), recognizer.bundle.face_input
    if detector is None:
        return face_input.prepare(image, path)
    face = central_face(find_faces(image, detector), image)
    return None if face is None else align(image, face, face_input)
