"""Keras -> TFLite in every mode: two signatures on one graph, right outputs, nothing left in floats."""

from __future__ import annotations

import numpy as np
import pytest

from edgeface.errors import QuantizationError, UsageError
from edgeface.interpreter import Interpreter
from edgeface.metrics import cosine_summary
from edgeface.tensorflow_setup import quiet_tensorflow

quiet_tensorflow()

import tf_keras
from ai_edge_litert import interpreter as litert
from tensorflow.lite.tools import flatbuffer_utils

from edgeface.compress.audit import audit, operators_with_weights
from edgeface.compress.export import check_options, to_tflite
from edgeface.compress.stem import STEMS, stem_of


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


@pytest.mark.parametrize(
    ("size", "kernel", "padding", "paired"),
    [
        (40, 5, "valid", True),
        (38, 5, "valid", True),
        (40, 6, "valid", True),
        (40, 3, "same", True),
        (41, 5, "valid", False),  # an odd width
        (40, 5, "same", False),  # padding at the left
    ],
)
def test_a_stem_over_rows_or_pairs_of_pixels_has_the_same_outputs_to_the_bit(size, kernel, padding, paired):
    layers = tf_keras.layers
    image = layers.Input((size, size, 3))
    stem = layers.Conv2D(16, kernel, 2, padding, activation="relu", name="stem")
    features = layers.GlobalAveragePooling2D(name="embedding")(stem(image))
    model = tf_keras.Model(image, {"embedding": features, "logits": layers.Dense(5, name="logits")(features)})
    images = np.random.default_rng(1).uniform(-1, 1, (64, size, size, 3)).astype(np.float32)
    found = {name: to_tflite(model, "int8", calibration=images, stem=name) for name in STEMS}
    operators = {name: audit(one).operators for name, one in found.items()}
    wide = "rows" if kernel > 4 else "pairs"
    assert [stem_of(found[name]) for name in STEMS] == ([wide, "pairs", "plain"] if paired else ["plain"] * 3)
    assert [name for name in STEMS if "RESHAPE" in operators[name]] == (["rows", "pairs"] if paired else [])
    assert operators["rows"]["CONV_2D"] == 1 + (paired and kernel > 4)
    assert operators["pairs"]["CONV_2D"] == operators["plain"]["CONV_2D"] == 1
    rows, pairs, plain = (
        [Interpreter(one).run("embed", image[None])["embedding"] for image in images[:8]] for one in found.values()
    )
    np.testing.assert_array_equal(rows, plain)
    np.testing.assert_array_equal(pairs, plain)
    # What reads the weights again gets the kernel over single pixels, and the network's own layers.
    stored = {name: operators_with_weights(one) for name, one in found.items()}
    assert [len(layers) for layers in stored.values()] == [2, 2, 2]
    assert stored["plain"][0][1].shape == (16, kernel, kernel, 3)
    for name in ("rows", "pairs"):
        np.testing.assert_array_equal(stored[name][0][1], stored["plain"][0][1])


def test_a_stem_over_rows_takes_batches(student, samples):
    """Benchmarks resize the input; the reshape follows."""
    interpreter = litert.Interpreter(model_content=to_tflite(student, "int8", calibration=samples))
    (image,) = interpreter.get_input_details()
    interpreter.resize_tensor_input(image["index"], (4, *image["shape"][1:]))
    interpreter.allocate_tensors()
    interpreter.set_tensor(image["index"], samples[:4])
    interpreter.invoke()
    embedding = max(interpreter.get_output_details(), key=lambda entry: entry["shape"][1])
    expected = Interpreter(to_tflite(student, "int8", calibration=samples)).run("embed", samples[:4])["embedding"]
    np.testing.assert_array_equal(interpreter.get_tensor(embedding["index"]), expected)


def test_a_layer_of_zeros_is_named(student, samples):
    """XNNPACK would refuse the file, and say no more than that."""
    dead = tf_keras.models.clone_model(student)
    dead.set_weights(student.get_weights())
    norm = dead.get_layer("stage2_block1_reduce2_bn")
    norm.set_weights([norm.gamma, norm.beta - 1e3, norm.moving_mean, norm.moving_variance])
    with pytest.raises(QuantizationError, match=r"stage2_block1_reduce2.*: gives nothing but zeros"):
        to_tflite(dead, "int8", calibration=samples)


def test_one_graph_serves_both_signatures(converted, student):
    for mode, model in converted.items():
        tree = flatbuffer_utils.convert_bytearray_to_object(bytearray(model))
        assert len(tree.subgraphs) == 1
        # LiteRT's CompiledModel refuses a signature with fewer outputs than its graph.
        names = {s.signatureKey.decode(): [o.name.decode() for o in s.outputs] for s in tree.signatureDefs}
        assert names == {"classify": ["logits", "embedding"], "embed": ["embedding", "logits"]}
        assert audit(model).operators["CONV_2D"] == convolutions(student) + mode.startswith("int8")  # its gatherer


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
        "RESHAPE",
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
    stem = next(tensor for tensor in graph.tensors if list(tensor.shape) == [64, 5, 1, 16])  # over rows of pixels
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
