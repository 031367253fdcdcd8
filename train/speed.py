"""How fast a training step is: bare, with the whole input pipeline, and with a teacher live or cached."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from edgeface.data.layouts import default_face_input, load_dataset
from edgeface.face_input import FaceInput
from edgeface.models import build_network, load_model
from edgeface.recipe import Recipe, Stage
from edgeface.run import Run
from edgeface.train.batches import Images, epoch_order, generator_for, grouping, training_batches, view_table
from edgeface.train.outputs import BATCH, make_predictor
from edgeface.train.session import check_size, check_width, load_split, open_teacher, precision_of
from edgeface.train.step import Learner, make_step

SEED = tf.constant([0, 0])
FORWARD_BATCHES = 3
WARM_UP = 5
"""Steps a round that are not timed. Coming back from another network, oneDNN builds its kernels anew, and a pipeline
has to start; neither is part of a step in training, where one network runs for an epoch."""


def measure_speed(
    data: Path, recipe: Recipe, width: float | None, teacher: Path | None, *, steps: int = 30, rounds: int = 3
) -> dict[str, Any]:
    """Images a second of the recipe's last stage with epochs, medians over interleaved rounds of `steps` timed steps.

    `bare` repeats one batch that lies in memory; `pipeline` reads, augments and prefetches new ones. With a teacher
    there are `cached_teacher` and `live_teacher` too. Ratios: `pipeline_share` and `cached_over_live`.
    """
    if width is None:
        check_size(recipe.size)
    else:
        check_width(width)
    dataset = load_dataset(data)
    face_input = default_face_input(dataset, recipe.size)
    run = open_teacher(teacher, dataset, face_input) if teacher else None
    images = load_split(dataset, "train", face_input)
    stage = [stage for stage in recipe.stages if stage.epochs][-1]
    build: dict[str, Any] = {"classes": len(dataset.identities), "size": recipe.size}
    network = "inception_resnet_v1" if width is None else "squeezenext_23v5"
    build |= {} if width is None else {"width": width}
    order = _order(images, recipe, stage, WARM_UP + steps)
    table = view_table(len(images), recipe.augmentation, stage, 0, 0)
    with precision_of(recipe):
        learner = Learner(build_network(network, build), recipe)
    step = make_step(learner, stage, tf.distribute.get_strategy())
    first = next(iter(training_batches(images, face_input, stage, order, table)))
    ways: dict[str, Callable[[], Iterable[dict[str, tf.Tensor]]]] = {
        "bare": lambda: [first] * (WARM_UP + steps),
        "pipeline": lambda: training_batches(images, face_input, stage, order, table),
    }
    stepping = {"bare": step, "pipeline": step}
    if run is not None:
        _add_teacher(run, recipe, stage, network, build, images, face_input, order, table, ways, stepping)
    rates: dict[str, list[float]] = {name: [] for name in ways}
    for name, batches in ways.items():
        stepping[name](next(iter(batches())), SEED)
    for _ in range(rounds):
        for name, batches in ways.items():
            rates[name].append(_images_per_second(stepping[name], batches(), recipe.batch_size))
    medians = {name: statistics.median(values) for name, values in rates.items()}
    result: dict[str, Any] = {"images_per_second": medians, "rounds": rates, "batch_size": recipe.batch_size}
    result["pipeline_share"] = medians["pipeline"] / medians["bare"]
    if teacher is not None:
        result["cached_over_live"] = medians["cached_teacher"] / medians["live_teacher"]
    return result


def _add_teacher(
    run: Run, recipe: Recipe, stage: Stage, network: str, build: dict, images: Images, face_input: FaceInput,
    order: np.ndarray, table: np.ndarray, ways: dict, stepping: dict,
) -> None:  # fmt: skip
    model = load_model(run)
    sizes = {name: model.output[name].shape[-1] for name in ("embedding", "logits")}
    outputs = tuple(np.zeros((len(images), size), np.float16) for size in sizes.values())
    ways["cached_teacher"] = lambda: training_batches(images, face_input, stage, order, table, outputs)
    ways["live_teacher"] = ways["pipeline"]
    for name, live in (("cached_teacher", None), ("live_teacher", model)):
        with precision_of(recipe):
            learner = Learner(build_network(network, build), recipe, teacher=live, teacher_size=sizes["embedding"])
        stepping[name] = make_step(learner, stage, tf.distribute.get_strategy())


def _order(images: Images, recipe: Recipe, stage: Stage, steps: int) -> np.ndarray:
    order = epoch_order(images.labels, recipe.batch_size, generator=generator_for(0), **grouping(recipe, stage))
    return np.resize(order, (steps, recipe.batch_size))


def _images_per_second(step: Callable, batches: Iterable[dict[str, tf.Tensor]], batch_size: int) -> float:
    started, count = 0.0, 0
    for number, batch in enumerate(batches):
        if number == WARM_UP:
            started = time.perf_counter()
        float(step(batch, SEED)["loss"])
        count += number >= WARM_UP
    return count * batch_size / (time.perf_counter() - started)


def forward_speed(data: Path, size: int) -> float:
    """Images a second of the teacher's forward pass over the training images: the cost of storing its outputs."""
    dataset = load_dataset(data)
    images = load_split(dataset, "train", default_face_input(dataset, size))
    predictor = make_predictor(build_network("inception_resnet_v1", {"classes": len(dataset.identities), "size": size}))
    batch = tf.constant(np.resize(images.images[:BATCH], (BATCH, size, size, 3)), tf.float32) / 127.5 - 1
    predictor(batch)
    started = time.perf_counter()
    for _ in range(FORWARD_BATCHES):
        predictor(batch)["logits"].numpy()
    return FORWARD_BATCHES * BATCH / (time.perf_counter() - started)
