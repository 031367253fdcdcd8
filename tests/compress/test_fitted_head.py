"""The layers that only training has, fitted to a trained network before its teacher teaches it on."""

from __future__ import annotations

import numpy as np
import pytest

from edgeface.compress.goal import Goal
from edgeface.recipe import load_recipe
from edgeface.run import open_run
from edgeface.tensorflow_setup import quiet_tensorflow

quiet_tensorflow()

from edgeface.compress.prune import Request as PruneRequest
from edgeface.compress.prune import prune
from edgeface.models import load_model
from edgeface.recipe import Stage
from edgeface.train import session
from edgeface.train.distillation import fitted_head
from edgeface.train.recipes import recipe_path
from edgeface.train.session import Request, train
from edgeface.train.teacher_cache import TeacherCache
from edgeface.train.warm_start import warm_start

VIEWS = {"live": 0, "stored": 1}


class Begun(Exception):
    """Training is about to take its first step."""


@pytest.fixture
def learner_at_step_0(monkeypatch):
    """Call with a function that trains: the learner as the first step would find it."""

    def begin(run):
        jobs = []

        def stop(job, *, resume):
            jobs.append(job)
            raise Begun

        monkeypatch.setattr(session, "fit", stop)
        with pytest.raises(Begun):
            run()
        return jobs[0].learner

    return begin


def recipe_of(run, *overrides):
    short = ["stage1.epochs=1", "warmup_steps=0", *overrides]
    return load_recipe(recipe_path("prune")[0], "student", short, load_recipe(run / "recipe.toml", "student"))


def knows_the_teacher(learner, teacher, images, face_input):
    """Whether the heads say what the teacher says, far better than its mean does, from what the student says."""
    batch = face_input.normalise(images.images)
    ours, theirs = (model(batch, training=False) for model in (learner.model, teacher))
    projected, logits = learner.distillation_head(ours["embedding"])
    error = np.mean(np.square(projected - theirs["embedding"]))
    agree = np.mean(np.argmax(logits, axis=1) == np.argmax(theirs["logits"], axis=1))
    return bool(error < 0.8 * np.mean(np.var(theirs["embedding"], axis=0)) and agree > 0.5)


@pytest.fixture
def known(teacher_run, splits):
    """Call with a learner: whether its heads are fitted to its network."""
    run = open_run(teacher_run)
    teacher = load_model(run)
    return lambda learner: knows_the_teacher(learner, teacher, splits[0], run.face_input)


@pytest.mark.parametrize("views", VIEWS.values(), ids=VIEWS)
def test_going_on_begins_with_fitted_heads(student_run, teacher_run, faces, tmp_path, learner_at_step_0, known, views):
    recipe = recipe_of(student_run, f"distillation.views={views}")
    start = warm_start(student_run, faces, teacher=False)
    request = Request(faces, tmp_path / "on", recipe, "prune", teacher=teacher_run, quiet=True, start=start)
    assert known(learner_at_step_0(lambda: train(request)))


def test_a_student_from_nothing_begins_with_random_heads(
    student_run, teacher_run, faces, tmp_path, learner_at_step_0, known
):
    recipe = recipe_of(student_run, "distillation.views=0")
    request = Request(faces, tmp_path / "new", recipe, "prune", width=0.5, teacher=teacher_run, quiet=True)
    assert not known(learner_at_step_0(lambda: train(request)))


def test_pruning_begins_with_fitted_heads(student_run, teacher_run, tmp_path, learner_at_step_0, known):
    recipe = recipe_of(student_run, "distillation.views=1")
    options = {"goal": Goal("macs", 0.6), "rounds": 1, "align": 4, "quiet": True}
    request = PruneRequest(student_run, tmp_path / "small", recipe, "prune", teacher=teacher_run, **options)
    assert known(learner_at_step_0(lambda: prune(request)))


@pytest.mark.slow
def test_a_live_teacher_gives_the_same_head(student, student_run, teacher_run, splits):
    run, recipe, stage = open_run(teacher_run), recipe_of(student_run), Stage(epochs=1, basic_augmentation=True)
    teacher = load_model(run)
    cache = TeacherCache(run, teacher, splits[0], recipe.augmentation, quiet=True)
    live, stored = (fitted_head(student, cache, stage, stored=stored) for stored in (False, True))
    for ours, theirs in zip(live.get_weights(), stored.get_weights(), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=0.02)  # what is stored is float16
