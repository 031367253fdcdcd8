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


def same_logits(learner, teacher):
    """Whether the layer over the projection is the teacher's own."""
    ours, theirs = learner.distillation_head.logits.get_weights(), teacher.get_layer("logits").get_weights()
    return all(np.array_equal(a, b) for a, b in zip(ours, theirs, strict=True))


@pytest.mark.parametrize("views", VIEWS.values(), ids=VIEWS)
def test_going_on_begins_with_fitted_heads(student_run, teacher_run, faces, tmp_path, learner_at_step_0, views):
    recipe = recipe_of(student_run, f"distillation.views={views}")
    start = warm_start(student_run, faces, teacher=False)
    request = Request(faces, tmp_path / "on", recipe, "prune", teacher=teacher_run, quiet=True, start=start)
    assert same_logits(learner_at_step_0(lambda: train(request)), load_model(open_run(teacher_run)))


def test_a_student_from_nothing_begins_with_random_heads(student_run, teacher_run, faces, tmp_path, learner_at_step_0):
    recipe = recipe_of(student_run, "distillation.views=0")
    request = Request(faces, tmp_path / "new", recipe, "prune", width=0.25, teacher=teacher_run, quiet=True)
    assert not same_logits(learner_at_step_0(lambda: train(request)), load_model(open_run(teacher_run)))


def test_pruning_begins_with_fitted_heads(student_run, teacher_run, tmp_path, learner_at_step_0):
    recipe = recipe_of(student_run, "distillation.views=1")
    options = {"goal": Goal("macs", 0.6), "rounds": 1, "align": 4, "quiet": True}
    request = PruneRequest(student_run, tmp_path / "small", recipe, "prune", teacher=teacher_run, **options)
    assert same_logits(learner_at_step_0(lambda: prune(request)), load_model(open_run(teacher_run)))


@pytest.mark.slow
def test_a_live_teacher_gives_the_same_head(student, student_run, teacher_run, splits):
    run, recipe, stage = open_run(teacher_run), recipe_of(student_run), Stage(epochs=1, basic_augmentation=True)
    teacher = load_model(run)
    cache = TeacherCache(run, teacher, splits[0], recipe.augmentation, quiet=True)
    live, stored = (
        fitted_head(student, teacher, splits[0], run.face_input, stage, recipe.augmentation, views)
        for views in (None, cache)
    )
    for ours, theirs in zip(live.get_weights(), stored.get_weights(), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=0.02)  # what is stored is float16
