"""Teacher-student training (Hinton et al. 2015): the projection heads and the loss, shared with `edgeface.compress`."""

from __future__ import annotations

import numpy as np
import tensorflow as tf
import tf_keras

from edgeface.recipe import Distillation, Stage
from edgeface.train.batches import view_table
from edgeface.train.losses import soft_cross_entropy
from edgeface.train.outputs import make_predictor
from edgeface.train.teacher_cache import TeacherCache, augmented

_HEAD_BATCH, _HEAD_BATCHES = 64, 32


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


def fitted_head(model: tf_keras.Model, views: TeacherCache, stage: Stage, *, stored: bool = True) -> DistillationHead:
    """The two training-only layers, fitted to a trained student so that their errors say something from step 1. The
    teacher's answers for the images of `views` are those stored, or, with `stored` False, asked for.

    The projection is the ridge regression from the student's pre-logits to the teacher's on part of the first view of
    the training images; the logits over it are the teacher's own last layer. Random ones, as training from nothing
    starts with, would push a trained network around while they learn.
    """
    table = view_table(len(views.data), views.config, stage, 0, 0)
    answers = views(stage, 0)[0] if stored else None
    predictor = make_predictor(model)
    parts = -(-len(views.data) // _HEAD_BATCH)
    ours, theirs = [], []
    for start in range(min(parts, _HEAD_BATCHES)):
        part = slice(start, None, parts)
        images = augmented(views.data, table, stage, views.run.face_input, part)
        ours.append(predictor(images)["embedding"].numpy())
        theirs.append(
            np.asarray(views.predictor(images)["embedding"] if answers is None else answers[part], np.float32)
        )
    kernel, bias = _ridge(np.concatenate(ours), np.concatenate(theirs))
    head = DistillationHead(kernel.shape[1], model.output["logits"].shape[-1])
    head(tf.zeros((1, kernel.shape[0])))
    head.projection.set_weights([kernel, bias])
    head.logits.set_weights(views.model.get_layer("logits").get_weights())
    return head


def _ridge(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Kernel (X, Y) and bias (Y,) of y = x @ kernel + bias, regularised."""
    x_mean, y_mean = x.mean(axis=0), y.mean(axis=0)
    x, y = x - x_mean, y - y_mean
    square = x.T @ x
    # The fewer images for its size, the stronger: enough to keep the fit from learning them by heart.
    square += (np.trace(square) / len(x) + 1e-6) * np.eye(len(square), dtype=square.dtype)
    kernel = np.linalg.solve(square, x.T @ y).astype(np.float32)
    return kernel, (y_mean - x_mean @ kernel).astype(np.float32)
