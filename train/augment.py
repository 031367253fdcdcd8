"""Augmentation in batched TensorFlow operations: one affine warp, one colour matrix, two masks.

The random numbers are drawn beforehand with NumPy, a row an image, so that an epoch can be repeated exactly:
a resumed run, and the teacher's cached views, see the very same images.
"""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from edgeface.recipe import Augmentation

COLUMNS = 16
"""cos and sin of the warp (with scale and flip), shift x and y, brightness, contrast, saturation, hue,
then (on, horizontal, start, width) of two seaweed bands."""

# RGB -> YIQ (NTSC), the space in which hue is a rotation and saturation a scale.
_TO_YIQ = np.array([[0.299, 0.587, 0.114], [0.596, -0.274, -0.322], [0.211, -0.523, 0.312]], np.float32)
_FROM_YIQ = np.linalg.inv(_TO_YIQ).astype(np.float32)


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


def augment(images: tf.Tensor, table: tf.Tensor, *, basic: bool, seaweed: bool) -> tf.Tensor:
    """Apply drawn parameters to uint8 images (batch, side, side, 3). Returns float32 in 0..255.

    Pixels outside the warped image, and seaweed bands, are mid-gray (0 in [-1, 1]).
    """
    x = tf.cast(images, tf.float32)
    if basic:
        x = _colour(_warp(x, table), table)
    if seaweed:
        for column in (8, 12):
            x = _blank(x, table[:, column : column + 4])
    return x


def _warp(x: tf.Tensor, table: tf.Tensor) -> tf.Tensor:
    """Rotate, scale, flip and shift about the image's centre in one bilinear resampling."""
    side = tf.cast(tf.shape(x)[1], tf.float32)
    centre = (side - 1) / 2
    # Flip mirrors x only: column 0 and 1 carry its sign, the second row needs it taken away again.
    a, b = table[:, 0], table[:, 1]
    sign = tf.where(a < 0, -1.0, 1.0)
    c, d = -b * sign, a * sign
    shift_x = centre - a * centre - b * centre + table[:, 2] * side
    shift_y = centre - c * centre - d * centre + table[:, 3] * side
    zero = tf.zeros_like(a)
    transforms = tf.stack([a, b, shift_x, c, d, shift_y, zero, zero], axis=1)
    return tf.raw_ops.ImageProjectiveTransformV3(
        images=x,
        transforms=transforms,
        output_shape=tf.shape(x)[1:3],
        fill_value=127.5,
        interpolation="BILINEAR",
        fill_mode="CONSTANT",
    )


def _colour(x: tf.Tensor, table: tf.Tensor) -> tf.Tensor:
    """Brightness, contrast, saturation and hue as one 3x3 matrix and one offset an image."""
    brightness, contrast, saturation, hue = (table[:, i] for i in range(4, 8))
    angle = hue * (2 * np.pi)
    zero, one = tf.zeros_like(hue), tf.ones_like(hue)
    cos, sin = saturation * tf.cos(angle), saturation * tf.sin(angle)
    rows = [one, zero, zero, zero, cos, -sin, zero, sin, cos]
    turn = tf.reshape(tf.stack(rows, axis=1), (-1, 3, 3))
    matrix = tf.einsum("ij,bjk,kl->bil", _FROM_YIQ, turn, _TO_YIQ) * contrast[:, None, None]
    shape = tf.shape(x)
    pixels = tf.reshape(x, (shape[0], shape[1] * shape[2], 3))
    pixels = tf.matmul(pixels, matrix, transpose_b=True)
    # Contrast turns about the image's mean brightness, as tf.image.adjust_contrast does.
    mean = tf.reduce_mean(x, axis=(1, 2, 3))
    offset = (1 - contrast) * mean + brightness * 255
    return tf.reshape(tf.clip_by_value(pixels + offset[:, None, None], 0.0, 255.0), shape)


def _blank(x: tf.Tensor, band: tf.Tensor) -> tf.Tensor:
    on, horizontal, start, width = (band[:, i, None] for i in range(4))
    side = tf.shape(x)[1]
    position = (tf.range(side, dtype=tf.float32)[None, :] + 0.5) / tf.cast(side, tf.float32)
    inside = (position >= start) & (position < start + width) & (on > 0)
    rows = (inside & (horizontal > 0))[:, :, None, None]
    columns = (inside & (horizontal <= 0))[:, None, :, None]
    return tf.where(rows | columns, 127.5, x)
