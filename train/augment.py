"""Augmentation with OpenCV on uint8 images: one affine warp, one colour matrix, two bands.

The random numbers are drawn beforehand with NumPy, a row an image, so that an epoch can be repeated exactly:
a resumed run, and the teacher's cached views, see the very same images.

A batch of 64 at 96 px costs 8 ms of one core here; the same as batched TensorFlow operations in float32 cost 62 ms,
an eighth of a training step of the 1.0 student (`edgeface train speed` shows what is left of it).
"""

from __future__ import annotations

import cv2
import numpy as np

from edgeface.recipe import Augmentation

COLUMNS = 16
"""cos and sin of the warp (with scale and flip), shift x and y, brightness, contrast, saturation, hue,
then (on, horizontal, start, width) of two seaweed bands."""

# RGB -> YIQ (NTSC), the space in which hue is a rotation and saturation a scale.
_TO_YIQ = np.array([[0.299, 0.587, 0.114], [0.596, -0.274, -0.322], [0.211, -0.523, 0.312]], np.float32)
_FROM_YIQ = np.linalg.inv(_TO_YIQ).astype(np.float32)
_GRAY = (128, 128, 128)


def draw(count: int, config: Augmentation, *, basic: bool, seaweed: bool, generator: np.random.Generator) -> np.ndarray:
    """Draw the random parameters of `count` images: float32 (count, COLUMNS)."""
    table = np.zeros((count, COLUMNS), np.float32)
    table[:, 0] = 1.0  # flip sign / scale
    table[:, 5:7] = 1.0  # contrast, saturation
    u = generator.random((count, COLUMNS + 4)).astype(np.float32)
    if basic:
        angle = np.deg2rad(config.rotation) * (2 * u[:, 0] - 1)
        scale = np.where(u[:, 2] < 0.5, 1 + (config.scale_up - 1) * u[:, 3], 1 - (1 - config.scale_down) * u[:, 3])
        scale = np.where(u[:, 1] < config.scale_share, scale, 1.0)
        flip = np.where(u[:, 4] < config.flip, -1.0, 1.0)
        table[:, 0] = np.cos(angle) / scale * flip
        table[:, 1] = np.sin(angle) / scale * flip
        table[:, 2:4] = config.shift * (2 * u[:, 5:7] - 1)
        table[:, 4] = config.brightness * (2 * u[:, 7] - 1)
        table[:, 5] = 1 + config.contrast * (2 * u[:, 8] - 1)
        table[:, 6] = np.where(u[:, 9] < config.gray, 0.0, 1 + config.saturation * (2 * u[:, 10] - 1))
        table[:, 7] = config.hue * (2 * u[:, 11] - 1)
    if seaweed:
        one = u[:, 12] < config.seaweed_share
        two = one & (u[:, 13] < config.seaweed_second)
        for column, on, r in ((8, one, u[:, 14:17]), (12, two, u[:, 17:20])):
            table[:, column] = on
            table[:, column + 1] = r[:, 0] < 0.5
            table[:, column + 2] = 0.6 * r[:, 1]
            table[:, column + 3] = np.where(r[:, 2] < 0.5, 0.2, 0.4)
    return table


def augment(images: np.ndarray, table: np.ndarray, *, basic: bool, seaweed: bool) -> np.ndarray:
    """Apply drawn parameters to uint8 images (batch, side, side, 3). Returns float32 in 0..255.

    Warp and colour give whole gray levels, and 128 outside the warped image; seaweed bands are 127.5, 0 in [-1, 1].
    """
    if basic:
        images = _warp_and_colour(images, table)
    augmented = images.astype(np.float32)
    if seaweed:
        for column in (8, 12):
            _blank(augmented, table[:, column : column + 4])
    return augmented


def _warp_and_colour(images: np.ndarray, table: np.ndarray) -> np.ndarray:
    """Contrast turns about the warped image's mean over all its channels."""
    side = images.shape[1]
    warps, colours = _affine_matrices(table, side), _colour_matrices(table)
    contrast, brightness = table[:, 5], table[:, 4] * 255
    result = np.empty_like(images)
    for index, image in enumerate(images):
        warped = cv2.warpAffine(
            image, warps[index], (side, side), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP, borderValue=_GRAY
        )
        mean = sum(cv2.mean(warped)[:3]) / 3
        colours[index, :, 3] = (1 - contrast[index]) * mean + brightness[index]
        cv2.transform(warped, colours[index], dst=result[index])
    return result


def _affine_matrices(table: np.ndarray, side: int) -> np.ndarray:
    """From a pixel of the result to its place in the image, about the centre: float64 (batch, 2, 3)."""
    centre = (side - 1) / 2
    # Flip mirrors x only: columns 0 and 1 carry its sign, the second row needs it taken away again.
    a, b = table[:, 0].astype(np.float64), table[:, 1].astype(np.float64)
    sign = np.where(a < 0, -1.0, 1.0)
    c, d = -b * sign, a * sign
    shift_x = centre - (a + b) * centre + table[:, 2] * side
    shift_y = centre - (c + d) * centre + table[:, 3] * side
    return np.stack([a, b, shift_x, c, d, shift_y], axis=1).reshape(-1, 2, 3)


def _colour_matrices(table: np.ndarray) -> np.ndarray:
    """Contrast, saturation and hue as one matrix an image, its offsets still 0: float32 (batch, 3, 4)."""
    contrast, saturation, hue = table[:, 5], table[:, 6], table[:, 7]
    turn = np.zeros((len(table), 3, 3), np.float32)
    turn[:, 0, 0] = 1
    turn[:, 1, 1] = turn[:, 2, 2] = saturation * np.cos(2 * np.pi * hue)
    turn[:, 2, 1] = saturation * np.sin(2 * np.pi * hue)
    turn[:, 1, 2] = -turn[:, 2, 1]
    matrices = np.zeros((len(table), 3, 4), np.float32)
    matrices[:, :, :3] = _FROM_YIQ @ turn @ _TO_YIQ * contrast[:, None, None]
    return matrices


def _blank(images: np.ndarray, bands: np.ndarray) -> None:
    """Make the pixels whose centres lie in each image's band mid-gray, in place."""
    side = images.shape[1]
    for image, (on, horizontal, start, width) in zip(images, bands, strict=True):
        if on > 0:
            first, last = np.ceil(np.array([start, start + width]) * side - 0.5).astype(int)
            band = image[first:last] if horizontal > 0 else image[:, first:last]
            band[...] = 127.5
