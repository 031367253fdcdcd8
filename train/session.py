"""`edgeface train`: from a dataset and a recipe to a run on disk."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras

from edgeface.data.cache import cached_images
from edgeface.data.layouts import FaceDataset, default_face_input, load_dataset
from edgeface.errors import DataError, RunError, UsageError
from edgeface.face_input import FaceInput
from edgeface.files import check_writable, locked, text_sha256, write_json, write_text
from edgeface.models import build_network, load_model
from edgeface.models.inception_resnet import SMALLEST_SIZE
from edgeface.recipe import Recipe, to_toml
from edgeface.run import Run, can_resume, open_run
from edgeface.train.averaging import restart_averages
from edgeface.train.batches import Images, steps_per_epoch
from edgeface.train.checkpoint import Place
from edgeface.train.distillation import fitted_head
from edgeface.train.resuming import resumed_info
from edgeface.train.run_info import describe_run
from edgeface.train.schedule import batch_norm_momentum, warn_of_warmup
from edgeface.train.start import Start
from edgeface.train.step import Learner
from edgeface.train.strategies import is_chief, make_strategy
from edgeface.train.teacher_cache import TeacherCache
from edgeface.train.trainer import Job, fit

STUDENTS = ("squeezenext_23v5", "mobilefacenet", "mobilefacenet_prelu")


@dataclass(frozen=True)
class Request:
    """What the user asked for: a student by `network`, SqueezeNext by its `width` alone, or with neither the teacher.
    With `start` training goes on from a network there is."""

    data: Path
    out: Path
    recipe: Recipe
    recipe_name: str
    network: str | None = None
    width: float | None = None
    teacher: Path | None = None
    seed: int = 0
    strategy: str = "auto"
    resume: bool = False
    strict: bool = False
    quiet: bool = False
    start: Start | None = None


@dataclass(frozen=True)
class Outcome:
    """What training gave: the run's folder, whether it was interrupted, and the figures of the best weights."""

    run: Path
    stopped: bool
    figures: dict[str, Any]


def train(request: Request) -> Outcome:
    """Train (or resume) one network. Raises DataError, RecipeError, RunError or StorageError; see their messages."""
    _check_folder(request)
    # Each of several workers is given the same folder, and the chief writes.
    held = contextlib.nullcontext() if request.strategy == "multiworker" else locked(request.out, "edgeface train")
    with held:
        return _train(request)


def _train(request: Request) -> Outcome:
    dataset = load_dataset(request.data)
    if len(dataset.identities) < 2:
        raise DataError(f"{dataset.root}: holds photos of one person only; training needs a second to tell it from")
    face_input = default_face_input(dataset, request.recipe.size)
    if request.start:
        request.start.check(request.recipe, face_input)
    teacher = open_teacher(request.teacher, dataset, face_input) if request.teacher else None
    train_images = load_split(dataset, "train", face_input, strict=request.strict)
    validation = load_split(dataset, "val", face_input, strict=request.strict)
    tf_keras.utils.set_random_seed(request.seed)
    strategy = make_strategy(request.strategy)
    _check_replicas(request.recipe, strategy)
    per_epoch = steps_per_epoch(len(train_images), request.recipe.batch_size)
    network, build = _network(request, len(dataset.identities), per_epoch)
    if not request.resume:
        warn_of_warmup(request.recipe, per_epoch)
    info = describe_run(request, dataset, train_images, face_input, (network, build), teacher)
    if request.resume:
        info = resumed_info(request.out, info, pruned=request.start is not None)
        build = info["build"]
    if not request.quiet and is_chief(strategy):
        sys.stderr.write(
            f"{network}: {len(train_images)} images of {len(dataset.identities)} people, {len(validation)} for val; "
            f"{request.recipe.epochs} epochs of {per_epoch} steps\n"
        )
    learner, views = _learner(request, strategy, (network, build), teacher, train_images)
    after_step = request.start.begin(learner) if request.start else None
    if request.start and teacher and not request.resume:
        asked = views or TeacherCache(teacher, learner.teacher, train_images, request.recipe.augmentation)
        _fit_head(learner, asked, stored=views is not None)
    restart_averages(learner.averages, learner.model.weights)

    def save_info(figures: dict[str, Any], weights_sha256: str) -> None:
        write_json(request.out / "run.json", {**info, "figures": figures, "weights_sha256": weights_sha256})

    if is_chief(strategy) and not request.resume:
        write_text(request.out / "recipe.toml", to_toml(request.recipe))
        write_text(request.out / "identities.txt", "".join(f"{name}\n" for name in dataset.identities))
        info["files"] = {name: text_sha256(request.out / name) for name in ("recipe.toml", "identities.txt")}
        save_info({}, "")
    job = Job(
        request.out, learner, request.recipe, request.seed, strategy, face_input, train_images, validation, save_info,
        views, request.quiet, after_step,
    )  # fmt: skip
    place = fit(job, resume=request.resume)
    return Outcome(request.out, job.stopped, _finish(request, job, place))


def _learner(
    request: Request,
    strategy: tf.distribute.Strategy,
    network: tuple[str, dict[str, Any]],
    teacher: Run | None,
    images: Images,
) -> tuple[Learner, TeacherCache | None]:
    """The network in training, and the stored outputs of its teacher unless that runs live."""
    recipe = request.recipe
    teacher_model = load_model(teacher) if teacher else None
    live = teacher_model if recipe.distillation.views == 0 else None
    size = teacher_model.output["embedding"].shape[-1] if teacher_model else None
    with strategy.scope(), precision_of(recipe):
        learner = Learner(build_network(*network), recipe, teacher=live, teacher_size=size)
    if teacher is None or live is not None:
        return learner, None
    views = TeacherCache(teacher, teacher_model, images, recipe.augmentation, quiet=request.quiet)
    views.prepare(recipe.stages, recipe.distillation.views)
    return learner, views


def _fit_head(learner: Learner, views: TeacherCache, *, stored: bool) -> None:
    """Fit the teacher's lessons to the trained network that the learner begins with, for its first stage."""
    stages = [stage for stage in learner.recipe.stages if stage.epochs]
    if learner.distillation_head is not None and stages:
        learner.distillation_head.set_weights(fitted_head(learner.model, views, stages[0], stored=stored).get_weights())


@contextlib.contextmanager
def precision_of(recipe: Recipe) -> Iterator[None]:
    """Networks built and completed within compute in the recipe's precision; their variables are float32."""
    tf_keras.mixed_precision.set_global_policy("mixed_bfloat16" if recipe.precision == "bf16" else "float32")
    try:
        yield
    finally:
        tf_keras.mixed_precision.set_global_policy("float32")


def load_split(dataset: FaceDataset, split: str, face_input: FaceInput, *, strict: bool = False) -> Images:
    """A labelled split as cached uint8 images. Raises DataError when the dataset has no such split."""
    images, labels, _ = cached_images(dataset, split, face_input, strict=strict)
    if len(labels) == 0 or (np.asarray(labels) < 0).any():
        raise DataError(f"{dataset.root}: the '{split}' split has no labels to learn or score from")
    return Images(images, np.asarray(labels))


def _check_folder(request: Request) -> None:
    """A folder without weights and checkpoints holds no run yet: one killed before its first was saved begins anew."""
    out = request.out
    if out.exists() and not out.is_dir():
        raise UsageError(f"{out}: is a file; choose a folder with --out")
    started = can_resume(out)
    if request.resume and not started:
        raise RunError(f"{out}: nothing to resume; start it without --resume")
    if not request.resume and started:
        raise RunError(f"{out}: holds a run already; go on with --resume, or choose another --out")
    if not request.resume and (out / "weights.h5").exists():
        raise RunError(
            f"{out}: holds weights, but no checkpoint to go on from; choose another --out, or remove the folder"
        )
    check_writable(out)


def open_teacher(path: Path, dataset: FaceDataset, face_input: FaceInput) -> Run:
    """Open a teacher's run. Raises RunError unless it knows the dataset's people and sees the student's images."""
    teacher = open_run(path)
    if teacher.identities != dataset.identities:
        raise RunError(f"{teacher.path}: was trained on other identities than {dataset.root}; train a teacher on it")
    if teacher.face_input.size == face_input.size and teacher.face_input != face_input:
        raise RunError(
            f"{teacher.path}: crops its photos in another way than {dataset.root} is; train a teacher on this dataset"
        )
    if teacher.face_input != face_input:
        raise RunError(
            f"{teacher.path}: sees {teacher.face_input.size} px, the student's recipe {face_input.size} px; both must "
            f"get the same image: --set size={teacher.face_input.size}"
        )
    return teacher


def _network(request: Request, classes: int, per_epoch: int) -> tuple[str, dict[str, Any]]:
    recipe = request.recipe
    build: dict[str, Any] = {
        "classes": classes,
        "size": recipe.size,
        "dropout": recipe.dropout,
        "batch_norm_momentum": batch_norm_momentum(recipe, per_epoch),
    }
    if request.start:
        if request.start.network == "inception_resnet_v1":
            check_size(recipe.size)
        return request.start.network, {**build, **request.start.shape}
    if request.network is None and request.width is None:
        check_size(recipe.size)
        return "inception_resnet_v1", build
    network = request.network or STUDENTS[0]
    if network not in STUDENTS:
        raise UsageError(f"--network {network}: choose one of {', '.join(STUDENTS)}")
    if network != STUDENTS[0]:
        if request.width is not None:
            raise UsageError(f"--width {request.width:g}: {network} has one width; leave --width out")
        return network, build
    width = 1.0 if request.width is None else request.width
    if not request.resume:  # a student that began with a narrow bundle has the width of that
        check_width(width)
    return network, {**build, "width": width}


def check_size(size: int) -> None:
    """Raise UsageError for images that are too small for the teacher network."""
    if size < SMALLEST_SIZE:
        raise UsageError(f"the teacher needs images of {SMALLEST_SIZE} px or more: --set size={SMALLEST_SIZE}")


def check_width(width: float) -> None:
    """Raise UsageError for a width that leaves a SqueezeNext without channels or makes it larger than its teacher."""
    if not 0.125 <= width <= 8:
        raise UsageError(f"--width {width:g}: must lie within 0.125..8; 1.0 and 2.0 are the published students")


def _check_replicas(recipe: Recipe, strategy: tf.distribute.Strategy) -> None:
    replicas = strategy.num_replicas_in_sync
    if recipe.batch_size % (replicas * recipe.images_per_identity):
        raise UsageError(
            f"batch_size {recipe.batch_size} cannot be split over {replicas} replicas in groups of "
            f"{recipe.images_per_identity}; --set batch_size={replicas * recipe.images_per_identity * 8}"
        )
    triplets = any(stage.triplet and stage.epochs for stage in recipe.stages)
    if triplets and recipe.batch_size // replicas < 2 * recipe.images_per_identity:
        raise UsageError(
            f"batch_size {recipe.batch_size} leaves each of {replicas} replicas one identity, triplets need two; "
            f"--set batch_size={2 * replicas * recipe.images_per_identity}"
        )


def _finish(request: Request, job: Job, place: Place) -> dict[str, Any]:
    if not (request.out / "weights.h5").exists():
        return {}
    run = open_run(request.out)
    figures = {**run.figures, "seconds": round(place.seconds, 1), "finished": not job.stopped}
    if is_chief(job.strategy):
        job.save_info(figures, run.info["weights_sha256"])
    return figures
