"""The networks against the reference system's counts."""

import json

import numpy as np
import pytest

from edgeface.tensorflow_setup import quiet_tensorflow

quiet_tensorflow()
import tf_keras

from edgeface.models import inception_resnet_v1, mobilefacenet, mobilefacenet_prelu, squeezenext_23v5
from edgeface.models.squeezenext import uniform_widths
from edgeface.models.summary import multiply_adds, trainable_parameters, weight_bytes


@pytest.mark.parametrize(
    ("build", "trainable", "embedding"),
    [
        (lambda: inception_resnet_v1(2360), 26_781_288, 1792),
        (lambda: squeezenext_23v5(2360, width=2.0), 3_399_352, 128),
        (lambda: squeezenext_23v5(2360, width=1.0), 1_106_456, 128),
    ],
)
def test_trainable_parameters_are_the_reference_systems(build, trainable, embedding):
    model = build()
    assert trainable_parameters(model) == trainable
    assert model.output["embedding"].shape == (None, embedding)
    assert model.output["logits"].shape == (None, 2360)
    tf_keras.backend.clear_session()


def test_mobilefacenet_has_the_published_size():
    """Less than a million parameters and 221 million multiply-adds (Chen et al. 2018); ports count 1,003,136."""
    model = mobilefacenet_prelu(51, size=112)
    classifier = 129 * 51
    assert trainable_parameters(model) - classifier == 1_003_136
    assert multiply_adds(model) == pytest.approx(221e6, rel=0.01)
    tf_keras.backend.clear_session()
    model = mobilefacenet(51, size=112)
    assert trainable_parameters(model) - classifier == 1_003_136 - 7_552  # a slope for every channel
    assert {type(layer).__name__ for layer in model.layers} >= {"DepthwiseConv2D", "Add"}
    assert not any(isinstance(layer, tf_keras.layers.PReLU) for layer in model.layers)
    tf_keras.backend.clear_session()


def test_mobilefacenet_takes_other_sizes():
    small = ((2, 64, 1, 2), (2, 128, 1, 2))
    model = mobilefacenet(3, size=40, bottlenecks=small)
    outputs = model(np.ones((2, 40, 40, 3), np.float32))
    assert outputs["embedding"].shape == (2, 128)
    assert outputs["logits"].shape == (2, 3)
    assert multiply_adds(model) > 0


def test_a_width_list_rebuilds_the_published_network_and_narrower_ones():
    widths = uniform_widths(1.0)
    assert widths["stages"] == [32, 64, 128, 256]
    assert [len(stage) for stage in widths["blocks"]] == [2, 4, 14, 1]
    assert widths["blocks"][2][5] == [64, 32, 64, 64]
    few = (1, 1, 1, 1)
    rebuilt = squeezenext_23v5(3, size=32, widths=json.loads(json.dumps(uniform_widths(1.0, few))))
    published = squeezenext_23v5(3, size=32, width=1.0, blocks=few)
    assert [w.shape for w in rebuilt.weights] == [w.shape for w in published.weights]
    narrow = {"stem": 8, "stages": [6, 5, 4, 3], "blocks": [[[3, 2, 4, 5]], [], [], []]}
    model = squeezenext_23v5(3, size=32, widths=narrow)
    assert model.get_layer("stage1_block1_3x1").kernel.shape == (3, 1, 2, 4)
    assert model.get_layer("stage1_block1_expand").kernel.shape == (1, 1, 5, 6)
    assert model.get_layer("head").kernel.shape == (1, 1, 3, 128)


@pytest.mark.parametrize("broken", [{"stem": 0}, {"stages": [8, 8]}, {"blocks": [[[1, 2, 3]], [], [], []]}])
def test_a_width_list_that_is_none_is_refused(broken):
    with pytest.raises(ValueError, match="width list"):
        squeezenext_23v5(3, size=32, widths={**uniform_widths(0.25, (1, 0, 0, 0)), **broken})


def test_multiply_adds_and_bytes_of_a_small_network_by_hand():
    image = tf_keras.Input((4, 4, 3))
    x = tf_keras.layers.Conv2D(5, 3, padding="same", use_bias=False)(image)
    x = tf_keras.layers.GlobalAveragePooling2D()(tf_keras.layers.BatchNormalization()(x))
    model = tf_keras.Model(image, tf_keras.layers.Dense(2)(x))
    assert multiply_adds(model) == 4 * 4 * 3 * 3 * 3 * 5 + 5 * 2
    kernels, biases = 3 * 3 * 3 * 5 + 10, 5 + 2
    assert weight_bytes(model) == (4 * (kernels + biases), kernels + 16 * biases)


@pytest.mark.parametrize("width", [1.0, 2.0])
def test_a_squeezenext_block_without_convolution_weights_is_the_identity(width):
    model = squeezenext_23v5(3, size=32, width=width, blocks=(1, 1, 1, 1))
    entered = model.get_layer("stage2_enter_relu").output
    added = model.get_layer("stage2_block1_add").output
    model.get_layer("stage2_block1_expand_bn").set_weights(
        [np.zeros_like(w) for w in model.get_layer("stage2_block1_expand_bn").get_weights()]
    )
    before, after = tf_keras.Model(model.input, [entered, added])(np.ones((1, 32, 32, 3), np.float32))
    np.testing.assert_allclose(before, after, atol=1e-6)
