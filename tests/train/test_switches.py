"""Recipe switches beyond the reference system: moving averages, ArcFace's margin, balanced batches, bf16."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
from training_jobs import RECIPE, images, interrupt_after, make_job, weights_of

from edgeface.models import squeezenext_23v5
from edgeface.recipe import Recipe, Stage
from edgeface.train import losses, trainer
from edgeface.train.averaging import (
    averages_of,
    deployed,
    exported_kernel,
    move_averages,
    move_norm,
    moving_variable,
    restart_averages,
)
from edgeface.train.batches import epoch_order, generator_for, grouping
from edgeface.train.outputs import make_predictor, outputs_over
from edgeface.train.step import Learner, make_step

import tensorflow as tf  # isort: skip
import tf_keras  # isort: skip

SWITCHED = replace(
    RECIPE, average_decay=0.8, head="arcface", arcface_scale=16.0, arcface_margin_steps=8, balanced_batches=True
)


@pytest.fixture(scope="module")
def switched(tmp_path_factory):
    job = make_job(tmp_path_factory.mktemp("whole") / "run", recipe=SWITCHED)
    trainer.fit(job, resume=False)
    return job


@pytest.mark.slow
def test_a_resumed_run_with_every_switch_ends_like_an_uninterrupted_one(switched, tmp_path, monkeypatch):
    first = make_job(tmp_path / "run", recipe=SWITCHED)
    with monkeypatch.context() as patch:
        interrupt_after(patch, 6)
        trainer.fit(first, resume=False)
    assert first.stopped
    second = make_job(tmp_path / "run", recipe=SWITCHED)
    trainer.fit(second, resume=True)
    states = [
        [*weights_of(job), *(average.numpy() for average in job.learner.averages), job.learner.embedding_norm.numpy()]
        for job in (second, switched)
    ]
    for one, other in zip(*states, strict=True):
        np.testing.assert_array_equal(one, other)
    accuracies = [json.loads((job.out / "run.json").read_text())["figures"] for job in (second, switched)]
    assert accuracies[0] == accuracies[1]


def test_what_is_saved_is_what_was_validated_and_not_the_weights_in_training(switched):
    model = squeezenext_23v5(3, size=32, width=0.25, batch_norm_momentum=0.9, blocks=(1, 1, 0, 0))
    model.load_weights(switched.out / "weights.h5")
    validation = images(12, 1)
    logits = outputs_over(make_predictor(model), validation, switched.face_input)["logits"]
    figures = json.loads((switched.out / "run.json").read_text())["figures"]
    assert np.mean(logits.argmax(axis=1) == validation.labels) == pytest.approx(figures["val_accuracy"])
    trained = switched.learner.model.get_layer("stem").get_weights()[0]
    with deployed(switched.learner):
        averaged = switched.learner.model.get_layer("stem").get_weights()[0]
    assert not np.array_equal(trained, averaged)
    np.testing.assert_array_equal(trained, switched.learner.model.get_layer("stem").get_weights()[0])


def test_an_exported_arcface_network_ranks_as_the_cosines_do(switched):
    with deployed(switched.learner):
        model = switched.learner.model
        kernel, bias = model.get_layer("logits").get_weights()
        outputs = outputs_over(make_predictor(model), images(12, 1), switched.face_input)
    assert not bias.any()
    lengths = np.linalg.norm(kernel, axis=0)
    assert lengths == pytest.approx(np.full(3, lengths[0]), rel=1e-5)
    embedding = outputs["embedding"] / np.linalg.norm(outputs["embedding"], axis=1, keepdims=True)
    cosines = embedding @ (kernel / lengths)
    np.testing.assert_array_equal(outputs["logits"].argmax(axis=1), cosines.argmax(axis=1))


def test_the_average_is_held_close_to_the_weights_in_the_beginning():
    average, weight = moving_variable(1.0, "average"), tf.Variable(3.0)
    move_averages([average], [weight], 0.9, tf.constant(0))
    # (1 + 0) / (10 + 0) = 0.1 is less than 0.9.
    assert float(average) == pytest.approx(0.1 * 1 + 0.9 * 3)
    average.assign(1.0)
    move_averages([average], [weight], 0.9, tf.constant(1000))
    assert float(average) == pytest.approx(0.9 * 1 + 0.1 * 3)


def test_the_mean_norm_begins_at_the_first_batch():
    norm = moving_variable(0.0, "norm")
    move_norm(norm, tf.constant([[3.0, 4.0], [0.0, 1.0]]))
    assert float(norm) == pytest.approx(3.0)
    move_norm(norm, tf.constant([[0.0, 13.0]]))
    assert float(norm) == pytest.approx(0.99 * 3 + 0.01 * 13)


def test_exported_kernel_scales_every_column():
    kernel = exported_kernel(np.array([[3.0, 0.0], [4.0, 2.0]]), 10.0)
    np.testing.assert_allclose(kernel, [[6.0, 0.0], [8.0, 10.0]], rtol=1e-6)


def test_cosine_logits_ignore_both_lengths():
    logits = losses.cosine_logits(tf.constant([[3.0, 4.0]]), tf.constant([[10.0, 0.0], [0.0, 0.1]]), 2.0)
    np.testing.assert_allclose(logits.numpy(), [[2 * 0.6, 2 * 0.8]], rtol=1e-6)


def test_the_margin_is_added_to_the_right_identitys_angle_alone():
    scale, angle, margin = 10.0, 1.0, 0.5
    logits = tf.constant([[scale * math.cos(angle), scale * 0.2]])
    moved = losses.with_angular_margin(logits, tf.constant([0]), margin, scale).numpy()
    np.testing.assert_allclose(moved, [[scale * math.cos(1.5), scale * 0.2]], rtol=1e-5)
    # Past pi: the cosine minus margin * sin(margin), still under every angle that does not pass it.
    beyond = tf.constant([[scale * math.cos(3.0), 0.0]])
    moved = losses.with_angular_margin(beyond, tf.constant([0]), margin, scale).numpy()
    np.testing.assert_allclose(moved[0, 0], scale * (math.cos(3.0) - 0.5 * math.sin(0.5)), rtol=1e-5)


def test_the_margin_grows_to_the_whole():
    grown = [float(losses.growing_margin(0.5, 100, tf.constant(step))) for step in (0, 50, 100, 1000)]
    assert grown == pytest.approx([0.0, 0.25, 0.5, 0.5])
    assert float(losses.growing_margin(0.5, 0, tf.constant(0))) == 0.5


def test_the_margin_has_a_finite_gradient_at_the_ends():
    logits = tf.Variable([[4.0, -4.0]])
    with tf.GradientTape() as tape:
        value = tf.reduce_sum(losses.with_angular_margin(logits, tf.constant([0]), 0.5, 4.0))
    assert np.isfinite(tape.gradient(value, logits).numpy()).all()


def test_label_smoothing_is_spread_over_all_identities():
    # Targets 0.9 + 0.1 / 2 = 0.95 and 0.05; log-softmax of (0, 0) is -ln 2 for both, of (1, 0) -0.3133 and -1.3133.
    even = losses.cross_entropy(tf.constant([[0.0, 0.0]]), tf.constant([0]), 0.1)
    assert float(even[0]) == pytest.approx(math.log(2), rel=1e-5)
    uneven = losses.cross_entropy(tf.constant([[1.0, 0.0]]), tf.constant([0]), 0.1)
    assert float(uneven[0]) == pytest.approx(0.95 * 0.313262 + 0.05 * 1.313262, rel=1e-5)


def test_balanced_batches_show_every_identity_equally_often():
    labels = np.array([0] * 30 + [1] * 8 + [2] * 3 + [3] * 7)
    order = epoch_order(labels, 8, 2, generator_for(1), balanced=True)
    assert order.shape == (6, 8)
    groups = labels[order].reshape(-1, 2)
    assert (groups[:, 0] == groups[:, 1]).all()
    counts = np.bincount(groups[:, 0])
    assert counts.tolist() == [6, 6, 6, 6]
    # Four identities, four groups a batch: each batch has all of them; 12 places go round 3 images 4 times each.
    assert all(set(labels[batch]) == {0, 1, 2, 3} for batch in order)
    shown = order.ravel()[labels[order.ravel()] == 2]
    assert np.bincount(shown)[38:41].tolist() == [4, 4, 4]


def test_a_recipe_orders_its_batches_by_stage_and_switch():
    plain, triplet = Stage(epochs=1), Stage(epochs=1, triplet=1.0)
    assert grouping(Recipe(), plain) == {"images_per_identity": 1, "balanced": False}
    assert grouping(Recipe(), triplet) == {"images_per_identity": 4, "balanced": False}
    assert grouping(Recipe(balanced_batches=True), plain) == {"images_per_identity": 4, "balanced": True}


def test_bf16_goes_with_a_teacher_and_the_triplet_loss():
    recipe = replace(RECIPE, precision="bf16")
    tf_keras.mixed_precision.set_global_policy("mixed_bfloat16")
    try:
        learner = Learner(squeezenext_23v5(3, size=32, width=0.5, blocks=[1, 0, 0, 0]), recipe, teacher_size=16)
    finally:
        tf_keras.mixed_precision.set_global_policy("float32")
    generator = np.random.default_rng(0)
    images = tf.constant(generator.uniform(-1, 1, (6, 32, 32, 3)), tf.float32)
    taught = {"teacher_embedding": tf.ones((6, 16)), "teacher_logits": tf.zeros((6, 3))}
    batch = {"image": images, "label": tf.constant([0, 0, 1, 1, 2, 2]), **taught}
    stage = Stage(epochs=1, learning_rate=1e-3, triplet=0.2, center_loss=1e-4)
    results = make_step(learner, stage, tf.distribute.get_strategy())(batch, tf.constant([0, 0]))
    assert {"triplet", "teacher_embedding", "teacher_labels"} <= results.keys()
    assert all(np.isfinite(value.numpy()) for value in results.values())


def test_averages_begin_at_the_weights_that_training_begins_with():
    model = squeezenext_23v5(3, size=32, width=0.5, blocks=[1, 0, 0, 0])
    averages = averages_of(model)
    model.get_layer("logits").set_weights([np.full((128, 3), 2.0), np.ones(3)])
    restart_averages(averages, model.weights)
    for average, weight in zip(averages, model.weights, strict=True):
        np.testing.assert_array_equal(average, weight)
    restart_averages(None, model.weights)
