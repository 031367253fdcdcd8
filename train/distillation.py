"""Teacher-student training (Hinton et al. 2015): the projection heads and the loss, shared with quantization."""

from __future__ import annotations

import tensorflow as tf
import tf_keras

from edgeface.recipe import Distillation
from edgeface.train.losses import soft_cross_entropy


class DistillationHead(tf_keras.layers.Layer):
    """Two training-only dense layers: the student's pre-logits -> the teacher's size = s; s -> logits.

    Called with pre-logits (batch, student size); returns (s (batch, teacher size), s_logits (batch, classes)), all of
    them float32 under bf16, too.
    """

    def __init__(self, teacher_size: int, classes: int):
        super().__init__(name="distillation_head", dtype="float32")
        self.projection = tf_keras.layers.Dense(teacher_size, name="projection", dtype="float32")
        self.logits = tf_keras.layers.Dense(classes, name="projected_logits", dtype="float32")

    def call(self, embedding: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        projected = self.projection(embedding)
        return projected, self.logits(projected)


def distillation_losses(
    config: Distillation,
    head: DistillationHead,
    student: dict[str, tf.Tensor],
    teacher: dict[str, tf.Tensor],
) -> dict[str, tf.Tensor]:
    """The weighted teacher-student terms by name, float32 scalars; their sum is added to the label loss.

    MSE(s, teacher pre-logits) + soft-CE(s_logits, teacher) + 0.5 soft-CE(logits, teacher), with the weights
    of `config`. `student` and `teacher` hold `embedding` and `logits` of the same augmented images.
    """
    projected, projected_logits = head(student["embedding"])
    heat = config.temperature
    terms = {
        "teacher_embedding": (config.embedding, lambda: tf.reduce_mean(tf.square(projected - teacher["embedding"]))),
        "teacher_projected": (
            config.projected_soft_labels,
            lambda: soft_cross_entropy(projected_logits, teacher["logits"], heat),
        ),
        "teacher_labels": (config.soft_labels, lambda: soft_cross_entropy(student["logits"], teacher["logits"], heat)),
    }
    return {name: weight * loss() for name, (weight, loss) in terms.items() if weight}
