"""Quantization-aware fine-tuning: the network learns to live with int8, from the labels and from the teacher."""

from __future__ import annotations

import contextlib
import functools
import math
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import tensorflow as tf
import tf_keras

from edgeface.compress.qat_model import set_input_range, set_kernel_ranges
from edgeface.errors import RunError, UsageError
from edgeface.face_input import FaceInput
from edgeface.metrics import top_k
from edgeface.recipe import Recipe, Stage
from edgeface.train.batches import (
    Images,
    epoch_order,
    generator_for,
    steps_per_epoch,
    training_batches,
    view_table,
)
from edgeface.train.distillation import DistillationHead, distillation_losses
from edgeface.train.graph_passes import without_graph_passes
from edgeface.train.losses import cross_entropy, soft_cross_entropy
from edgeface.train.optimizer import fused_adam
from edgeface.train.outputs import make_predictor, outputs_over
from edgeface.train.progress import Bar
from edgeface.train.teacher_cache import TeacherCache

_KEY = 4
"""Sets this room's random numbers apart from those of the training stages 0, 1 and 2."""
_RANGE_STEPS = 10
"""Frozen epochs: steps after which the kernels' ranges are set anew, so that no growing weight is clipped for long."""


@dataclass(frozen=True)
class Plan:
    """How long and how gently. The rate falls to 0 along a cosine.

    In the last `frozen_share` of the epochs the network trains as it will run: BatchNorm with its averages, ranges of
    activations fixed, no dropout. Batch statistics would keep moving what the quantizer sees (Krishnamoorthi 2018).
    """

    epochs: int = 5
    learning_rate: float = 2e-5
    frozen_share: float = 0.4

    def check(self) -> None:
        """Raise UsageError for values that cannot be."""
        if self.epochs < 1:
            raise UsageError(f"--epochs {self.epochs}: give at least 1; --mode int8 quantizes without training")
        if not 0 <= self.frozen_share <= 1:
            raise UsageError(f"--frozen {self.frozen_share}: give the share of the epochs, 0 to 1")
        if not 0 < self.learning_rate < 1:
            raise UsageError(f"--learning-rate {self.learning_rate}: give a small number above 0, such as 2e-5")

    @property
    def frozen_from(self) -> int:
        """The first epoch (from 0) with everything frozen but the weights."""
        return self.epochs - round(self.epochs * self.frozen_share)


@dataclass(frozen=True)
class Lesson:
    """What is taught: the images with labels, how the run's recipe changes them, and the teachers, if any."""

    train: Images
    validation: Images
    face_input: FaceInput
    recipe: Recipe
    seed: int = 0
    teacher: TeacherCache | None = None
    head: DistillationHead | None = None
    own: tf_keras.Model | None = None
    """The float network that the quantized one was made from, when it teaches, too."""

    @property
    def stage(self) -> Stage:
        """The last stage that the network was trained with, whose augmentation goes on; of a run that is the weights of
        a bundle, the last that its recipe describes."""
        trained = [stage for stage in self.recipe.stages if stage.epochs]
        return (trained or [stage for stage in self.recipe.stages if stage != Stage()] or [Stage()])[-1]

    def prepare(self, epochs: int) -> None:
        """Have the teacher's answers of so many epochs made, so that the time is spent (and shown) before training."""
        if self.teacher is not None:
            stage = replace(self.stage, epochs=epochs)
            self.teacher.prepare((stage,), self.recipe.distillation.views or epochs)

    @property
    def groups(self) -> tuple[int, int]:
        """(images a batch, how many of them are of one identity): as training groups them, but for the triplet loss."""
        size = min(self.recipe.batch_size, len(self.train))
        together = min(self.recipe.images_per_identity, size) if self.recipe.balanced_batches else 1
        return size - size % together, together

    def batches(self, epoch: int) -> tf.data.Dataset:
        """The augmented batches of an epoch; with a teacher, its answers are in them."""
        generator = generator_for(self.seed, _KEY, epoch)
        order = epoch_order(self.train.labels, *self.groups, generator, balanced=self.recipe.balanced_batches)
        if self.teacher is None:
            table = view_table(len(self.train), self.recipe.augmentation, self.stage, self.seed, 1000 * _KEY + epoch)
            return training_batches(self.train, self.face_input, self.stage, order, table)
        view = epoch % self.recipe.distillation.views if self.recipe.distillation.views else epoch
        table = view_table(len(self.train), self.recipe.augmentation, self.stage, 0, view)
        return training_batches(self.train, self.face_input, self.stage, order, table, self.teacher(self.stage, view))

    @property
    def steps(self) -> int:
        """Steps in an epoch."""
        return steps_per_epoch(len(self.train), self.groups[0])


def fine_tune(quantized: tf_keras.Model, lesson: Lesson, plan: Plan, *, quiet: bool = False) -> list[dict[str, Any]]:
    """Train a fake-quantized network in place; it ends with the weights that validated best.

    The untrained state competes too, so that training never makes it worse on the validation images. Returns a row an
    epoch (0 is the untrained state): `val_accuracy` of the simulated int8 network, the mean of each loss, `frozen`.
    Raises RunError when a loss is not finite. There is no going on after Ctrl-C, which it says then: TensorFlow's
    dropout keeps a state that no checkpoint holds, so that the result would be another.
    """
    plan.check()
    lesson.prepare(plan.epochs)
    head_weights = lesson.head.trainable_weights if lesson.head else []
    weights = quantized.trainable_weights + head_weights
    optimizer = fused_adam(weights, plan.learning_rate)
    steps = {frozen: _make_step(quantized, lesson, optimizer, weights, not frozen) for frozen in (False, True)}
    predictor = make_predictor(quantized)
    best, kept, rows = -1.0, quantized.get_weights(), []
    with _nothing_kept(), Bar(plan.epochs * lesson.steps, quiet=quiet) as bar:
        for epoch in range(plan.epochs + 1):
            losses = {}
            frozen = epoch > plan.frozen_from
            if epoch:
                after = functools.partial(set_kernel_ranges, quantized) if frozen else None
                losses = _epoch(lesson, plan, epoch - 1, steps[frozen], optimizer, bar, after)
                set_kernel_ranges(quantized)
                set_input_range(quantized, lesson.face_input.value_range)
            logits = outputs_over(predictor, lesson.validation, lesson.face_input)["logits"]
            accuracy = top_k(logits, lesson.validation.labels)
            rows.append({"epoch": epoch, "frozen": frozen, "val_accuracy": accuracy, **losses})
            mark = ""
            if accuracy >= best:
                best, kept, mark = accuracy, quantized.get_weights(), " (best)"
            named = " ".join(f"{name} {value:.3f}" for name, value in losses.items())
            bar.say(f"qat epoch {epoch}/{plan.epochs}  {named}  val {100 * accuracy:.2f} %{mark}")
    quantized.set_weights(kept)
    return rows


@contextlib.contextmanager
def _nothing_kept() -> Iterator[None]:
    """Say on Ctrl-C that there is nothing to go on from, as there is after the other trainings."""
    try:
        yield
    except KeyboardInterrupt:
        sys.stderr.write("nothing of this training for int8 is kept; the same command begins it anew\n")
        raise


def kept_epoch(rows: list[dict[str, Any]]) -> int:
    """The epoch whose weights `fine_tune` kept, by the rows it returned; 0 is the state before any training."""
    return max(rows, key=lambda row: (row["val_accuracy"], row["epoch"]))["epoch"]


def training_warnings(plan: Plan, rows: list[dict[str, Any]]) -> tuple[str, ...]:
    """Sentences about training that froze nothing though it was asked to, or that gave nothing, so that nobody takes
    calibration alone for it. `rows` are those of `fine_tune`, empty without training."""
    if not rows:
        return ()
    said = []
    if plan.frozen_share and plan.frozen_from == plan.epochs:
        share = f"--frozen {plan.frozen_share:g} of --epochs {plan.epochs}"
        said.append(f"{share} rounds to no epoch at all: BatchNorm was never fixed; give more of either")
    if not kept_epoch(rows):
        best = max(row["val_accuracy"] for row in rows[1:])
        said.append(
            f"none of the {len(rows) - 1} epochs of int8 training was better than the network before them "
            f"({100 * best:.2f} against {100 * rows[0]['val_accuracy']:.2f} %), which was kept"
        )
    return tuple(said)


def _epoch(
    lesson: Lesson,
    plan: Plan,
    epoch: int,
    step: Callable[[dict[str, tf.Tensor]], dict[str, tf.Tensor]],
    optimizer: Any,
    bar: Bar,
    set_ranges: Callable[[], None] | None,
) -> dict[str, float]:
    """One pass over the training images, with `set_ranges` every few steps. Returns the mean of every loss."""
    sums: dict[str, float] = {}
    for number, batch in enumerate(lesson.batches(epoch), 1):
        done = epoch * lesson.steps + number - 1
        share = done / (plan.epochs * lesson.steps)
        optimizer.learning_rate = plan.learning_rate * 0.5 * (1 + math.cos(math.pi * share))
        for name, value in step(batch).items():
            sums[name] = sums.get(name, 0.0) + float(value)
        if set_ranges is not None and number % _RANGE_STEPS == 0:
            set_ranges()
        if not math.isfinite(sums["loss"]):
            raise RunError(f"the loss is no longer finite in epoch {epoch + 1}; lower --learning-rate")
        named = " ".join(f"{name} {total / number:.3f}" for name, total in sums.items())
        bar.advance(f"qat epoch {epoch + 1}/{plan.epochs}  {named}")
    return {name: total / lesson.steps for name, total in sums.items()}


def _make_step(
    quantized: tf_keras.Model,
    lesson: Lesson,
    optimizer: Any,
    weights: list[tf.Variable],
    training: bool,
) -> Callable[[dict[str, tf.Tensor]], dict[str, tf.Tensor]]:
    """Compile a step. With `training` False BatchNorm, the ranges and dropout are as on the device."""

    @tf.function
    def step(batch: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        with tf.GradientTape() as tape:
            outputs = quantized(batch["image"], training=training)
            own = cross_entropy(outputs["logits"], batch["label"], lesson.recipe.label_smoothing)
            terms = {"cross_entropy": tf.reduce_mean(own)}
            if lesson.head is not None:
                teacher = {"embedding": batch["teacher_embedding"], "logits": batch["teacher_logits"]}
                terms |= distillation_losses(lesson.recipe.distillation, lesson.head, outputs, teacher)
            if lesson.own is not None:
                with tape.stop_recording():
                    own_outputs = lesson.own(batch["image"], training=False)
                terms |= _own_losses(outputs, own_outputs, lesson.recipe)
            total = tf.add_n(list(terms.values()))
        gradients = tape.gradient(total, weights, unconnected_gradients=tf.UnconnectedGradients.ZERO)
        optimizer.apply_gradients(zip(gradients, weights, strict=True))
        return {"loss": total, **terms}

    return without_graph_passes(step)


def _own_losses(outputs: dict[str, tf.Tensor], own: dict[str, tf.Tensor], recipe: Recipe) -> dict[str, tf.Tensor]:
    """How far the quantized network is from its float self, with the weights of the recipe's distillation.

    Both have the same pre-logits, so no projection is needed; their squared error is taken relative to the float
    network's squares, because nothing fixes the scale of pre-logits.
    """
    config = recipe.distillation
    error = tf.reduce_mean(tf.square(outputs["embedding"] - own["embedding"]))
    relative = error / (tf.reduce_mean(tf.square(own["embedding"])) + 1e-12)
    labels = soft_cross_entropy(outputs["logits"], own["logits"], config.temperature)
    return {"own_embedding": config.embedding * relative, "own_labels": config.soft_labels * labels}
