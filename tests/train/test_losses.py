"""Each loss against a value worked out by hand."""

import numpy as np
import pytest

from edgeface.tensorflow_setup import quiet_tensorflow

quiet_tensorflow()
import tensorflow as tf

from edgeface.recipe import Distillation
from edgeface.train import losses
from edgeface.train.distillation import DistillationHead, distillation_losses


def test_cross_entropy_of_even_logits_is_log_of_the_classes():
    assert losses.cross_entropy(tf.zeros((2, 4)), tf.constant([0, 3])).numpy() == pytest.approx([np.log(4)] * 2)


def test_label_smoothing_mixes_in_the_mean_over_all_classes():
    logits = np.array([[2.0, 0.0]], np.float32)
    plain = [-float(tf.nn.log_softmax(logits)[0, k]) for k in range(2)]
    expected = 0.9 * plain[0] + 0.1 * np.mean(plain)
    assert losses.cross_entropy(tf.constant(logits), tf.constant([0]), 0.1).numpy() == pytest.approx([expected])


def test_hard_instance_mining_counts_easy_samples_a_tenth():
    weights = losses.hard_instance_weights(tf.constant([2.0, 1.41, 1.39, 0.0]))
    assert weights.numpy() == pytest.approx([1.0, 1.0, 0.1, 0.1])


def test_center_loss_is_the_mean_squared_distance_to_the_own_center():
    centers = tf.Variable([[0.0, 0.0], [1.0, 1.0]])
    value = losses.center_loss(tf.constant([[1.0, 2.0], [1.0, 3.0]]), tf.constant([0, 1]), centers)
    assert float(value) == pytest.approx((1 + 4 + 0 + 4) / 4)


def test_a_center_never_goes_past_the_mean_of_many_samples():
    centers = tf.Variable([[10.0, 0.0]])
    moved = losses.moved_centers(tf.ones((50, 2)), tf.zeros(50, tf.int32), centers)
    np.testing.assert_allclose(moved, [[1.0, 1.0]], atol=1e-5)


def test_centers_move_by_a_twentieth_towards_each_of_their_samples():
    centers = tf.Variable([[0.0, 0.0], [1.0, 1.0], [5.0, 5.0]])
    moved = losses.moved_centers(tf.constant([[1.0, 2.0], [3.0, 0.0], [1.0, 3.0]]), tf.constant([0, 0, 1]), centers)
    assert moved.numpy() == pytest.approx(np.array([[0.2, 0.1], [1.0, 1.1], [5.0, 5.0]]))
    parts = ([[1.0, 2.0], [3.0, 0.0]], [0, 0]), ([[1.0, 3.0]], [1])
    of_two = [losses.moved_centers(tf.constant(points), tf.constant(own), centers, 2) for points, own in parts]
    assert np.mean(of_two, axis=0) == pytest.approx(moved.numpy())


def test_pre_logit_norm_is_the_mean_l1_norm():
    assert float(losses.pre_logit_norm(tf.constant([[1.0, -2.0], [0.0, 5.0]]))) == pytest.approx(4.0)


def test_batch_hard_triplet_takes_the_farthest_positive_and_the_nearest_negative():
    # On a line: class 0 at 0 and 3, class 1 at 4 and 10.
    points = tf.constant([[0.0], [3.0], [4.0], [10.0]])
    # Anchors: 0: 1+3-4=0; 3: 1+3-1=3; 4: 1+6-1=6; 10: 1+6-7=0.
    assert float(losses.batch_hard_triplet(points, tf.constant([0, 0, 1, 1]))) == pytest.approx(9 / 4)


def test_batch_hard_triplet_has_a_finite_gradient_for_equal_embeddings():
    points = tf.Variable(tf.ones((4, 3)))
    with tf.GradientTape() as tape:
        value = losses.batch_hard_triplet(points, tf.constant([0, 0, 1, 1]))
    assert np.isfinite(tape.gradient(value, points).numpy()).all()


def test_batch_hard_triplet_without_positives_is_zero():
    assert float(losses.batch_hard_triplet(tf.constant([[0.0], [9.0]]), tf.constant([0, 1]))) == 0.0


def test_soft_cross_entropy_is_least_at_the_teachers_logits_and_scales_with_temperature():
    teacher = tf.constant([[1.0, 2.0, 0.5]])
    entropy = -float(tf.reduce_sum(tf.nn.softmax(teacher) * tf.nn.log_softmax(teacher)))
    assert float(losses.soft_cross_entropy(teacher, teacher)) == pytest.approx(entropy)
    assert float(losses.soft_cross_entropy(tf.constant([[2.0, 1.0, 0.5]]), teacher)) > entropy
    hot = tf.constant([[2.0, 4.0, 1.0]])
    assert float(losses.soft_cross_entropy(hot, hot, 2.0)) == pytest.approx(4 * entropy, rel=1e-5)


def test_distillation_is_the_sum_of_its_weighted_terms():
    head = DistillationHead(teacher_size=3, classes=2)
    student = {"embedding": tf.ones((1, 4)), "logits": tf.constant([[0.3, -0.1]])}
    teacher = {"embedding": tf.constant([[1.0, 0.0, 2.0]]), "logits": tf.constant([[1.0, 0.0]])}
    projected, projected_logits = head(student["embedding"])
    terms = distillation_losses(Distillation(embedding=2.0), head, student, teacher)
    assert set(terms) == {"teacher_embedding", "teacher_projected", "teacher_labels"}
    mean_square = np.mean((projected.numpy() - [[1.0, 0.0, 2.0]]) ** 2)
    assert float(terms["teacher_embedding"]) == pytest.approx(2 * mean_square, rel=1e-5)
    assert float(terms["teacher_projected"]) == pytest.approx(
        float(losses.soft_cross_entropy(projected_logits, teacher["logits"]))
    )
    assert float(terms["teacher_labels"]) == pytest.approx(
        0.5 * float(losses.soft_cross_entropy(student["logits"], teacher["logits"]))
    )


def test_a_distillation_weight_of_zero_leaves_its_term_out():
    head = DistillationHead(teacher_size=3, classes=2)
    outputs = {"embedding": tf.ones((1, 3)), "logits": tf.ones((1, 2))}
    assert set(distillation_losses(Distillation(embedding=0.0), head, outputs, outputs)) == {
        "teacher_projected",
        "teacher_labels",
    }
