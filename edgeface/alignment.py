"""From a face in a loose photo to the frame that a bundle was trained in: one similarity transform into the
frame, squeezed as its crop is in training, one resampling.

Where the eyes, nose and mouth lie in a frame is a constant of the frame:

- whole-image inputs (`FaceInput.crop` is None): the five points of the 112 x 112 frame that ArcFace made common
  (Deng et al. 2019), scaled to the input; the mean face of a set aligned this way shows them;
- crops of CelebA's aligned 178 x 218 frame (Liu et al. 2015): the means of that set's landmarks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

from edgeface.errors import UsageError
from edgeface.face_input import FaceInput

if TYPE_CHECKING:
    from edgeface.detector import Face

WHOLE_FRAME = (
    np.array([[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.7299, 92.2041]]) / 112
)
"""Eyes, nose tip and mouth corners as x, y in 0..1 of a whole-image input; left in the picture first."""
CELEBA_FRAME = np.array([[69.4, 111.3], [107.5, 111.5], [88.1, 135.1], [71.2, 152.2], [105.4, 152.3]])
"""The same in pixels of the 178 x 218 frame."""
EYES_IN_CASCADE_BOX = np.array([[0.313, 0.398], [0.683, 0.398]])
"""Where the eyes lie in a box of OpenCV's frontal cascade, 0..1: medians over the LFW development photos."""


def align(image: np.ndarray, face: Face, face_input: FaceInput) -> np.ndarray:
    """The face, upright, cropped and resized as the network wants it: RGB uint8 (size, size, 3).

    `image` is the RGB uint8 photo that `face` was found in. Five points are fitted by least squares, two eyes exactly;
    without either the box is taken as upright. What lies outside the photo is black. Ready for
    `Recognizer.embed(..., prepared=True)`. A face that is already cropped only goes through `FaceInput.prepare`.
    Raises UsageError for a frame whose landmarks are not known.
    """
    if face.cropped:
        return face_input.prepare(image)
    points = box_points(face.box) if face.landmarks is None else face.landmarks
    matrix = similarity(points, reference_points(face_input)[: len(points)])
    return _warp(image, _squeezed(matrix, face_input), face_input.size)


def reference_points(face_input: FaceInput) -> np.ndarray:
    """The five landmarks, float64 (5, 2) as x, y, in pixels of the crop before it is resized (a whole image is taken to
    be as large as the network's input); they may lie outside it."""
    if face_input.crop is None:
        return WHOLE_FRAME * face_input.size
    if face_input.frame != (218, 178):
        height, width = face_input.frame or (0, 0)
        raise UsageError(
            f"where a face lies in this bundle's {width}x{height} frame is not known; "
            "align the photos yourself and use --detector none"
        )
    top, _, left, _ = face_input.crop
    return CELEBA_FRAME - (left, top)


def box_points(box: tuple[float, float, float, float]) -> np.ndarray:
    """The eyes, float64 (2, 2), that an upright face with this cascade box (left, top, width, height) would have."""
    left, top, width, height = box
    return np.array([left, top]) + EYES_IN_CASCADE_BOX * (width, height)


def similarity(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """The rotation, scaling and shift, float64 (2, 3), that takes points (N, 2) nearest to others (Umeyama 1991)."""
    a, b = source - source.mean(axis=0), target - target.mean(axis=0)
    spread = float((a**2).sum())
    if spread == 0:
        raise UsageError("the landmarks of a face all lie in one point; give another photo")
    cosine = float((a * b).sum()) / spread
    sine = float((a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]).sum()) / spread
    turn = np.array([[cosine, -sine], [sine, cosine]])
    return np.hstack([turn, (target.mean(axis=0) - turn @ source.mean(axis=0))[:, None]])


def _squeezed(matrix: np.ndarray, face_input: FaceInput) -> np.ndarray:
    """A transform into the crop, followed by what `FaceInput.prepare` does to the crop: resizing to a square, each axis
    for itself. A network that has seen faces squeezed so must be shown them so."""
    if face_input.crop is None:
        return matrix
    top, bottom, left, right = face_input.crop
    scale = face_input.size / np.array([right - left, bottom - top])
    resized = scale[:, None] * matrix
    resized[:, 2] += 0.5 * scale - 0.5  # pixel centres
    return resized


def _warp(image: np.ndarray, matrix: np.ndarray, size: int) -> np.ndarray:
    """Resample; the part of a large photo that is needed is shrunk by area first, so that nothing aliases."""
    scale = float(np.linalg.norm(matrix[:, :2], 2))
    if scale < 0.7:
        turn, shift = matrix[:, :2], matrix[:, 2]
        corners = np.linalg.solve(turn, (np.array([[0, 0], [size, 0], [0, size], [size, size]]) - shift).T).T
        height, width = image.shape[:2]
        factor = scale * 1.4
        margin = 2 / factor  # pixels of the shrunk part that the interpolation reaches for
        x0, y0 = np.clip(np.floor(corners.min(axis=0) - margin), 0, (width - 1, height - 1)).astype(int)
        x1, y1 = np.clip(np.ceil(corners.max(axis=0) + margin), (x0 + 1, y0 + 1), (width, height)).astype(int)
        small = (max(1, round((x1 - x0) * factor)), max(1, round((y1 - y0) * factor)))
        image = cv2.resize(image[y0:y1, x0:x1], small, interpolation=cv2.INTER_AREA)
        step = np.array([(x1 - x0) / image.shape[1], (y1 - y0) / image.shape[0]])
        # Pixel centres: x in the shrunk part is x0 + (x + 0.5) * step - 0.5 in the photo.
        offset = np.array([x0, y0]) + 0.5 * step - 0.5
        matrix = np.hstack([turn * step, (shift + turn @ offset)[:, None]])
    return cv2.warpAffine(image, matrix, (size, size), flags=cv2.INTER_LINEAR)
