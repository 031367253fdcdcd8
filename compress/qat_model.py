"""A network with fake quantization in it (TFMOT's 8-bit scheme), so that it can learn what int8 does to it.

Jacob et al. 2018, https://arxiv.org/abs/1712.05877; Krishnamoorthi 2018, https://arxiv.org/abs/1806.08342.
Kernels are quantized per output channel before BatchNorm; the converter then folds BatchNorm into the channels'
scales, which changes no rounding. Activations are quantized after ReLU, after additions and at the outputs.
"""

from __future__ import annotations

import warnings

import numpy as np
import tensorflow as tf
import tf_keras

from edgeface.compress.calibration import input_range
from edgeface.compress.preflight import check_quantizable
from edgeface.compress.sparse import scheme_for
from edgeface.tensorflow_setup import silenced_stderr

with silenced_stderr(), warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from tensorflow_model_optimization.python.core.quantization.keras.quantize_layer import QuantizeLayer
    from tensorflow_model_optimization.quantization.keras import quantize_annotate_model, quantize_apply

PREFIX = "quant_"
_BATCH = 32
_SMALLEST_RANGE = 1e-6


def fake_quantized(model: tf_keras.Model, images: np.ndarray, value_range: tuple[float, float]) -> tf_keras.Model:
    """A copy of the network with fake quantization and the ranges of `images` in it; the outputs have the same names.

    `images` is float32 (N, size, size, 3), the calibration images. The ranges must be there before training begins:
    TFMOT starts all of them at -6..6 and moves them by 0.1 % a step. Raises UsageError for an unfit layer.
    """
    check_quantizable(model)
    flat = tf_keras.Model(model.input, [model.output["embedding"], model.output["logits"]])
    with silenced_stderr(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        quantized = quantize_apply(quantize_annotate_model(flat), scheme_for(flat))
    embedding, logits = quantized.outputs
    quantized = tf_keras.Model(quantized.input, {"embedding": embedding, "logits": logits}, name=model.name)
    _set_activation_ranges(quantized, model, images, value_range)
    set_kernel_ranges(quantized)
    return quantized


def set_kernel_ranges(quantized: tf_keras.Model) -> None:
    """Set the quantization range of every kernel by its weights, as a training step does when it begins.

    Wanted after every change of the weights outside of it: in inference mode the stored ranges are used.
    """
    for layer in quantized.layers:
        named = _named_weights(layer)
        for kind in ("kernel", "depthwise_kernel"):  # TFMOT gives a depthwise kernel one range for all its channels
            if f"{kind}_max" in named:
                kernel, high = named[kind], named[f"{kind}_max"]
                axes = tuple(range(len(kernel.shape) - 1)) if high.shape.rank else None
                largest = np.maximum(np.abs(kernel.numpy()).max(axis=axes), _SMALLEST_RANGE)
                high.assign(largest)
                named[f"{kind}_min"].assign(-largest)


def _set_activation_ranges(
    quantized: tf_keras.Model, model: tf_keras.Model, images: np.ndarray, value_range: tuple[float, float]
) -> None:
    """Give every activation the mean, over batches, of its smallest and largest value in the float network."""
    variables = {}
    for layer in quantized.layers:
        found = _range_of(layer)
        if isinstance(layer, QuantizeLayer) and found:
            for variable, limit in zip(found, input_range(value_range), strict=True):
                variable.assign(limit)
        elif found:
            variables[layer.name.removeprefix(PREFIX)] = found
    names = list(variables)
    tensors = [model.get_layer(name).output for name in names]
    probe = tf_keras.Model(model.input, tensors)

    @tf.function(reduce_retracing=True)
    def extremes(batch: tf.Tensor) -> tf.Tensor:
        outputs = probe(batch, training=False)
        return tf.stack([tf.stack([tf.reduce_min(value), tf.reduce_max(value)]) for value in outputs])

    batches = [extremes(tf.constant(images[start : start + _BATCH])) for start in range(0, len(images), _BATCH)]
    for name, (smallest, largest) in zip(names, np.mean(batches, axis=0), strict=True):
        low, high = variables[name]
        low.assign(min(float(smallest), 0.0))
        high.assign(max(float(largest), _SMALLEST_RANGE))


def _range_of(layer: tf_keras.layers.Layer) -> tuple[tf.Variable, tf.Variable] | None:
    """The variables (low, high) of the range of a layer's output, if it is quantized."""
    named = _named_weights(layer)
    for prefix in ("output", "post_activation", layer.name):
        if f"{prefix}_min" in named:
            return named[f"{prefix}_min"], named[f"{prefix}_max"]
    return None


def _named_weights(layer: tf_keras.layers.Layer) -> dict[str, tf.Variable]:
    """A layer's variables by the last part of their names: kernel, kernel_min, output_max..."""
    return {weight.name.split(":")[0].rsplit("/", 1)[-1]: weight for weight in layer.weights}
