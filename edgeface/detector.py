"""Faces in loose photos: where they are, and where their eyes are. `align` brings them into a bundle's frame."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np

from edgeface.alignment import align
from edgeface.cascade import SMALLEST_SIDE, WORK_SIDE, CascadeDetector
from edgeface.errors import UsageError
from edgeface.stderr import captured_stderr

DETECTORS = ("cascade", "yunet", "none")


@dataclass(frozen=True)
class Face:
    """One face: `box` (left, top, width, height) in pixels of the photo; `score`, higher is surer.

    `landmarks` is float32 (2, 2), the eyes, or (5, 2), eyes, nose tip and mouth corners, as x, y, left in the picture
    first; None when no eyes were found. `cropped` says that the photo is the face already.
    """

    box: tuple[float, float, float, float]
    score: float
    landmarks: np.ndarray | None = None
    cropped: bool = False

    @property
    def side(self) -> float:
        """The shorter side of the box in pixels."""
        return min(self.box[2:])


class Detector(Protocol):
    """What finds faces."""

    name: str

    def detect(self, image: np.ndarray) -> list[tuple[tuple[float, float, float, float], float, np.ndarray | None]]:
        """Box, score and landmarks of every face in an RGB uint8 image (height, width, 3)."""
        ...


class YuNetDetector:
    """OpenCV's FaceDetectorYN with a YuNet ONNX file (Wu et al. 2023), which EdgeFace does not bring along."""

    name = "yunet"

    def __init__(self, model: str | Path, score: float = 0.6) -> None:
        if not Path(model).is_file():
            raise UsageError(f"{model}: no such file; give --detector-model the YuNet .onnx file")
        try:
            with captured_stderr():
                self._net = cv2.FaceDetectorYN.create(str(model), "", (320, 320), score, 0.3, 100)
        except cv2.error:
            raise UsageError(f"{model}: OpenCV cannot load it as YuNet; give YuNet's .onnx file") from None

    def detect(self, image: np.ndarray) -> list[tuple[tuple[float, float, float, float], float, np.ndarray | None]]:
        """Faces with five landmarks and a score 0..1."""
        scale = min(1.0, WORK_SIDE / max(image.shape[:2]))
        if scale * min(image.shape[:2]) < SMALLEST_SIDE:
            return []
        small = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA) if scale < 1 else image
        self._net.setInputSize((small.shape[1], small.shape[0]))
        try:
            _, rows = self._net.detect(cv2.cvtColor(small, cv2.COLOR_RGB2BGR))
        except cv2.error:
            raise UsageError("the detector's model is not a YuNet; give --detector-model YuNet's .onnx file") from None
        faces = []
        for row in rows if rows is not None else ():
            left, top, width, height = (float(value) / scale for value in row[:4])
            faces.append(((left, top, width, height), float(row[14]), row[4:14].reshape(5, 2) / np.float32(scale)))
        return faces


def open_detector(name: str = "cascade", model: str | Path | None = None) -> Detector | None:
    """A detector by name: "cascade", "yunet" with its model file, or "none" (None) for cropped photos."""
    if name not in DETECTORS:
        raise UsageError(f"unknown detector {name!r}; choose from {', '.join(DETECTORS)}")
    if (name == "yunet") != (model is not None):
        raise UsageError("--detector yunet and --detector-model FILE go together")
    if name == "none":
        return None
    return YuNetDetector(model) if model is not None else CascadeDetector()


def find_faces(image: np.ndarray, detector: Detector | None) -> list[Face]:
    """Faces of an RGB uint8 photo (height, width, 3), the largest first. Without a detector the photo is one face."""
    if detector is None:
        height, width = image.shape[:2]
        return [Face((0.0, 0.0, float(width), float(height)), 1.0, cropped=True)]
    faces = [Face(box, score, landmarks) for box, score, landmarks in detector.detect(image)]
    return sorted(faces, key=lambda face: -face.box[2] * face.box[3])


def central_face(faces: list[Face], image: np.ndarray) -> Face | None:
    """The face whose middle is nearest to the photo's, if its box covers that: how LFW's photos are meant."""
    x, y = image.shape[1] / 2, image.shape[0] / 2
    covering = [f for f in faces if 0 <= x - f.box[0] <= f.box[2] and 0 <= y - f.box[1] <= f.box[3]]
    return min(
        covering,
        key=lambda f: (f.box[0] + f.box[2] / 2 - x) ** 2 + (f.box[1] + f.box[3] / 2 - y) ** 2,
        default=None,
    )


__all__ = ["DETECTORS", "Detector", "Face", "align", "central_face", "find_faces", "open_detector"]
