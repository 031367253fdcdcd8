"""The weights that are validated and saved where they are not those being trained.

- **Moving average** (Polyak and Juditsky 1992; used for inference by Szegedy et al. 2016): with `average_decay` d the
  weights and BatchNorm's statistics are averaged over the steps, average = d average + (1 - d) weights, where d is held
  down to (1 + step) / (10 + step) in the beginning. The averages are validated and saved; training goes on from the
  weights themselves.
- **ArcFace** (Deng et al. 2019): training compares directions only, but a device runs an ordinary dense layer. It gets
  the class directions, all of one length and without bias: its logits then rank as the cosines do, whatever the length
  of the pre-logits. That length is the scale over the mean norm of the pre-logits, which makes the logits of a typical
  face the scaled cosines of training, and its softmax a sensible confidence.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
import tensorflow as tf
import tf_keras

if TYPE_CHECKING:
    from edgeface.train.step import Learner

NORM_DECAY = 0.99


def moving_variable(value: tf.Tensor | float, name: str) -> tf.Variable:
    """A float32 variable that a training step moves, the same on every replica."""
    return tf.Variable(value, trainable=False, name=name, dtype="float32", aggregation=tf.VariableAggregation.MEAN)


def averages_of(model: tf_keras.Model) -> list[tf.Variable]:
    """Averages of a network's weights, BatchNorm's statistics included, that begin at the weights as they are."""
    return [moving_variable(weight.numpy(), f"average_{number}") for number, weight in enumerate(model.weights)]


def restart_averages(averages: Sequence[tf.Variable] | None, weights: Sequence[tf.Variable]) -> None:
    """Let averages, where there are any, begin at weights that were set after the network was built."""
    for average, weight in zip(averages or (), weights if averages else (), strict=True):
        average.assign(tf.cast(weight, tf.float32))


def move_averages(
    averages: Sequence[tf.Variable], weights: Sequence[tf.Variable], decay: float, step: tf.Tensor
) -> None:
    """Move every average towards its weight after step `step` (from 0, over all stages)."""
    number = tf.cast(step, tf.float32)
    kept = tf.minimum(decay, (1 + number) / (10 + number))
    for average, weight in zip(averages, weights, strict=True):
        average.assign(kept * average + (1 - kept) * tf.cast(weight, tf.float32))


def move_norm(norm: tf.Variable, embedding: tf.Tensor) -> None:
    """Move the mean Euclidean norm of pre-logits (batch, size); it begins at that of the first batch."""
    mean = tf.reduce_mean(tf.norm(tf.stop_gradient(embedding), axis=1))
    norm.assign(tf.where(norm > 0, NORM_DECAY * norm + (1 - NORM_DECAY) * mean, mean))


@contextlib.contextmanager
def deployed(learner: Learner) -> Iterator[None]:
    """While it lasts the network holds the weights to validate and to save; then those being trained come back."""
    model = learner.model
    if learner.averages is None and learner.embedding_norm is None:
        yield
        return
    training = model.get_weights()
    try:
        if learner.averages is not None:
            model.set_weights([average.numpy() for average in learner.averages])
        if learner.embedding_norm is not None:
            layer = model.get_layer("logits")
            length = learner.recipe.arcface_scale / max(float(learner.embedding_norm.numpy()), 1e-6)
            layer.set_weights([exported_kernel(layer.kernel.numpy(), length), np.zeros_like(layer.bias.numpy())])
        yield
    finally:
        model.set_weights(training)


def exported_kernel(kernel: np.ndarray, length: float) -> np.ndarray:
    """The kernel (size, classes) with every class's column scaled to `length`, float32."""
    norms = np.linalg.norm(kernel, axis=0, keepdims=True)
    return (length * kernel / np.maximum(norms, 1e-12)).astype(np.float32)
