"""Outputs of a Keras network over a split."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import tensorflow as tf
import tf_keras

from edgeface.face_input import FaceInput
from edgeface.train.batches import Images, plain_batches

BATCH = 64


def make_predictor(model: tf_keras.Model) -> Callable[[tf.Tensor], dict[str, tf.Tensor]]:
    """The network in inference mode, compiled once: float32 images -> `embedding` and `logits`."""
    side = model.input_shape[1]
    return tf.function(
        lambda images: model(images, training=False),
        input_signature=[tf.TensorSpec((None, side, side, 3), tf.float32)],
    )


def outputs_over(
    predictor: Callable[[tf.Tensor], dict[str, tf.Tensor]], data: Images, face_input: FaceInput
) -> dict[str, np.ndarray]:
    """`embedding` (count, size) and `logits` (count, classes) of every image, float32."""
    parts = [predictor(images) for images, _ in plain_batches(data, face_input, BATCH)]
    return {name: np.concatenate([part[name].numpy() for part in parts]) for name in ("embedding", "logits")}
