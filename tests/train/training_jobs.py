"""A tiny job for the training loop, interrupted where a test wants it."""

import json
import signal

import numpy as np

from edgeface.tensorflow_setup import quiet_tensorflow

quiet_tensorflow()
import tf_keras

from edgeface.face_input import FaceInput
from edgeface.models import squeezenext_23v5
from edgeface.recipe import Recipe, Stage
from edgeface.train import trainer
from edgeface.train.batches import Images
from edgeface.train.step import Learner
from edgeface.train.strategies import make_strategy

RECIPE = Recipe(
    size=32,
    batch_size=8,
    images_per_identity=4,
    dropout=0.5,
    warmup_steps=2,
    stage0=Stage(epochs=1),
    stage1=Stage(epochs=2, basic_augmentation=True, center_loss=0.1, pre_logit_norm=1e-3),
    stage2=Stage(epochs=1, seaweed=True, center_loss=0.1, hard_instance_mining=True, triplet=1.0),
)


def images(count, seed):
    """Three identities of different colours: learnable at once."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count, dtype=np.int32) % 3
    photos = rng.integers(0, 100, (count, 32, 32, 3), dtype=np.uint8)
    photos[np.arange(count), :, :, labels] += 120
    return Images(photos, labels)


def make_job(out, *, seed=3, recipe=RECIPE, teacher_views=None, teacher_size=None):
    tf_keras.utils.set_random_seed(seed)
    strategy = make_strategy("auto")
    model = squeezenext_23v5(
        3, size=32, width=0.25, dropout=recipe.dropout, batch_norm_momentum=0.9, blocks=(1, 1, 0, 0)
    )
    learner = Learner(model, recipe, teacher_size=teacher_size)
    out.mkdir(exist_ok=True)
    info = lambda figures, digest: (out / "run.json").write_text(json.dumps({"figures": figures, "sha": digest}))  # noqa: E731
    return trainer.Job(
        out, learner, recipe, seed, strategy, FaceInput(size=32), images(36, 0), images(12, 1), info,
        teacher_views, quiet=True,
    )  # fmt: skip


def weights_of(job):
    return [variable.numpy() for variable in (*job.learner.model.weights, job.learner.centers)]


def interrupt_after(monkeypatch, steps):
    """Send SIGINT to this process after so many steps, as Ctrl-C does."""
    advance, count = trainer.Bar.advance, iter(range(10_000))

    def counted(self, text):
        advance(self, text)
        if next(count) + 1 == steps:
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(trainer.Bar, "advance", counted)
