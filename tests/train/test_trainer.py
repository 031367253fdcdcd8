"""The training loop: interruption, resumption, repetition, distribution. A network of few blocks, 32 px."""

import json
import subprocess
import sys
import textwrap

import numpy as np
import pytest
from training_jobs import interrupt_after, make_job, weights_of

from edgeface.errors import RunError
from edgeface.models import squeezenext_23v5
from edgeface.recipe import Distillation, Recipe, Stage
from edgeface.run import read_metrics
from edgeface.train import trainer
from edgeface.train.batches import epoch_order, generator_for
from edgeface.train.schedule import batch_norm_momentum, learning_rate, warn_of_warmup
from edgeface.train.step import Learner


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    job = make_job(tmp_path_factory.mktemp("whole") / "run")
    trainer.fit(job, resume=False)
    return job


def test_a_run_resumed_everywhere_ends_like_an_uninterrupted_one(uninterrupted, tmp_path, monkeypatch):
    """Of 16 steps, stopped within and at the end of stage 0, within the first epoch of stage 1, and within stage 2.

    This is also the proof that a seed gives the same again.
    """
    for steps in (2, 2, 2, 7):
        part = make_job(tmp_path / "run")
        with monkeypatch.context() as patch:
            interrupt_after(patch, steps)
            trainer.fit(part, resume=(tmp_path / "run" / "checkpoints").exists())
        assert part.stopped
    last = make_job(tmp_path / "run")
    place = trainer.fit(last, resume=True)
    assert place.stage == 3
    for one, other in zip(weights_of(last), weights_of(uninterrupted), strict=True):
        np.testing.assert_array_equal(one, other)
    timeless = [
        [{k: v for k, v in row.items() if k != "seconds"} for row in read_metrics(job.out)]
        for job in (last, uninterrupted)
    ]
    assert timeless[0] == timeless[1]


def test_another_seed_trains_the_same_network_otherwise(uninterrupted, tmp_path, monkeypatch):
    job = make_job(tmp_path / "run")
    job.seed += 1
    with monkeypatch.context() as patch:
        interrupt_after(patch, 4)
        trainer.fit(job, resume=False)
    (first,) = read_metrics(job.out)
    assert first["loss"] != read_metrics(uninterrupted.out)[0]["loss"]


def test_every_stage_logs_its_own_losses_by_name(uninterrupted):
    rows = read_metrics(uninterrupted.out)
    assert [(row["stage"], row["epoch"]) for row in rows] == [(0, 0), (1, 0), (1, 1), (2, 0)]
    assert "center" not in rows[0]
    assert {"center", "pre_logit_norm"} <= rows[1].keys()
    assert {"triplet", "center"} <= rows[3].keys()
    assert "pre_logit_norm" not in rows[3]
    assert all(0 <= row["val_accuracy"] <= 1 for row in rows)
    for row in rows:
        terms = [row[name] for name in ("cross_entropy", "center", "pre_logit_norm", "triplet") if name in row]
        assert row["loss"] == pytest.approx(sum(terms), rel=1e-4)


def test_the_best_weights_are_kept(uninterrupted):
    figures = json.loads((uninterrupted.out / "run.json").read_text())["figures"]
    rows = read_metrics(uninterrupted.out)
    assert figures["val_accuracy"] == max(row["val_accuracy"] for row in rows)
    assert (uninterrupted.out / "weights.h5").is_file()
    assert any((uninterrupted.out / "tensorboard").iterdir())


def test_training_normalises_by_its_batches_and_moves_batch_norms_averages(uninterrupted):
    layers = [layer for layer in uninterrupted.learner.model.layers if layer.name.endswith("_bn")]
    assert layers
    for layer in layers:  # 0 and 1 are what they begin with, and what a network that is only run would keep
        assert np.abs(layer.moving_mean.numpy()).max() > 1e-3, layer.name
        assert np.abs(layer.moving_variance.numpy() - 1).max() > 1e-3, layer.name


def test_a_loss_that_is_not_finite_stops_the_run_and_names_the_stage(tmp_path):
    recipe = Recipe(size=32, batch_size=8, stage1=Stage(epochs=1, center_loss=float("inf"), learning_rate=0.3))
    with pytest.raises(RunError, match="stage 1"):
        trainer.fit(make_job(tmp_path / "run", recipe=recipe), resume=False)


def test_a_damaged_checkpoint_is_refused(tmp_path, monkeypatch):
    job = make_job(tmp_path / "run")
    with monkeypatch.context() as patch:
        interrupt_after(patch, 1)
        trainer.fit(job, resume=False)
    for path in (tmp_path / "run" / "checkpoints").glob("*.index"):
        path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(RunError, match="damaged"):
        trainer.fit(make_job(tmp_path / "run"), resume=True)


def test_when_the_newest_checkpoint_is_damaged_the_one_before_leads_to_the_same_end(
    uninterrupted, tmp_path, monkeypatch
):
    for resume in (False, True):
        with monkeypatch.context() as patch:
            interrupt_after(patch, 3)
            trainer.fit(make_job(tmp_path / "run"), resume=resume)
    newest = max((tmp_path / "run" / "checkpoints").glob("*.index"))
    newest.write_bytes(b"")
    last = make_job(tmp_path / "run")
    trainer.fit(last, resume=True)
    for one, other in zip(weights_of(last), weights_of(uninterrupted), strict=True):
        np.testing.assert_array_equal(one, other)


def test_ctrl_c_in_the_last_step_stops_nothing(tmp_path, monkeypatch):
    job = make_job(tmp_path / "run", recipe=Recipe(size=32, batch_size=8, stage0=Stage(epochs=1)))
    with monkeypatch.context() as patch:
        interrupt_after(patch, 4)
        place = trainer.fit(job, resume=False)
    assert (place.stage, job.stopped) == (3, False)


def test_a_live_teacher_is_in_no_checkpoint():
    model, teacher = (squeezenext_23v5(3, size=32, width=0.25, blocks=(1, 0, 0, 0)) for _ in range(2))
    learner = Learner(model, Recipe(size=32), teacher=teacher, teacher_size=128)
    assert learner.teacher is teacher
    assert not {id(weight) for weight in learner.variables} & {id(weight) for weight in teacher.weights}


def test_resuming_without_a_checkpoint_is_refused(tmp_path):
    with pytest.raises(RunError, match="no checkpoint"):
        trainer.fit(make_job(tmp_path / "run"), resume=True)


def test_a_cached_teacher_gives_the_student_its_outputs_for_the_same_images(tmp_path):
    recipe = Recipe(
        size=32, batch_size=8, distillation=Distillation(views=2), stage1=Stage(epochs=3, basic_augmentation=True)
    )
    asked = []

    def views(stage, view):
        asked.append(view)
        return np.full((36, 5), view, np.float16), np.zeros((36, 3), np.float16)

    job = make_job(tmp_path / "run", recipe=recipe, teacher_views=views, teacher_size=5)
    trainer.fit(job, resume=False)
    assert asked == [0, 1, 0]
    rows = read_metrics(job.out)
    assert {"teacher_embedding", "teacher_projected", "teacher_labels"} <= rows[0].keys()


def test_free_batches_hold_each_image_at_most_once_and_p_x_k_batches_hold_k_of_each():
    labels = np.repeat(np.arange(5), 11)
    free = epoch_order(labels, 10, 1, generator_for(1))
    assert free.shape == (5, 10)
    assert len(set(free.ravel())) == 50
    together = epoch_order(labels, 12, 4, generator_for(1))
    for batch in labels[together]:
        groups = batch.reshape(3, 4)
        assert (groups == groups[:, :1]).all()


def test_a_stage_that_ends_before_its_warm_up_is_remarked_upon(capsys):
    recipe = Recipe(warmup_steps=10, stage1=Stage(epochs=3), stage2=Stage(epochs=6))
    warn_of_warmup(recipe, 3)
    assert capsys.readouterr().err.startswith("warning: stage1 has 9 steps, all of them warm-up (warmup_steps=10)")
    warn_of_warmup(recipe, 4)
    assert capsys.readouterr().err == ""


def test_learning_rate_schedules():
    stage = Stage(epochs=1, learning_rate=1.0)
    exponential = Recipe(decay_rate=0.5, decay_steps=10)
    assert [learning_rate(exponential, stage, s, 40, 5) for s in (0, 4, 5, 15)] == [1.0, 1.0, 0.5, 0.25]
    warming = Recipe(decay_rate=0.5, decay_steps=10, warmup_steps=2)
    assert [learning_rate(warming, stage, s, 40, 10) for s in (0, 1, 2)] == [0.25, 0.5, 0.5]
    cosine = Recipe(schedule="cosine", warmup_steps=4)
    assert learning_rate(cosine, stage, 0, 24, 0) == 0.25
    assert learning_rate(cosine, stage, 14, 24, 0) == pytest.approx(0.5)
    assert learning_rate(cosine, stage, 24, 24, 0) == pytest.approx(0.0)


def test_batch_norm_momentum_follows_the_steps_of_an_epoch():
    assert batch_norm_momentum(Recipe(), 10) == 0.9
    assert batch_norm_momentum(Recipe(), 130) == pytest.approx(1 - 1 / 65, abs=1e-4)
    assert batch_norm_momentum(Recipe(batch_norm_momentum=0.5), 130) == 0.5


@pytest.mark.slow
def test_two_devices_learn_what_one_learns():
    """Mirrored over two virtual CPUs, without dropout and BatchNorm's per-device statistics: the same step.

    Weights that pruning made zero stay zero there, too.
    """
    script = """
        import numpy as np
        from edgeface.tensorflow_setup import quiet_tensorflow
        quiet_tensorflow()
        import tensorflow as tf, tf_keras
        cpu = tf.config.list_physical_devices("CPU")[0]
        tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
        from edgeface.face_input import FaceInput
        from edgeface.recipe import Augmentation, Recipe, Stage
        from edgeface.train.batches import Images, training_batches, view_table
        from edgeface.train.step import Learner, make_step
        from edgeface.train.strategies import make_strategy
        rng = np.random.default_rng(0)
        data = Images(rng.integers(0, 256, (16, 8, 8, 3), dtype=np.uint8), np.arange(16, dtype=np.int32) % 4)
        stage = Stage(epochs=1, center_loss=0.1, hard_instance_mining=True)
        recipe = Recipe(size=8, batch_size=8, dropout=0.0)
        order = np.arange(16).reshape(2, 8)
        table = view_table(16, Augmentation(), stage, 0, 0)
        results = []
        for name in ("auto", "mirrored"):
            strategy = make_strategy(name)
            assert strategy.num_replicas_in_sync == (2 if name == "mirrored" else 1)
            tf_keras.utils.set_random_seed(1)
            with strategy.scope():
                image = tf_keras.Input((8, 8, 3))
                embedding = tf_keras.layers.Dense(6, name="embedding")(tf_keras.layers.Flatten()(image))
                logits = tf_keras.layers.Dense(4, name="logits")(embedding)
                model = tf_keras.Model(image, {"embedding": embedding, "logits": logits})
                learner = Learner(model, recipe)
                learner.optimizer.learning_rate = 0.01
                learner.optimizer.epsilon = 1.0  # linear in the gradient: 1e-8 turns rounding of a zero one into a step
            step = make_step(learner, stage, strategy)
            batches = strategy.distribute_datasets_from_function(
                lambda context: training_batches(data, FaceInput(size=8), stage, order, table, None, context))
            losses = [float(step(batch, tf.constant([0, 0]))["loss"]) for batch in batches]
            results.append((losses, [w.numpy() for w in model.weights]))
        (a, one), (b, two) = results
        np.testing.assert_allclose(a, b, rtol=1e-4)
        for x, y in zip(one, two):
            np.testing.assert_allclose(x, y, atol=1e-6)
        from edgeface.compress.sparse import Sparsity, sparsify
        kernel = model.get_layer("logits").kernel  # mirrored
        keep = sparsify(model, Sparsity(0.5))
        zero = kernel.numpy() == 0
        kernel.assign(np.ones_like(zero, np.float32))
        keep()
        assert zero.mean() == 0.5 and np.array_equal(kernel.numpy() == 0, zero)
        print("equal")
    """
    result = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)], capture_output=True, text=True, check=False
    )
    assert result.stdout.strip() == "equal", result.stderr[-2000:]
