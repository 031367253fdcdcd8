"""The losses of the reference system and the margin of ArcFace. All take float32; the losses return a float32 scalar,
a mean over the batch."""

from __future__ import annotations

import math

import tensorflow as tf

MINING_SHARE = 0.7
MINING_WEIGHT = 0.1
CENTER_ALPHA = 0.95
TRIPLET_MARGIN = 1.0


def cross_entropy(logits: tf.Tensor, labels: tf.Tensor, smoothing: float = 0.0) -> tf.Tensor:
    """Cross-entropy of logits (batch, classes) with int labels (batch,): one value a sample, (batch,)."""
    if not smoothing:
        return tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
    classes = tf.shape(logits)[1]
    target = tf.one_hot(labels, classes) * (1 - smoothing) + smoothing / tf.cast(classes, tf.float32)
    return tf.nn.softmax_cross_entropy_with_logits(target, logits)


def cosine_logits(embedding: tf.Tensor, kernel: tf.Tensor, scale: float) -> tf.Tensor:
    """Scaled cosines (batch, classes) between pre-logits (batch, size) and class directions, kernel (size, classes)."""
    return scale * tf.matmul(tf.nn.l2_normalize(embedding, axis=1), tf.nn.l2_normalize(kernel, axis=0))


def with_angular_margin(logits: tf.Tensor, labels: tf.Tensor, margin: float | tf.Tensor, scale: float) -> tf.Tensor:
    """Scaled cosines (batch, classes) with `margin` radians, float32, added to the angle of the right class.

    Deng et al. 2019, https://arxiv.org/abs/1801.07698. Where the angle would pass pi, and its cosine rise again,
    margin * sin(margin) is taken off the cosine instead, as the authors' code does.
    """
    # The gradient of the sine is infinite at cosines of 1 and -1: keep just inside.
    cosine = tf.clip_by_value(logits / scale, -1 + 1e-6, 1 - 1e-6)
    moved = cosine * tf.cos(margin) - tf.sqrt(1 - tf.square(cosine)) * tf.sin(margin)
    moved = tf.where(cosine > tf.cos(math.pi - margin), moved, cosine - margin * tf.sin(margin))
    right = tf.one_hot(labels, tf.shape(logits)[1], on_value=True, off_value=False, dtype=tf.bool)
    return tf.where(right, scale * moved, logits)


def growing_margin(margin: float, steps: int, step: tf.Tensor) -> tf.Tensor:
    """The margin at a step (int32, from 0), float32: it grows from 0 in so many steps, so that features that are still
    random do not escape it by all becoming one."""
    return margin * tf.minimum(1.0, tf.cast(step, tf.float32) / steps) if steps else tf.constant(margin)


def hard_instance_weights(losses: tf.Tensor) -> tf.Tensor:
    """Weights (batch,): 0.1 for samples whose loss is under 0.7 of the batch's largest, over all replicas, else 1."""
    largest, context = tf.stop_gradient(tf.reduce_max(losses)), tf.distribute.get_replica_context()
    if context.num_replicas_in_sync > 1:
        largest = tf.reduce_max(context.all_gather(largest[None], axis=0))
    easy = losses < MINING_SHARE * largest
    return tf.stop_gradient(tf.where(easy, MINING_WEIGHT, 1.0))


def center_loss(embedding: tf.Tensor, labels: tf.Tensor, centers: tf.Variable) -> tf.Tensor:
    """Mean squared distance of pre-logits (batch, size) to their class centers (classes, size).

    Wen et al. 2016, https://doi.org/10.1007/978-3-319-46478-7_31. Does not move the centers.
    """
    return tf.reduce_mean(tf.square(embedding - tf.stop_gradient(tf.gather(centers, labels))))


def moved_centers(embedding: tf.Tensor, labels: tf.Tensor, centers: tf.Variable, replicas: int = 1) -> tf.Tensor:
    """The centers after a step, each moved by 1 - alpha = 0.05 towards every one of its samples (FaceNet's rule).

    Of `replicas` that each see a part of the batch, the mean is the same as of one that sees the whole. A center never
    goes past the mean of its samples: over 40 of one person in a batch would throw it further out at each step.
    """
    own = tf.reduce_sum(tf.cast(labels[:, None] == labels[None, :], tf.float32), axis=1, keepdims=True)
    share = tf.minimum(replicas * (1 - CENTER_ALPHA), 1 / own)
    difference = share * (tf.gather(centers, labels) - tf.stop_gradient(embedding))
    return tf.tensor_scatter_nd_sub(tf.convert_to_tensor(centers), labels[:, None], difference)


def pre_logit_norm(embedding: tf.Tensor) -> tf.Tensor:
    """Mean L1 norm of pre-logits (batch, size)."""
    return tf.reduce_mean(tf.reduce_sum(tf.abs(embedding), axis=1))


def batch_hard_triplet(embedding: tf.Tensor, labels: tf.Tensor, margin: float = TRIPLET_MARGIN) -> tf.Tensor:
    """Batch-hard triplet loss on Euclidean distances of (batch, size).

    For each anchor: max(0, margin + farthest positive - nearest negative) (Schroff et al. 2015; Hermans et al.
    2017, https://arxiv.org/abs/1703.07737). Anchors without a positive or a negative in the batch count 0.
    """
    squares = tf.reduce_sum(tf.square(embedding), axis=1)
    squared = squares[:, None] - 2 * tf.matmul(embedding, embedding, transpose_b=True) + squares[None, :]
    # The gradient of a square root at 0 is infinite: keep distances just above it.
    distances = tf.sqrt(tf.maximum(squared, 1e-12))
    same = labels[:, None] == labels[None, :]
    positive = same & ~tf.eye(tf.shape(labels)[0], dtype=tf.bool)
    farthest = tf.reduce_max(tf.where(positive, distances, -1.0), axis=1)
    nearest = tf.reduce_min(tf.where(same, distances.dtype.max, distances), axis=1)
    valid = tf.reduce_any(positive, axis=1) & tf.reduce_any(~same, axis=1)
    hinge = tf.where(valid, tf.maximum(margin + farthest - nearest, 0.0), 0.0)
    return tf.reduce_mean(hinge)


def soft_cross_entropy(logits: tf.Tensor, teacher_logits: tf.Tensor, temperature: float = 1.0) -> tf.Tensor:
    """Cross-entropy of a student's logits with the teacher's softmax, both (batch, classes).

    Scaled by temperature squared, so that its gradients keep their size (Hinton et al. 2015,
    https://arxiv.org/abs/1503.02531).
    """
    target = tf.nn.softmax(teacher_logits / temperature)
    losses = tf.nn.softmax_cross_entropy_with_logits(target, logits / temperature)
    return tf.reduce_mean(losses) * temperature**2
