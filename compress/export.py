"""Keras -> TFLite: float32, float16, dynamic-range, full-integer after training, or from a fake-quantized network."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Iterator

import numpy as np
import tensorflow as tf
import tf_keras

from edgeface.bundle_schema import MODES
from edgeface.compress.audit import check_ranges
from edgeface.compress.signatures import share_graph
from edgeface.compress.stem import STEMS, lay_out_stem
from edgeface.errors import UsageError
from edgeface.tensorflow_setup import silenced_stderr

INTEGER_MODES = ("int8", "qat")
IO = ("float", "int8")


def check_options(mode: str, io: str, stem: str | None = None) -> None:
    """Raise UsageError for an unknown mode, io or stem, or int8 tensors on a model that computes in floats."""
    if mode not in MODES:
        raise UsageError(f"--mode {mode}: choose one of {', '.join(MODES)}")
    if io not in IO:
        raise UsageError(f"--io {io}: choose one of {', '.join(IO)}")
    if stem is not None and stem not in STEMS:
        raise UsageError(f"--stem {stem}: choose one of {', '.join(STEMS)}")
    if io == "int8" and mode not in INTEGER_MODES:
        raise UsageError(f"--io int8 needs a model that computes in int8: --mode {' or '.join(INTEGER_MODES)}")


def to_tflite(
    model: tf_keras.Model, mode: str, *, io: str = "float", calibration: np.ndarray | None = None, stem: str = STEMS[0]
) -> bytes:
    """Convert a network with the outputs `embedding` and `logits` to a .tflite with two signatures, batch 1.

    `calibration` is float32 (N, size, size, 3) in the network's value range; mode "int8" needs it to find the range
    of every activation. Mode "qat" takes a network with fake quantization in it (`qat_model.fake_quantized`), whose
    ranges it keeps. With io "int8" input and outputs are int8 tensors; with "float" the graph begins with QUANTIZE
    and ends with DEQUANTIZE. Weights of convolutions are quantized per channel. `stem` is how the first convolution of
    int8 models reads pixels.

    Raises QuantizationError for a layer that is zero on all calibration images, which XNNPACK does not take in int8.

    Batch 1 is fixed because a dynamic batch is not faster (measured) and leaves shape computations to the device.
    """
    check_options(mode, io, stem)
    if mode == "int8" and calibration is None:
        raise ValueError("mode int8 needs calibration images")
    with tempfile.TemporaryDirectory() as folder, silenced_stderr(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # tf.lite warns that it will move to LiteRT
        _save(model, folder)
        converter = tf.lite.TFLiteConverter.from_saved_model(folder, signature_keys=["both"])
        _configure(converter, mode, io, calibration)
        content = share_graph(converter.convert())
    if mode not in INTEGER_MODES:
        return content
    check_ranges(content)
    return lay_out_stem(content, stem)


def _save(model: tf_keras.Model, folder: str) -> None:
    """A SavedModel with one signature, `both`: image (1, size, size, 3) -> embedding and logits, in inference mode."""
    size = model.input_shape[1]
    image = tf.TensorSpec((1, size, size, 3), tf.float32, name="image")
    module = tf.Module()
    # Its variables alone: saving the model itself would trace every layer, most of the time of an export.
    module.weights = model.weights
    both = tf.function(lambda image: dict(model(image, training=False))).get_concrete_function(image)
    tf.saved_model.save(module, folder, signatures={"both": both})


def _configure(converter: tf.lite.TFLiteConverter, mode: str, io: str, calibration: np.ndarray | None) -> None:
    if mode == "float32":
        return
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if mode == "dynamic":
        # tflite-runtime 2.14 does not know dense layers with weights quantized per channel.
        converter._experimental_disable_per_channel_quantization_for_dense_layers = True
    if mode == "float16":
        converter.target_spec.supported_types = [tf.float16]
    if mode == "int8":
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]

        def samples() -> Iterator[tuple[str, dict[str, np.ndarray]]]:
            for image in calibration if calibration is not None else ():
                yield "both", {"image": image[None]}

        converter.representative_dataset = samples
    if io == "int8":
        converter.inference_input_type = converter.inference_output_type = tf.int8
