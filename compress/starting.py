"""What a pruned network starts its fine-tuning with: its place in the chain, and heads that know the teacher."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import tf_keras

from edgeface.compress.chain import FIELDS, run_chain
from edgeface.compress.qat import Lesson, fitted_head
from edgeface.models import load_model
from edgeface.models.summary import multiply_adds, weight_bytes
from edgeface.recipe import Recipe
from edgeface.run import Run
from edgeface.train.step import Learner
from edgeface.train.teacher_cache import TeacherCache


def chain_of(first: Run, step: str, folder: Path, model: tf_keras.Model) -> list[dict[str, Any]]:
    """The chain of a network that is pruned from `first`; its accuracy is that of its run and not known yet."""
    own = {
        "step": step,
        "name": folder.resolve().name,
        "network": first.network,
        "macs": multiply_adds(model),
        "bytes": weight_bytes(model)[0],
    }
    return [*run_chain(first, load_model(first)), {name: own.get(name) for name in FIELDS}]


def fit_head(learner: Learner, views: TeacherCache, recipe: Recipe) -> None:
    """Fit the training-only layers to the learner's network, so that the teacher's lessons make sense from step 1."""
    if learner.distillation_head is not None:
        lesson = Lesson(views.data, views.data, views.run.face_input, recipe, teacher=views)
        fitted = fitted_head(learner.model, views.model, lesson)
        learner.distillation_head.set_weights(fitted.get_weights())
