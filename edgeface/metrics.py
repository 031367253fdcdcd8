"""Accuracy and agreement figures, in NumPy alone.

Logits are (N, C) of any real dtype, labels (N,) integers in 0..C-1. Ties are settled as `argmax` settles them
(the lower class wins), and a row with a NaN counts as wrong, so that a network that has collapsed scores what it
deserves.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class IdentityScore:
    """How well one identity is recognised: images, how many were right, and what the wrong ones were mostly called."""

    identity: str
    images: int
    correct: int
    mistaken_for: str | None = None

    @property
    def accuracy(self) -> float:
        """Share of the identity's images that were right, 0..1 (NaN without images)."""
        return self.correct / self.images if self.images else float("nan")


@dataclass(frozen=True)
class Confusion:
    """`count` images of `actual` were called `predicted`; `share` is of all images of `actual`, 0..1."""

    actual: str
    predicted: str
    count: int
    share: float


def ranks(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Place of the right class in each row, int64 (N,): 0 is the best. A row with a NaN gets place C."""
    logits, labels = _checked(logits, labels)
    right = logits[np.arange(len(labels)), labels][:, None]
    before = np.arange(logits.shape[1])[None, :] < labels[:, None]
    places = ((logits > right) | ((logits == right) & before)).sum(axis=1)
    return np.where(np.isnan(logits).any(axis=1), logits.shape[1], places)


def top_k(logits: np.ndarray, labels: np.ndarray, k: int = 1) -> float:
    """Share of rows, 0..1, whose right class is among the k largest logits. NaN for no rows."""
    if len(labels) == 0:
        return float("nan")
    return float(np.mean(ranks(logits, labels) < k))


def predicted_classes(logits: np.ndarray) -> np.ndarray:
    """Index of the largest logit of each row, int64 (N,); -1 for a row with a NaN."""
    logits = np.asarray(logits)
    return np.where(np.isnan(logits).any(axis=1), -1, np.argmax(logits, axis=1))


def confusion_matrix(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Counts, int64 (C, C): row = actual class, column = predicted class. Rows with a NaN are in no column."""
    logits, labels = _checked(logits, labels)
    predicted = predicted_classes(logits)
    classes = logits.shape[1]
    known = predicted >= 0
    flat = np.bincount(labels[known] * classes + predicted[known], minlength=classes * classes)
    return flat.reshape(classes, classes)


def per_identity(logits: np.ndarray, labels: np.ndarray, identities: Sequence[str]) -> list[IdentityScore]:
    """One score per identity that has images, the worst recognised first (ties in identity order)."""
    logits, labels = _checked(logits, labels)
    matrix = confusion_matrix(logits, labels)
    images = np.bincount(labels, minlength=len(identities))
    scores = []
    for index in np.flatnonzero(images):
        wrong = matrix[index].copy()
        wrong[index] = 0
        mistaken_for = identities[int(wrong.argmax())] if wrong.any() else None
        scores.append(IdentityScore(identities[index], int(images[index]), int(matrix[index, index]), mistaken_for))
    return sorted(scores, key=lambda score: score.accuracy)


def worst_confusions(
    logits: np.ndarray, labels: np.ndarray, identities: Sequence[str], count: int = 10
) -> list[Confusion]:
    """The `count` most frequent mistakes, most frequent first (then by share of the identity's images)."""
    logits, labels = _checked(logits, labels)
    matrix = confusion_matrix(logits, labels)
    images = np.bincount(labels, minlength=len(identities))
    np.fill_diagonal(matrix, 0)
    found = [
        Confusion(identities[a], identities[p], int(matrix[a, p]), float(matrix[a, p] / images[a]))
        for a, p in np.argwhere(matrix)
    ]
    return sorted(found, key=lambda item: (-item.count, -item.share, item.actual, item.predicted))[:count]


def cosine_summary(a: np.ndarray, b: np.ndarray) -> dict[str, float]:
    """Cosine between the rows of two (N, E) arrays: `min`, `p1` (1st percentile) and `mean`.

    Two zero rows agree (1), a zero row against another does not (0). A NaN anywhere makes all three NaN.
    """
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    if a.shape != b.shape or a.ndim != 2 or len(a) == 0:
        raise ValueError(f"cosine_summary needs two equal, non-empty (N, E) arrays, got {a.shape} and {b.shape}")
    lengths_a, lengths_b = np.linalg.norm(a, axis=1), np.linalg.norm(b, axis=1)
    product = lengths_a * lengths_b
    cosine = np.where(product == 0, 0.0, (a * b).sum(axis=1) / np.where(product == 0, 1.0, product))
    cosine = np.where((lengths_a == 0) & (lengths_b == 0), 1.0, np.minimum(cosine, 1.0))
    return {"min": float(cosine.min()), "p1": float(np.percentile(cosine, 1)), "mean": float(cosine.mean())}


def _checked(logits: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    logits, labels = np.asarray(logits), np.asarray(labels)
    if logits.ndim != 2 or labels.shape != (len(logits),):
        raise ValueError(f"expected logits (N, C) and labels (N,), got {logits.shape} and {labels.shape}")
    if len(labels) and (labels.min() < 0 or labels.max() >= logits.shape[1]):
        raise ValueError(f"labels reach {labels.min()}..{labels.max()}, the logits have {logits.shape[1]} classes")
    return logits, labels.astype(np.int64)
