"""How much a network needs each of its channels, by one of three measures."""

from __future__ import annotations

import numpy as np
import tensorflow as tf
import tf_keras

from edgeface.compress.channels import convolutions
from edgeface.errors import UsageError
from edgeface.face_input import FaceInput
from edgeface.models.squeezenext import Widths
from edgeface.train.batches import Images, generator_for, to_network
from edgeface.train.losses import cross_entropy

METHODS = ("taylor", "bn", "magnitude")
IMPORTANCE = "taylor"
"""What pruning uses unless it is told otherwise."""
_BATCH, _BATCHES = 32, 32
_KEY = 5
Scores = dict[str, np.ndarray]


def check_method(method: str) -> None:
    """Raise UsageError for an unknown measure."""
    if method not in METHODS:
        raise UsageError(f"--importance {method}: choose one of {', '.join(METHODS)}")


def channel_importance(
    model: tf_keras.Model, widths: Widths, method: str, images: Images, face_input: FaceInput, seed: int = 0
) -> Scores:
    """The importance of every channel, float64, by group; small ones can go first.

    "bn": |gamma| of BatchNorm (Liu et al. 2017, https://arxiv.org/abs/1708.06519). "magnitude": mean |weight| of the
    filter (Li et al. 2017, https://arxiv.org/abs/1608.08710). Both are taken relative to the group's mean, because
    neither can be compared between layers. "taylor": squared first-order change of the loss when the channel becomes
    zero (Molchanov et al. 2019, https://arxiv.org/abs/1906.10771), from gates behind BatchNorm, over 1,024 training
    images; layers that write the same channels share the gate.
    """
    check_method(method)
    if method == "taylor":
        return _taylor(model, widths, images, face_input, seed)
    scores: Scores = {}
    for layer in convolutions(widths, model.input_shape[1]):
        if method == "bn":
            own = np.abs(model.get_layer(f"{layer.name}_bn").gamma.numpy())
        else:
            own = np.abs(model.get_layer(layer.name).kernel.numpy()).mean(axis=(0, 1, 2))
        scores[layer.writes] = scores.get(layer.writes, 0.0) + own.astype(np.float64)
    del scores["embedding"]
    return {group: values / max(values.mean(), 1e-12) for group, values in scores.items()}


def _taylor(model: tf_keras.Model, widths: Widths, images: Images, face_input: FaceInput, seed: int) -> Scores:
    layers = [layer for layer in convolutions(widths, model.input_shape[1]) if layer.writes != "embedding"]
    norms = [model.get_layer(f"{layer.name}_bn") for layer in layers]
    scales = [variable for norm in norms for variable in (norm.gamma, norm.beta)]

    @tf.function(reduce_retracing=True)
    def gradients(batch: tf.Tensor, labels: tf.Tensor) -> list[tf.Tensor]:
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(scales)
            loss = tf.reduce_mean(cross_entropy(model(batch, training=False)["logits"], labels, 0.0))
        # A gate g behind gamma * x + beta has the gradient gamma * dL/dgamma + beta * dL/dbeta at g = 1.
        found = tape.gradient(loss, scales)
        return [scales[i] * found[i] + scales[i + 1] * found[i + 1] for i in range(0, len(scales), 2)]

    order = generator_for(seed, _KEY).permutation(len(images))[: _BATCH * _BATCHES]
    scores: Scores = {}
    for start in range(0, len(order), _BATCH):
        part = np.sort(order[start : start + _BATCH])
        batch = to_network(tf.constant(images.images[part]), face_input)
        gates: Scores = {}
        for layer, gate in zip(layers, gradients(batch, tf.constant(images.labels[part])), strict=True):
            gates[layer.writes] = gates.get(layer.writes, 0.0) + gate.numpy().astype(np.float64)
        for group, gate in gates.items():
            scores[group] = scores.get(group, 0.0) + np.square(gate)
    return scores
