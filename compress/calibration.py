"""What calibrates a full-integer network: training images, spread over the identities, chosen by seed."""

from __future__ import annotations

import math

import numpy as np

from edgeface.errors import DataError, UsageError
from edgeface.face_input import FaceInput

SMALLEST = 64
DEFAULT = 256


def check_count(count: int) -> None:
    """Raise UsageError for fewer images than give ranges that can be trusted."""
    if count < SMALLEST:
        raise UsageError(f"--calibration {count}: give at least {SMALLEST} images; ranges from fewer are left to luck")


def choose(labels: np.ndarray, count: int, seed: int) -> np.ndarray:
    """Indices, int64 (min(count, N),), of calibration images among N training images with these labels, as `spread`.

    Raises UsageError for a count under 64 and DataError when there are fewer than 64 images.
    """
    check_count(count)
    if len(labels) < SMALLEST:
        raise DataError(f"only {len(labels)} training images; calibration needs at least {SMALLEST}, add photos")
    return spread(labels, count, seed)


def spread(labels: np.ndarray, count: int, seed: int) -> np.ndarray:
    """Indices, int64 (min(count, N),), of images chosen by seed so that every identity gives one image before any gives
    a second, and so on."""
    generator = np.random.default_rng(seed)
    shuffled = generator.permutation(len(labels))
    own = labels[shuffled]
    # An image's turn is how many of its identity come before it; ties stay in shuffled order.
    by_identity = np.argsort(own, kind="stable")
    starts = np.searchsorted(own[by_identity], own[by_identity])
    turn = np.empty(len(labels), np.int64)
    turn[by_identity] = np.arange(len(labels)) - starts
    return shuffled[np.argsort(turn, kind="stable")[:count]]


def samples(images: np.ndarray, face_input: FaceInput) -> np.ndarray:
    """Prepared uint8 images (N, size, size, 3) as the network takes them, float32, spanning the whole `input_range`.

    The converter takes the input's range from the images, so one pixel of the first has that range's ends.
    """
    values = face_input.normalise(np.asarray(images))
    values[0, 0, 0, :2] = input_range(face_input.value_range)
    return values


def input_range(value_range: tuple[float, float]) -> tuple[float, float]:
    """The range (low, high) for the quantization of the input, wide enough that no pixel value is a tie.

    int8 must hold 0 exactly. In -1..1 over 255 steps it lies half-way between two steps, and then so does every pixel
    value: rounding to even merges them in pairs, and the input has 7 bits. -128/127..1 has steps of 1/127 and its 0 on
    one of them; all pixel values but the two around 0 stay apart, and no rounding is in doubt.
    """
    low, high = min(value_range[0], 0.0), max(value_range[1], 0.0)
    zero = -255 * low / (high - low)
    whole = math.ceil(round(zero, 6))
    if whole == round(zero, 6) or whole >= 255:
        return low, high
    return -high * whole / (255 - whole), high
