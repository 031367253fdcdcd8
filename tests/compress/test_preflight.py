"""Layers that cannot learn int8 are named before anything is trained, with what to use instead."""

from __future__ import annotations

import numpy as np
import pytest

from edgeface.errors import UsageError
from edgeface.tensorflow_setup import quiet_tensorflow

quiet_tensorflow()

import tf_keras
from tf_keras import layers

from edgeface.compress.audit import audit
from edgeface.compress.export import to_tflite
from edgeface.compress.preflight import check_quantizable, unfit_layers
from edgeface.compress.qat_model import fake_quantized
from edgeface.interpreter import Interpreter
from edgeface.metrics import cosine_summary
from edgeface.models import mobilefacenet, mobilefacenet_prelu, squeezenext_23v5

SMALL = ((2, 64, 2, 2), (2, 128, 1, 2))


def test_the_students_pass():
    assert unfit_layers(squeezenext_23v5(3, size=32, width=0.25, blocks=(1, 0, 0, 0))) == []
    assert unfit_layers(mobilefacenet(3, size=32, bottlenecks=SMALL)) == []


def test_prelu_is_named_with_its_replacement():
    with pytest.raises(UsageError, match=r"layer stem_prelu \(PReLU\).*--network mobilefacenet .*and 8 more layers"):
        check_quantizable(mobilefacenet_prelu(3, size=32, bottlenecks=SMALL))


def test_lambda_and_batch_norms_that_do_not_fold_are_named():
    image = tf_keras.Input((8, 8, 3))
    convolved = layers.Conv2D(4, 3, name="conv")(image)
    halved = layers.Lambda(lambda x: x / 2, name="half")(convolved)
    (found,) = unfit_layers(tf_keras.Model(image, halved))
    assert (found.layer, found.kind) == ("half", "Lambda")
    assert "layers of tf_keras" in found.instead
    shared = layers.Conv2D(4, 3, name="shared")(image)
    both = layers.Add()([shared, layers.BatchNormalization(name="late")(shared)])
    (found,) = unfit_layers(tf_keras.Model(image, both))
    assert (found.layer, "shared is also read by add" in found.instead) == ("late", True)
    active = layers.Conv2D(4, 3, activation="relu", name="active")(image)
    (found,) = unfit_layers(tf_keras.Model(image, layers.BatchNormalization(name="after")(active)))
    assert "active has an activation before the BatchNorm" in found.instead


@pytest.mark.slow
def test_mobilefacenet_runs_in_int8_after_training_and_trained_for_it():
    model = mobilefacenet(3, size=32, bottlenecks=SMALL)
    images = np.random.default_rng(0).uniform(-1, 1, (64, 32, 32, 3)).astype(np.float32)
    images[0, 0, 0, :2] = -128 / 127, 1
    expected = model(images, training=False)["embedding"].numpy()
    for mode, source in (("int8", model), ("qat", fake_quantized(model, images, (-1.0, 1.0)))):
        content = to_tflite(source, mode, calibration=images)
        found = audit(content)
        assert found.float_operators == ()
        assert found.operators["DEPTHWISE_CONV_2D"] == 5
        assert not set(found.operators) & {"MUL", "SUB", "RSQRT"}
        assert cosine_summary(expected, Interpreter(content).run("embed", images)["embedding"])["min"] > 0.95
