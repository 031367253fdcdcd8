"""Removing channels: what the network computes without them, what it costs, and which ones go."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from edgeface.errors import UsageError
from edgeface.face_input import FaceInput
from edgeface.run import open_run
from edgeface.tensorflow_setup import quiet_tensorflow

quiet_tensorflow()

import tensorflow as tf
import tf_keras

from edgeface.compress import goal
from edgeface.compress.channels import Convolution, Cost, cost_of, group_sizes, remove_channels, widths_of, with_sizes
from edgeface.compress.importance import channel_importance
from edgeface.compress.selection import floors_of, least_cost, select
from edgeface.models import build_network
from edgeface.models.squeezenext import uniform_widths
from edgeface.models.summary import multiply_adds, trainable_parameters
from edgeface.train.batches import Images
from edgeface.train.losses import cross_entropy

BUILD = {"classes": 5, "size": 35, "width": 0.5, "blocks": [1, 2, 0, 1]}
WIDTHS = uniform_widths(0.5, BUILD["blocks"])


@pytest.fixture(scope="module")
def model():
    """A network whose BatchNorms are all different, as training leaves them."""
    tf_keras.utils.set_random_seed(1)
    network = build_network("squeezenext_23v5", BUILD)
    rng = np.random.default_rng(1)
    for layer in network.layers:
        if layer.name.endswith("_bn"):
            size = layer.gamma.shape[0]
            spread = [rng.uniform(0.5, 1.5, size), rng.normal(0, 0.2, size), rng.normal(0, 0.1, size)]
            layer.set_weights([*spread, rng.uniform(0.5, 1.5, size)])
    return network


def test_removing_channels_that_are_zero_changes_no_output(model):
    rng = np.random.default_rng(2)
    sizes = group_sizes(WIDTHS)
    keep = {group: np.sort(rng.choice(count, -(-2 * count // 3), replace=False)) for group, count in sizes.items()}
    begun = model.get_weights()
    layers = cost_of(WIDTHS, 35, 5, "macs").layers
    for layer in layers:
        if layer.writes in keep:
            norm = model.get_layer(f"{layer.name}_bn")
            gamma, beta, *statistics = norm.get_weights()
            gone = np.setdiff1d(np.arange(len(gamma)), keep[layer.writes])
            gamma[gone] = beta[gone] = 0
            norm.set_weights([gamma, beta, *statistics])
    smaller, build = remove_channels(model, "squeezenext_23v5", BUILD, WIDTHS, keep)
    images = rng.uniform(-1, 1, (4, 35, 35, 3)).astype(np.float32)
    before, after = model(images, training=False), smaller(images, training=False)
    model.set_weights(begun)
    for name in ("embedding", "logits"):
        assert np.abs(before[name].numpy()).max() > 0.01
        np.testing.assert_allclose(after[name], before[name], atol=1e-5)
    assert build["widths"]["stages"] == [-(-2 * channels // 3) for channels in WIDTHS["stages"]]
    assert not any(layer.losses or "mask" in layer.name for layer in smaller.layers)
    for unit, counted in (("macs", multiply_adds), ("params", trainable_parameters)):
        cost = cost_of(WIDTHS, 35, 5, unit)
        assert cost.total(sizes) == counted(model)
        assert cost.total(group_sizes(build["widths"])) == counted(smaller)
        one = {**sizes, "stage2": sizes["stage2"] - 3}
        assert cost.saved(sizes, "stage2", 3) == cost.total(sizes) - cost.total(one)


def test_a_width_list_survives_being_taken_apart():
    assert with_sizes(WIDTHS, group_sizes(WIDTHS)) == WIDTHS


def test_importance_by_batch_norm_and_magnitude_is_relative_to_the_group(model):
    images = Images(np.zeros((1, 35, 35, 3), np.uint8), np.zeros(1, np.int32))
    bn = channel_importance(model, WIDTHS, "bn", images, FaceInput(35))
    assert set(bn) == set(group_sizes(WIDTHS))
    # The residual of stage 2 is written by its entry and by both of its blocks.
    writers = ("stage2_enter", "stage2_block1_expand", "stage2_block2_expand")
    gammas = sum(np.abs(model.get_layer(f"{name}_bn").gamma.numpy()) for name in writers)
    np.testing.assert_allclose(bn["stage2"], gammas / gammas.mean(), rtol=1e-6)
    magnitude = channel_importance(model, WIDTHS, "magnitude", images, FaceInput(35))
    kernel = np.abs(model.get_layer("stage1_block1_3x1").kernel.numpy()).mean(axis=(0, 1, 2))
    np.testing.assert_allclose(magnitude["stage1_block1_3x1"], kernel / kernel.mean(), rtol=1e-6)
    with pytest.raises(UsageError, match="choose one of taylor, bn, magnitude"):
        channel_importance(model, WIDTHS, "luck", images, FaceInput(35))


def test_taylor_importance_is_the_squared_slope_of_the_loss_along_a_shared_gate(model):
    rng = np.random.default_rng(3)
    images = Images(rng.integers(0, 256, (6, 35, 35, 3), dtype=np.uint8), np.arange(6, dtype=np.int32) % 5)
    scores = channel_importance(model, WIDTHS, "taylor", images, FaceInput(35))
    batch = tf.constant(FaceInput(35).normalise(images.images))

    def loss(gate: float) -> float:
        begun = model.get_weights()
        for name in ("stage2_enter", "stage2_block1_expand", "stage2_block2_expand"):
            norm = model.get_layer(f"{name}_bn")
            gamma, beta, *statistics = norm.get_weights()
            gamma[4] *= gate
            beta[4] *= gate
            norm.set_weights([gamma, beta, *statistics])
        value = tf.reduce_mean(cross_entropy(model(batch, training=False)["logits"], images.labels, 0.0))
        model.set_weights(begun)
        return float(value)

    slope = (loss(1.001) - loss(0.999)) / 0.002
    assert scores["stage2"][4] == pytest.approx(slope**2, rel=0.05)


def test_the_least_important_for_their_cost_go_first_and_widths_stay_aligned():
    """Two layers of 1 pixel: a -> b -> embedding, so a channel of `a` costs 3 + 16 and one of `b` 16 + 128."""
    cost = Cost((Convolution("one", "image", "a", 1, 1), Convolution("two", "a", "b", 1, 1),
                 Convolution("head", "b", "embedding", 1, 1)), 2, "macs")  # fmt: skip
    scores = {"a": np.arange(16.0) + 1, "b": np.full(16, 100.0)}
    whole = cost.total({"a": 16, "b": 16})
    assert whole == 3 * 16 + 16 * 16 + 16 * 128 + 2 * 128
    kept = select(scores, cost, whole - 1, align=8, floors={"a": 8, "b": 8})
    assert kept["a"].tolist() == list(range(8, 16))  # 36 / (8 * 19) is less than 800 / (8 * 144)
    assert kept["b"].tolist() == list(range(16))
    kept = select(scores, cost, whole - 8 * 19 - 1, align=1, floors={"a": 8, "b": 1})
    assert (len(kept["a"]), len(kept["b"])) == (8, 15)
    with pytest.raises(UsageError, match=r"cannot be reached.*--align 1"):
        select(scores, cost, 400, align=8, floors={"a": 8, "b": 8})


def test_floors_are_an_eighth_in_whole_multiples_and_never_above_the_width():
    assert floors_of({"a": 64, "b": 128, "c": 4, "d": 256}, 8) == {"a": 8, "b": 16, "c": 4, "d": 32}
    assert floors_of({"a": 64, "b": 3}, 1) == {"a": 8, "b": 1}


def test_the_narrowest_network_is_reached_by_its_own_share(tiny_run, monkeypatch):
    """--speedup asks for it; as a float the share may come out a little under what is left."""
    run = replace(open_run(tiny_run), build={"width": 1.0}, identities=tuple("abcde"), face_input=FaceInput(80))
    widths = widths_of(run)
    sizes, cost = group_sizes(widths), cost_of(widths, 80, 5, "macs")
    least = least_cost(sizes, cost, 8)
    assert least / cost.total(sizes) * cost.total(sizes) < least
    monkeypatch.setattr(goal, "remove_channels", lambda *arguments: arguments[-1])
    scores = {name: np.arange(float(size)) + 1 for name, size in sizes.items()}
    kept = goal.narrowed(run, None, run, "macs", least / cost.total(sizes), scores, 8)
    assert cost.total({name: len(places) for name, places in kept.items()}) == least


def test_channels_are_removed_from_squeezenext_alone(tiny_run):
    run = open_run(tiny_run)
    assert widths_of(run)["stages"][0] == 16
    with pytest.raises(UsageError, match="mobilefacenet"):
        widths_of(replace(run, network="mobilefacenet"))
