"""Which images calibrate."""

from __future__ import annotations

import numpy as np
import pytest

from edgeface.compress.calibration import choose, input_range, samples
from edgeface.errors import DataError, UsageError
from edgeface.face_input import FaceInput
from edgeface.interpreter import Tensor

LABELS = np.repeat(np.arange(10), [3, 5, 20, 20, 20, 20, 20, 20, 20, 20])


def test_spread_over_identities():
    chosen = choose(LABELS, 100, seed=0)
    counts = np.bincount(LABELS[chosen], minlength=10)
    assert len(set(chosen)) == 100
    # The small identities give all they have, the others share the rest evenly.
    assert counts[0] == 3
    assert counts[1] == 5
    assert set(counts[2:]) <= {11, 12}


def test_same_seed_same_images_other_seed_others():
    assert np.array_equal(choose(LABELS, 64, 1), choose(LABELS, 64, 1))
    assert not np.array_equal(choose(LABELS, 64, 1), choose(LABELS, 64, 2))


def test_takes_all_when_there_are_not_more():
    assert sorted(choose(LABELS, 5000, 0)) == list(range(len(LABELS)))


def test_refuses_too_few():
    with pytest.raises(UsageError, match="at least 64"):
        choose(LABELS, 63, 0)
    with pytest.raises(DataError, match="only 40 training images"):
        choose(LABELS[:40], 64, 0)


@pytest.mark.parametrize("value_range", [(-1.0, 1.0), (0.0, 1.0), (0.0, 255.0), (-2.0, 0.0), (-1.0, 2.5)])
def test_no_pixel_value_is_a_tie(value_range):
    """Every pixel value but the two around 0 keeps its own step, and no rounding is in doubt."""
    low, high = input_range(value_range)
    scale = (high - low) / 255
    zero_point = -128 - low / scale
    assert zero_point == pytest.approx(round(zero_point), abs=1e-4)
    pixels = FaceInput(1, value_range=value_range).normalise(np.arange(256, dtype=np.uint8))
    steps = pixels / scale
    assert np.min(np.abs(np.abs(steps - np.trunc(steps)) - 0.5)) > 1e-3
    kept = Tensor("image", "int8", (256,), scale, round(zero_point)).quantize(pixels)
    assert len(np.unique(kept)) >= 255


def test_samples_span_the_input_range():
    images = np.full((64, 4, 4, 3), 100, np.uint8)
    values = samples(images, FaceInput(4))
    assert values.min() == pytest.approx(-128 / 127)
    assert values.max() == 1.0
    np.testing.assert_array_equal(values[1:], FaceInput(4).normalise(images[1:]))
