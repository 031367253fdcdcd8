"""The range of every activation, image by image: what sets int8 scales, and what tells whether they fit."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import tensorflow as tf
import tf_keras

BATCH = 32


def extremes(model: tf_keras.Model, names: Sequence[str], images: np.ndarray) -> np.ndarray:
    """Smallest and largest value of these layers' outputs for each image, float32 (images, layers, 2).

    `images` is float32 (N, size, size, 3) in the network's value range; the network runs in inference mode.
    """
    probe = tf_keras.Model(model.input, [model.get_layer(name).output for name in names])

    @tf.function(reduce_retracing=True)
    def run(batch: tf.Tensor) -> tf.Tensor:
        flat = [tf.reshape(value, (tf.shape(value)[0], -1)) for value in tf.nest.flatten(probe(batch, training=False))]
        return tf.stack([tf.stack([tf.reduce_min(v, 1), tf.reduce_max(v, 1)], axis=1) for v in flat], axis=1)

    parts = [run(tf.constant(images[start : start + BATCH])).numpy() for start in range(0, len(images), BATCH)]
    return np.concatenate(parts)


def batch_means(values: np.ndarray) -> np.ndarray:
    """The mean, over batches of 32 images, of the batch's smallest and largest value: (layers, 2) of `extremes`.

    The mean forgives a single image with an extreme value, which the range of all images would not.
    """
    batches = [values[start : start + BATCH] for start in range(0, len(values), BATCH)]
    return np.mean([[batch[..., 0].min(axis=0), batch[..., 1].max(axis=0)] for batch in batches], axis=0).T
