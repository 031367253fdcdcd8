"""From a photo to the unit vectors of the faces in it: detect, judge, align, embed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edgeface.bundle import Bundle
from edgeface.data.images import read_image
from edgeface.detector import Face, align, find_faces, open_detector
from edgeface.embedder import Recognizer
from edgeface.errors import FaceError
from edgeface.face_input import checked_rgb
from edgeface.quality import limits, refusal


@dataclass(frozen=True)
class FaceVector:
    """A face and its vector, float32 (E,) of length 1; or None and why it is refused."""

    face: Face
    vector: np.ndarray | None
    refused: str | None = None


@dataclass(frozen=True)
class Reading:
    """How faces are read. `detector`, `quality`: see `open_detector`, `edgeface.quality`. `flip`: see `embed`."""

    detector: str = "cascade"
    detector_model: Path | None = None
    quality: str = "normal"
    flip: bool = False
    threads: int = 1
    runtime: str | None = None


class FaceReader:
    """A bundle with a detector, loaded once. Use one in each thread."""

    def __init__(self, bundle: str | Path | Bundle, reading: Reading | None = None) -> None:
        self.reading = reading or Reading()
        self._limits = limits(self.reading.quality)
        self._detector = open_detector(self.reading.detector, self.reading.detector_model)
        self.recognizer = Recognizer(bundle, self.reading.threads, self.reading.runtime)

    @property
    def bundle(self) -> Bundle:
        """The bundle in use."""
        return self.recognizer.bundle

    def faces(self, photo: str | Path | np.ndarray, *, every: bool = False) -> list[FaceVector]:
        """The largest face of a photo (a path, or RGB uint8), or every face, the largest first; refused ones too.

        Empty when there is no face. Raises ImageError for a photo that cannot be read, or an array of another kind.
        """
        image = checked_rgb(read_image(photo) if isinstance(photo, (str, Path)) else photo)
        found = find_faces(image, self._detector)
        return [self._read(image, face) for face in (found if every else found[:1])]

    def vector(self, photo: str | Path | np.ndarray, name: str | Path | None = None) -> np.ndarray:
        """The vector of the largest face. Raises FaceError, naming the photo, when there is none or it is refused."""
        name = name or (photo if not isinstance(photo, np.ndarray) else "image")
        read = self.faces(photo)
        if not read:
            raise FaceError(f"{name}: no face found; give a photo that shows the face from the front, large enough")
        if read[0].vector is None:
            raise FaceError(f"{name}: {read[0].refused}")
        return read[0].vector

    def similarity(self, first: str | Path | np.ndarray, second: str | Path | np.ndarray) -> float:
        """Cosine, -1..1, of the largest faces of two photos; one person from a threshold on. Raises as `vector`."""
        return float(np.clip(self.vector(first) @ self.vector(second), -1, 1))

    def _read(self, image: np.ndarray, face: Face) -> FaceVector:
        reason = refusal(image, face, self._limits)
        if reason is not None:
            return FaceVector(face, None, reason)
        prepared = align(image, face, self.bundle.face_input)
        (vector,) = self.recognizer.embed([prepared], prepared=True, unit=True, flip=self.reading.flip)
        return FaceVector(face, vector)
