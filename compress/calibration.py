"""Which images calibrate a full-integer network: training images, spread over the identities, chosen by seed."""

from __future__ import annotations

import numpy as np

from edgeface.errors import DataError, UsageError

SMALLEST = 64
DEFAULT = 256


def check_count(count: int) -> None:
    """Raise UsageError for fewer images than give ranges that can be trusted."""
    if count < SMALLEST:
        raise UsageError(f"--calibration {count}: give at least {SMALLEST} images; ranges from fewer are left to luck")


def choose(labels: np.ndarray, count: int, seed: int) -> np.ndarray:
    """Indices, int64 (min(count, N),), of calibration images among N training images with these labels.

    Every identity gives one image before any gives a second, and so on. Raises UsageError for a count under 64 and
    DataError when there are fewer than 64 images.
    """
    check_count(count)
    if len(labels) < SMALLEST:
        raise DataError(f"only {len(labels)} training images; calibration needs at least {SMALLEST}, add photos")
    generator = np.random.default_rng(seed)
    shuffled = generator.permutation(len(labels))
    own = labels[shuffled]
    # An image's turn is how many of its identity come before it; ties stay in shuffled order.
    by_identity = np.argsort(own, kind="stable")
    starts = np.searchsorted(own[by_identity], own[by_identity])
    turn = np.empty(len(labels), np.int64)
    turn[by_identity] = np.arange(len(labels)) - starts
    return shuffled[np.argsort(turn, kind="stable")[:count]]
