"""Calibration images that stretch a range or are unlike the validation images are told."""

from __future__ import annotations

import numpy as np
import pytest

from edgeface.face_input import FaceInput
from edgeface.tensorflow_setup import quiet_tensorflow

quiet_tensorflow()

from edgeface.compress.checks import check_calibration, picture_differences, range_outliers, share_beyond


def ranges(highs: list[float], lows: float = 0.0) -> np.ndarray:
    """`extremes` of one layer."""
    return np.stack([np.full(len(highs), lows), np.array(highs)], axis=1)[:, None, :].astype(np.float32)


def test_one_image_that_stretches_a_range():
    usual = [1.0] * 200
    usual[70] = 4.0
    (found,) = range_outliers(["relu"], ranges(usual))
    assert (found.layer, found.low, found.high, found.image) == ("relu", 0.0, 4.0, 70)
    assert found.stretch == pytest.approx(4.0)
    # Ten images in two hundred are not outliers but how it is.
    assert range_outliers(["relu"], ranges([1.0] * 190 + [4.0] * 10)) == ()


def test_share_of_images_beyond_the_range():
    ours = ranges([1.0, 2.0])
    assert share_beyond(ours, ranges([1.5, 2.01, 2.5, 9.0])) == 0.5  # 2.01 lies within 1 % of the range


def test_pictures_are_compared_in_standard_deviations():
    rng = np.random.default_rng(0)
    ours = rng.integers(0, 200, (50, 6, 6, 3)).astype(np.uint8)
    assert all(abs(value) < 0.5 for value in picture_differences(ours, ours[::2]).values())
    brighter = picture_differences(ours, ours + 55)
    assert brighter["brightness"] > 3
    assert brighter["contrast"] == pytest.approx(0, abs=1e-3)
    red = ours.copy()
    red[..., 0] += 50
    assert picture_differences(ours, red)["red"] > 3


def test_warns_of_images_unlike_those_to_come(student, splits):
    train, validation = splits
    fitting = check_calibration(student, train.images[:64], validation.images, FaceInput(40))
    assert fitting.warnings() == []
    dark = (np.asarray(train.images[:64]) // 5).astype(np.uint8)
    (warning,) = check_calibration(student, dark, validation.images, FaceInput(40)).warnings()
    assert "are not like the validation images" in warning
    assert "brightness +" in warning
