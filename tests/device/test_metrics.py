"""Accuracy and agreement, against small cases worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from edgeface.metrics import confusion_matrix, cosine_summary, per_identity, ranks, top_k, worst_confusions

LOGITS = np.array([[5, 1, 0], [1, 5, 0], [0, 4, 3], [1, 2, 3]], np.float32)
LABELS = np.array([0, 0, 2, 2])
NAMES = ("ann", "bob", "cid")


def test_top_k() -> None:
    assert ranks(LOGITS, LABELS).tolist() == [0, 1, 1, 0]
    assert top_k(LOGITS, LABELS, 1) == 0.5
    assert top_k(LOGITS, LABELS, 2) == 1.0
    assert top_k(LOGITS.astype(np.int8), LABELS, 1) == 0.5
    assert math.isnan(top_k(LOGITS[:0], LABELS[:0], 1))


def test_collapsed_networks_score_what_argmax_scores() -> None:
    constant = np.zeros((6, 3), np.int8)
    labels = np.array([0, 0, 1, 1, 2, 2])
    assert top_k(constant, labels, 1) == pytest.approx(1 / 3)
    assert top_k(np.full((6, 3), np.nan), labels, 3) == 0.0


def test_top_1_equals_argmax_on_int8_ties() -> None:
    rng = np.random.default_rng(0)
    logits, labels = rng.integers(-3, 3, (500, 7)).astype(np.int8), rng.integers(0, 7, 500)
    assert top_k(logits, labels, 1) == pytest.approx(np.mean(logits.argmax(axis=1) == labels))


def test_per_identity_worst_first() -> None:
    scores = per_identity(LOGITS, LABELS, NAMES)
    assert [(s.identity, s.images, s.correct, s.accuracy) for s in scores] == [("ann", 2, 1, 0.5), ("cid", 2, 1, 0.5)]
    assert [s.mistaken_for for s in scores] == ["bob", "bob"]


def test_worst_confusions() -> None:
    assert confusion_matrix(LOGITS, LABELS).tolist() == [[1, 1, 0], [0, 0, 0], [0, 1, 1]]
    found = worst_confusions(np.repeat(LOGITS, [1, 3, 1, 1], axis=0), np.array([0, 0, 0, 0, 2, 2]), NAMES)
    assert [(c.actual, c.predicted, c.count, c.share) for c in found] == [
        ("ann", "bob", 3, 0.75),
        ("cid", "bob", 1, 0.5),
    ]
    assert worst_confusions(LOGITS, LABELS, NAMES, count=1)[0].actual == "ann"


def test_cosine_summary() -> None:
    a = np.random.default_rng(0).normal(size=(200, 16)).astype(np.float32)
    assert cosine_summary(a, 3 * a) == {"min": pytest.approx(1), "p1": pytest.approx(1), "mean": pytest.approx(1)}
    b = a.copy()
    b[7] *= -1
    summary = cosine_summary(a, b)
    assert summary["min"] == pytest.approx(-1)
    assert summary["mean"] == pytest.approx(0.99)
    zeros = np.zeros((1, 16))
    assert cosine_summary(zeros, zeros)["min"] == 1
    assert cosine_summary(zeros, a[:1])["min"] == 0
    assert math.isnan(cosine_summary(a, np.where(np.arange(16) == 3, np.nan, a))["mean"])


def test_wrong_shapes_are_said() -> None:
    with pytest.raises(ValueError, match="labels reach"):
        top_k(LOGITS, np.array([0, 1, 2, 3]))
    with pytest.raises(ValueError, match="labels reach -1"):
        top_k(LOGITS, np.array([0, 1, 2, -1]))
    with pytest.raises(ValueError, match="expected logits"):
        top_k(LOGITS, np.array([0, 1]))
    with pytest.raises(ValueError, match="equal, non-empty"):
        cosine_summary(LOGITS, LOGITS[:2])
