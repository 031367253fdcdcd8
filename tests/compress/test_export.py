"""Keras -> TFLite in every mode: two signatures on one graph, right outputs, nothing left in floats."""

from __future__ import annotations

import numpy as np
import pytest

from edgeface.errors import UsageError
from edgeface.interpreter import Interpreter
from edgeface.metrics import cosine_summary
from edgeface.tensorflow_setup import quiet_tensorflow

quiet_tensorflow()

from tensorflow.lite.tools import flatbuffer_utils

from edgeface.compress.audit import audit
from edgeface.compress.export import check_options, to_tflite


def convolutions(model) -> int:
    return sum(type(layer).__name__ == "Conv2D" for layer in model.layers)


@pytest.fixture(scope="module")
def converted(student, samples) -> dict[str, bytes]:
    """Every mode of the student without training; "int8" has int8 tensors, "int8-float" float ones."""
    plain = {mode: to_tflite(student, mode) for mode in ("float32", "float16", "dynamic")}
    return {
        **plain,
        "int8": to_tflite(student, "int8", io="int8", calibration=samples),
        "int8-float": to_tflite(student, "int8", calibration=samples),
    }


@pytest.mark.parametrize("mode", ["float32", "float16", "dynamic", "int8", "int8-float"])
def test_outputs_are_those_of_the_network(converted, student, samples, mode):
    expected = student(samples, training=False)
    interpreter = Interpreter(converted[mode])
    assert set(interpreter.signatures) == {"classify", "embed"}
    for signature, name in (("classify", "logits"), ("embed", "embedding")):
        tensors = interpreter.signatures[signature]
        assert [tensor.name for tensor in (*tensors.inputs, *tensors.outputs)] == ["image", name]
        assert tensors.inputs[0].shape == (1, 40, 40, 3)
        raw = interpreter.run(signature, tensors.inputs[0].quantize(samples))[name]
        agreement = cosine_summary(expected[name].numpy(), tensors.outputs[0].dequantize(raw))
        assert agreement["mean"] > (0.9999 if mode in ("float32", "float16") else 0.99)
        assert agreement["min"] > 0.97


def test_float32_is_exact(converted, student, samples):
    raw = Interpreter(converted["float32"]).run("classify", samples)["logits"]
    np.testing.assert_allclose(raw, student(samples, training=False)["logits"], atol=1e-4)


def test_one_graph_serves_both_signatures(converted, student):
    for model in converted.values():
        tree = flatbuffer_utils.convert_bytearray_to_object(bytearray(model))
        assert len(tree.subgraphs) == 1
        # LiteRT's CompiledModel refuses a signature with fewer outputs than its graph.
        names = {s.signatureKey.decode(): [o.name.decode() for o in s.outputs] for s in tree.signatureDefs}
        assert names == {"classify": ["logits", "embedding"], "embed": ["embedding", "logits"]}
        assert audit(model).operators["CONV_2D"] == convolutions(student)


@pytest.mark.parametrize("mode", ["int8", "int8-float"])
def test_int8_leaves_nothing_in_floats(converted, student, mode):
    found = audit(converted[mode])
    assert found.float_operators == ()
    # BatchNorm is folded: no multiplication, and no addition but the blocks' own.
    assert set(found.operators) <= {
        "CONV_2D",
        "ADD",
        "MAX_POOL_2D",
        "MEAN",
        "FULLY_CONNECTED",
        "QUANTIZE",
        "DEQUANTIZE",
    }
    assert found.operators["ADD"] == 2
    assert found.operators.get("QUANTIZE", 0) == (mode == "int8-float")
    assert found.operators.get("DEQUANTIZE", 0) == 2 * (mode == "int8-float")


def test_audit_names_what_is_in_floats(converted):
    found = audit(converted["float32"])
    assert len(found.float_operators) == sum(found.operators.values())
    assert any(name.startswith("FULLY_CONNECTED") for name in found.float_operators)


def test_io_dtypes(converted):
    for mode, dtype in (("int8", "int8"), ("int8-float", "float32"), ("float16", "float32")):
        for tensors in Interpreter(converted[mode]).signatures.values():
            assert {tensors.inputs[0].dtype, tensors.outputs[0].dtype} == {dtype}


def test_every_pixel_value_keeps_its_step(converted):
    tensor = Interpreter(converted["int8"]).signatures["classify"].inputs[0]
    assert tensor.scale == pytest.approx(1 / 127)
    assert tensor.zero_point == 0


def test_convolutions_are_quantized_per_channel(converted):
    tree = flatbuffer_utils.convert_bytearray_to_object(bytearray(converted["int8"]))
    graph = tree.subgraphs[0]
    stem = next(tensor for tensor in graph.tensors if list(tensor.shape) == [64, 5, 5, 3])
    assert len(stem.quantization.scale) == 64


def test_sizes_fall(converted):
    sizes = [len(converted[mode]) for mode in ("float32", "float16", "int8")]
    assert sizes[0] > 1.7 * sizes[1] > 1.7 * 1.2 * sizes[2]


def test_refuses_options_that_contradict():
    with pytest.raises(UsageError, match="--io int8 needs"):
        check_options("float16", "int8")
    with pytest.raises(UsageError, match="choose one of float32"):
        check_options("int4", "float")
    with pytest.raises(UsageError, match="choose one of float, int8"):
        check_options("int8", "uint8")
