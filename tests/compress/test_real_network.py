"""The real students, untrained: sizes, structure, and the time of a conversion."""

from __future__ import annotations

import numpy as np
import pytest

from edgeface.compress.calibration import samples
from edgeface.face_input import FaceInput
from edgeface.interpreter import Interpreter
from edgeface.metrics import cosine_summary
from edgeface.tensorflow_setup import quiet_tensorflow

quiet_tensorflow()

from edgeface.compress.audit import audit
from edgeface.compress.export import to_tflite
from edgeface.compress.qat_model import fake_quantized
from edgeface.models import squeezenext_23v5

CONVOLUTIONS = 111 + 1
"""The network's, and the one that gathers the stem's rows of pixels."""
IMAGES = np.random.default_rng(0).integers(0, 256, (64, 96, 96, 3), dtype=np.uint8)


def network(width: float):
    """The student with BatchNorms that are all different, as training leaves them."""
    model = squeezenext_23v5(51, size=96, width=width)
    rng = np.random.default_rng(1)
    for layer in model.layers:
        if layer.name.endswith("_bn"):
            size = layer.gamma.shape[0]
            spread = [rng.uniform(0.5, 1.5, size), rng.normal(0, 0.2, size), rng.normal(0, 0.1, size)]
            layer.set_weights([*spread, rng.uniform(0.5, 1.5, size)])
    return model


@pytest.mark.slow
@pytest.mark.parametrize(("width", "largest"), [(1.0, 1.1e6), (2.0, 3.6e6)])
def test_int8_size_and_structure(width, largest):
    calibration = samples(IMAGES, FaceInput(96))
    model = to_tflite(network(width), "int8", calibration=calibration)
    found = audit(model)
    assert len(model) <= largest
    assert found.operators["CONV_2D"] == CONVOLUTIONS
    assert found.operators["ADD"] == 21
    assert found.float_operators == ()


@pytest.mark.slow
def test_qat_size_and_structure():
    calibration = samples(IMAGES, FaceInput(96))
    simulated = fake_quantized(network(1.0), calibration, (-1.0, 1.0))
    model = to_tflite(simulated, "qat", io="int8")
    found = audit(model)
    assert len(model) <= 1.1e6
    assert found.operators == {
        "CONV_2D": CONVOLUTIONS, "ADD": 21, "MAX_POOL_2D": 1, "MEAN": 1, "RESHAPE": 1, "FULLY_CONNECTED": 1,
    }  # fmt: skip
    tensors = Interpreter(model).signatures["embed"]
    raw = Interpreter(model).run("embed", tensors.inputs[0].quantize(calibration[:8]))["embedding"]
    real = tensors.outputs[0].dequantize(raw)
    assert cosine_summary(simulated(calibration[:8], training=False)["embedding"].numpy(), real)["min"] > 0.99
