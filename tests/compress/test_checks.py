"""Calibration images that stretch a range or are unlike the validation images are told."""

from __future__ import annotations

from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from edgeface.face_input import FaceInput
from edgeface.tensorflow_setup import quiet_tensorflow

quiet_tensorflow()

from edgeface.compress import bundling, checks
from edgeface.compress.calibration import choose
from edgeface.compress.checks import (
    CalibrationCheck,
    Outlier,
    check_calibration,
    picture_differences,
    range_outliers,
    share_beyond,
)
from edgeface.data.layouts import load_dataset
from edgeface.models import mobilefacenet_prelu


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


def test_every_range_that_int8_has_is_checked(splits):
    train, validation = splits
    model = mobilefacenet_prelu(8, size=40, bottlenecks=((2, 64, 1, 2),))
    names: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            checks, "extremes", lambda model, found, images: names.extend(found) or np.zeros((2, len(found), 2))
        )
        check_calibration(model, train.images[:2], validation.images[:2], FaceInput(40))
    assert {"stem_prelu", "group1_block1_project_bn", "projection_bn", "embedding", "logits"} <= set(names)


def test_the_photo_that_stretches_a_range_is_named(faces, splits, monkeypatch):
    found = CalibrationCheck((Outlier("relu", 0.0, 4.0, 4.0, 3),), 0.0, {})
    monkeypatch.setattr(bundling, "check_calibration", lambda *arguments: found)
    run = SimpleNamespace(face_input=FaceInput(40))
    work = SimpleNamespace(dataset=load_dataset(faces), run=run, model=None, validation=splits[1])
    (outlier,) = bundling.calibration_check(work, splits[0], 64, 0).outliers
    pixels = cv2.imread(str(faces / outlier.photo))[..., ::-1]
    np.testing.assert_array_equal(pixels, splits[0].images[choose(splits[0].labels, 64, 0)[3]])
    (warning,) = bundling.calibration_check(work, splits[0], 64, 0).warnings("int8")
    assert f"look at {outlier.photo}, or" in warning


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
    assert fitting.warnings("int8") == []
    dark = (np.asarray(train.images[:64]) // 5).astype(np.uint8)
    (warning,) = check_calibration(student, dark, validation.images, FaceInput(40)).warnings("qat")
    assert "are not like the validation images" in warning
    assert "brightness +" in warning
