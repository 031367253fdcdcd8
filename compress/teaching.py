"""Who teaches a network that learns to live with int8 or without some channels: a teacher's run, its own float self."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import tf_keras

from edgeface.compress.qat import Lesson
from edgeface.errors import RunError
from edgeface.models import load_model
from edgeface.recipe import load_recipe
from edgeface.run import Run, open_run
from edgeface.train.batches import Images
from edgeface.train.distillation import fitted_head
from edgeface.train.teacher_cache import TeacherCache


def lesson(
    run: Run,
    model: tf_keras.Model,
    train: Images,
    validation: Images,
    *,
    teacher: Path | None,
    self_distill: bool = False,
    seed: int = 0,
    quiet: bool = False,
) -> Lesson:
    """The lesson for a run's network. Raises RunError for a teacher of other people or of other images."""
    recipe = load_recipe(run.recipe, "student", trains=False)
    own = model if self_distill else None
    alone = Lesson(train, validation, run.face_input, recipe, seed, own=own)
    if teacher is None:
        return alone
    taught_by = open_teacher(teacher, run)
    cache = TeacherCache(taught_by, load_model(taught_by), train, recipe.augmentation, quiet=quiet)
    head = fitted_head(model, cache, alone.stage)
    return replace(alone, teacher=cache, head=head)


def open_teacher(path: Path, run: Run) -> Run:
    """Open the teacher of a run. Raises RunError when it knows other people or takes other images."""
    taught_by = open_run(path)
    if taught_by.identities != run.identities:
        raise RunError(
            f"{taught_by.path}: knows other identities than {run.path}; give the teacher it was trained with"
        )
    if taught_by.face_input != run.face_input:
        raise RunError(f"{taught_by.path}: takes other images than {run.path}; both must have the same input contract")
    return taught_by
