"""Augmentations do what they say, and to every image of a batch on its own."""

import dataclasses

import numpy as np
import pytest

from edgeface.recipe import Augmentation
from edgeface.train import augment

STILL = Augmentation(
    flip=0, rotation=0, shift=0, scale_share=0, brightness=0, saturation=0, contrast=0, hue=0, gray=0
)  # fmt: skip


@pytest.fixture
def photos():
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (6, 20, 20, 3), dtype=np.uint8)


def apply(photos, config, *, basic=True, seaweed=False, seed=0):
    table = augment.draw(len(photos), config, basic=basic, seaweed=seaweed, generator=np.random.default_rng(seed))
    return augment.augment(photos, table, basic=basic, seaweed=seaweed), table


def test_all_strengths_at_zero_leave_the_image_as_it_is(photos):
    assert apply(photos, STILL)[0] == pytest.approx(photos.astype(np.float32), abs=1e-2)


def test_flip_mirrors_left_to_right(photos):
    flipped, _ = apply(photos, dataclasses.replace(STILL, flip=1.0))
    assert flipped == pytest.approx(photos[:, :, ::-1].astype(np.float32), abs=1e-2)


def test_a_rotation_by_ninety_degrees_is_numpys(photos):
    table = np.zeros((len(photos), augment.COLUMNS), np.float32)
    table[:, 1] = 1.0
    table[:, 5:7] = 1.0
    turned = augment.augment(photos, table, basic=True, seaweed=False)
    expected = [np.rot90(photos, k, axes=(1, 2)).astype(np.float32) for k in (1, 3)]
    assert any(np.allclose(turned, each, atol=1e-2) for each in expected)


def test_scaling_down_pads_with_mid_gray(photos):
    config = dataclasses.replace(STILL, scale_share=1.0, scale_up=1.0, scale_down=0.5)
    scaled, table = apply(photos, config, seed=1)
    smallest = int(np.argmax(table[:, 0]))
    assert table[smallest, 0] > 1.3
    assert (scaled[smallest, 0] == 128).all()


def test_gray_images_have_equal_channels(photos):
    gray, _ = apply(photos, dataclasses.replace(STILL, gray=1.0))
    assert gray[..., 0] == pytest.approx(gray[..., 1], abs=0.1)
    assert gray[..., 0] == pytest.approx(gray[..., 2], abs=0.1)


def test_brightness_and_contrast_stay_within_their_bounds(photos):
    flat = np.full_like(photos, 100)
    bright, table = apply(flat, dataclasses.replace(STILL, brightness=0.1, contrast=0.25))
    assert bright[:, 0, 0, 0] == pytest.approx(100 + 255 * table[:, 4], abs=0.51)  # whole gray levels
    assert np.abs(bright - 100).max() <= 25.6
    assert np.ptp(bright[:, 0, 0, 0]) > 1  # one draw an image, not one a batch


def test_hue_keeps_gray_and_brightness(photos):
    flat = np.full_like(photos, 100)
    assert apply(flat, dataclasses.replace(STILL, hue=0.05))[0] == pytest.approx(100.0, abs=0.1)


def test_seaweed_blanks_bands_of_a_fifth_or_two_fifths():
    photos = np.zeros((400, 20, 20, 3), np.uint8)
    blanked, table = apply(photos, Augmentation(), basic=False, seaweed=True)
    gray = blanked[..., 0] == 127.5
    one_band = (table[:, 8] > 0) & (table[:, 12] == 0)
    sizes = {int(mask.all(axis=1).sum() or mask.all(axis=0).sum()) for mask in gray[one_band]}
    assert sizes == {4, 8}
    assert np.mean(table[:, 8]) == pytest.approx(0.7, abs=0.07)
    assert np.mean(table[:, 12]) == pytest.approx(0.175, abs=0.06)
    assert not gray[table[:, 8] == 0].any()


def test_the_same_table_gives_the_same_image_in_any_batch(photos):
    whole, table = apply(photos, Augmentation(), seaweed=True)
    alone = augment.augment(photos[2:3], table[2:3], basic=True, seaweed=True)
    assert alone == pytest.approx(whole[2:3], abs=1e-3)
