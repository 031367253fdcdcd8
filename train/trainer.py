"""The training loop: stages, epochs, steps; validation, best weights, interruption and resumption."""

from __future__ import annotations

import contextlib
import math
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from edgeface.errors import RunError
from edgeface.face_input import FaceInput
from edgeface.files import atomic_path, sha256
from edgeface.metrics import top_k
from edgeface.models import save_weights
from edgeface.recipe import Recipe, Stage
from edgeface.train.averaging import deployed
from edgeface.train.batches import (
    Images,
    epoch_order,
    generator_for,
    grouping,
    steps_per_epoch,
    training_batches,
    view_table,
)
from edgeface.train.checkpoint import Checkpoints, MetricsLog, Place
from edgeface.train.optimizer import forget
from edgeface.train.outputs import make_predictor, outputs_over
from edgeface.train.progress import Bar
from edgeface.train.schedule import learning_rate
from edgeface.train.step import Learner, make_step
from edgeface.train.strategies import is_chief

TeacherViews = Callable[[Stage, int], "tuple[np.ndarray, np.ndarray]"]
ORDER = 2
"""Purpose of a random stream; `view_table` has 1. Not 0: NumPy ignores zeros at the end of a key."""
CHECKPOINT_SECONDS = 60.0
"""Saving takes seconds (a thousand small variables), so epochs that are shorter than this share a checkpoint."""


@dataclass
class Job:
    """All that `fit` needs. `teacher_views(stage, view)` gives a cached teacher's (embedding, logits); `after_step` is
    called when a step has changed the weights."""

    out: Path
    learner: Learner
    recipe: Recipe
    seed: int
    strategy: tf.distribute.Strategy
    face_input: FaceInput
    train: Images
    validation: Images
    save_info: Callable[[dict[str, Any], str], None]
    teacher_views: TeacherViews | None = None
    quiet: bool = False
    after_step: Callable[[], None] | None = None
    stopped: bool = field(default=False, init=False)


def fit(job: Job, *, resume: bool) -> Place:
    """Train until the recipe ends or the user interrupts (then `job.stopped` is set). Returns the place reached.

    Raises RunError when a loss stops being finite, StorageError when the disk is full.
    """
    checkpoints = Checkpoints(job.out, job.learner, is_chief(job.strategy))
    place = checkpoints.restore() if resume else Place()
    log = MetricsLog(job.out, place) if is_chief(job.strategy) else None
    per_epoch = steps_per_epoch(len(job.train), job.recipe.batch_size)
    done = sum(stage.epochs for stage in job.recipe.stages[: place.stage]) + place.epoch
    predictor = make_predictor(job.learner.model)
    total = per_epoch * job.recipe.epochs
    saved = -math.inf  # the first epoch's weights are never without a checkpoint to go on from
    with Bar(total, done=done * per_epoch + place.step, quiet=job.quiet) as bar, _one_interrupt(job, bar):
        while place.stage < len(job.recipe.stages) and not job.stopped:
            stage = job.recipe.stages[place.stage]
            if place.epoch == 0 and place.step == 0:
                forget(job.learner.optimizer)
            step = make_step(job.learner, stage, job.strategy)
            while place.epoch < stage.epochs and not job.stopped:
                started = time.monotonic()
                finished = _epoch(job, stage, step, place, per_epoch, bar)
                place.seconds += time.monotonic() - started
                if finished:
                    _end_epoch(job, predictor, place, per_epoch, log, bar)
                if job.stopped or time.monotonic() - saved > CHECKPOINT_SECONDS:
                    checkpoints.save(place)
                    saved = time.monotonic()
            if place.epoch >= stage.epochs:
                place.steps_before += stage.epochs * per_epoch
                place.stage, place.epoch = place.stage + 1, 0
        if not any(stage.epochs for stage in job.recipe.stages[place.stage :]):
            place.stage, job.stopped = len(job.recipe.stages), False  # Ctrl-C in the last step stopped nothing.
        if not job.recipe.epochs and not resume:  # what it began with is the run, and is fit to be used as it is
            _validate(job, predictor, place)
        checkpoints.save(place)
    return place


def _epoch(job: Job, stage: Stage, step: Callable, place: Place, per_epoch: int, bar: Bar) -> bool:
    """Train from `place` to the end of its epoch; False when interrupted before it."""
    recipe, learner = job.recipe, job.learner
    key = (job.seed, place.stage, place.epoch)
    random = generator_for(*key, ORDER)
    order = epoch_order(job.train.labels, recipe.batch_size, generator=random, **grouping(recipe, stage))
    teacher = None
    if job.teacher_views:
        view = place.epoch % recipe.distillation.views
        table = view_table(len(job.train), recipe.augmentation, stage, 0, view)
        teacher = job.teacher_views(stage, view)
    else:
        table = view_table(len(job.train), recipe.augmentation, stage, job.seed, 1000 * place.stage + place.epoch)
    batches = job.strategy.distribute_datasets_from_function(
        lambda context: training_batches(job.train, job.face_input, stage, order[place.step :], table, teacher, context)
    )
    started = first = None  # from the second step on: the first may compile the graph
    for batch in batches:
        at = place.epoch * per_epoch + place.step
        learner.optimizer.learning_rate = learning_rate(recipe, stage, at, stage.epochs * per_epoch, place.steps_before)
        moment = tf.constant([job.seed, place.steps_before + at])
        results = {name: float(value) for name, value in step(batch, moment).items()}
        if not math.isfinite(results["loss"]):
            raise RunError(
                f"{job.out}: the loss is {results['loss']} at stage {place.stage}, epoch {place.epoch}, step "
                f"{place.step}; lower it with --set stage{place.stage}.learning_rate={stage.learning_rate / 3:.1e}"
            )
        if job.after_step:
            job.after_step()
        place.step += 1
        for name, value in results.items():
            place.sums[name] = place.sums.get(name, 0.0) + value
        speed = ""
        if started is None or first is None:
            started, first = time.monotonic(), place.step
        else:
            rate = (place.step - first) * recipe.batch_size / (time.monotonic() - started)
            speed = f"  {rate:.0f} images/s"
        named = " ".join(f"{name} {total / place.step:.3f}" for name, total in place.sums.items())
        bar.advance(f"stage {place.stage} epoch {place.epoch + 1}/{stage.epochs}  {named}{speed}")
        if job.stopped and place.step < per_epoch:
            return False
    return True


def _end_epoch(job: Job, predictor: Callable, place: Place, per_epoch: int, log: MetricsLog | None, bar: Bar) -> None:
    """Validate, keep the weights when they are the best so far, log, and move the place to the next epoch."""
    with deployed(job.learner):
        accuracy, best = _validate(job, predictor, place)
    means = {name: total / place.step for name, total in place.sums.items()}
    row: dict[str, Any] = {
        "stage": place.stage,
        "epoch": place.epoch,
        "global_step": place.steps_before + (place.epoch + 1) * per_epoch,
        "learning_rate": float(job.learner.optimizer.learning_rate.numpy()),
        "val_accuracy": accuracy,
        **means,
        "seconds": round(place.seconds, 3),
    }
    if log:
        log.add(row)
    losses = " ".join(f"{name} {value:.3f}" for name, value in means.items())
    bar.say(
        f"stage {place.stage} epoch {place.epoch + 1}  {losses}  val {100 * accuracy:.2f} %{' (best)' if best else ''}"
    )
    place.epoch, place.step, place.sums = place.epoch + 1, 0, {}


def _validate(job: Job, predictor: Callable, place: Place) -> tuple[float, bool]:
    """The accuracy of the network as it is, and whether it is the best so far and was kept for it."""
    logits = outputs_over(predictor, job.validation, job.face_input)["logits"]
    accuracy = top_k(logits, job.validation.labels, 1)
    best = accuracy >= place.best_accuracy
    if best:
        _keep(job, place, accuracy)
    return accuracy, best


def _keep(job: Job, place: Place, accuracy: float) -> None:
    """Write the weights as they are now as the run's best. Every worker takes part in reading them, since BatchNorm's
    moving averages are means over all of them; the chief writes."""
    place.best_accuracy = accuracy
    if not is_chief(job.strategy):
        job.learner.model.get_weights()
        return
    with atomic_path(job.out / "weights.h5") as temporary:
        save_weights(job.learner.model, temporary)
    trained = {"stage": place.stage, "epoch": place.epoch} if job.recipe.epochs else {}
    figures = {"val_accuracy": accuracy, **trained, "validation_images": len(job.validation)}
    job.save_info(figures, sha256(job.out / "weights.h5"))


@contextlib.contextmanager
def _one_interrupt(job: Job, bar: Bar) -> Iterator[None]:
    """The first Ctrl-C (or SIGTERM) finishes the step and saves; a second one stops at once."""

    def stop(number: int, frame: Any) -> None:
        if job.stopped:
            raise KeyboardInterrupt
        job.stopped = True
        bar.say("stopping after this step; press Ctrl-C again to stop at once")

    previous = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
