"""A network with fake quantization in it (TFMOT's 8-bit scheme), so that it can learn what int8 does to it.

Jacob et al. 2018, https://arxiv.org/abs/1712.05877; Krishnamoorthi 2018, https://arxiv.org/abs/1806.08342.
Kernels are quantized per output channel before BatchNorm; the converter then folds BatchNorm into the channels'
scales, which changes no rounding. Activations are quantized after ReLU, after additions and at the outputs.
"""

from __future__ import annotations

import warnings
from collections.abc import Collection

import numpy as np
import tensorflow as tf
import tf_keras

from edgeface.compress.calibration import input_range
from edgeface.compress.preflight import check_quantizable
from edgeface.compress.ranges import batch_means, extremes
from edgeface.compress.sparse import scheme_for
from edgeface.errors import RunError
from edgeface.tensorflow_setup import silenced_stderr

with silenced_stderr(), warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from tensorflow_model_optimization.python.core.quantization.keras.quantize_layer import QuantizeLayer
    from tensorflow_model_optimization.quantization.keras import quantize_annotate_layer, quantize_apply

PREFIX = "quant_"
Ranges = dict[str, tuple[float, float]]
_SMALLEST_RANGE = 1e-6


def fake_quantized(
    model: tf_keras.Model,
    images: np.ndarray,
    value_range: tuple[float, float],
    *,
    float_layers: Collection[str] = (),
    ranges: Ranges | None = None,
) -> tf_keras.Model:
    """A copy of the network with fake quantization and the ranges of `images` in it; the outputs have the same names.

    `images` is float32 (N, size, size, 3), the calibration images. The ranges must be there before training begins:
    TFMOT starts all of them at -6..6 and moves them by 0.1 % a step. `ranges` (of `activation_ranges`) are used instead
    of the images' when given. `float_layers` (of `float_layers.resolve`) stay as they are. Raises UsageError for an
    unfit layer.
    """
    check_quantizable(model)
    flat = tf_keras.Model(model.input, [model.output["embedding"], model.output["logits"]])

    def annotated(layer: tf_keras.layers.Layer) -> tf_keras.layers.Layer:
        if layer.name not in float_layers:
            return quantize_annotate_layer(layer)
        # A layer of its own: the same one in two graphs would seem to be read twice.
        return type(layer).from_config(layer.get_config())

    with silenced_stderr(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        marked = tf_keras.models.clone_model(flat, clone_function=annotated)
        marked.set_weights(flat.get_weights())
        quantized = quantize_apply(marked, scheme_for(flat))
    embedding, logits = quantized.outputs
    quantized = tf_keras.Model(quantized.input, {"embedding": embedding, "logits": logits}, name=model.name)
    set_input_range(quantized, value_range)
    set_activation_ranges(quantized, _calibrated(quantized, model, images) if ranges is None else ranges)
    set_kernel_ranges(quantized)
    return quantized


def activation_ranges(quantized: tf_keras.Model) -> Ranges:
    """The ranges (low, high) of all activations by the name of the float network's layer."""
    return {name: (float(low), float(high)) for name, (low, high) in _range_variables(quantized).items()}


def set_activation_ranges(quantized: tf_keras.Model, ranges: Ranges) -> None:
    """Put ranges of `activation_ranges` into a network. Raises RunError when they are those of another network."""
    variables = _range_variables(quantized)
    if set(variables) != set(ranges):
        other = sorted(set(variables) ^ set(ranges))[0]
        raise RunError(f"the stored quantization ranges do not fit the network ({other}); train it for int8 again")
    for name, (low, high) in variables.items():
        low.assign(min(ranges[name][0], 0.0))
        high.assign(max(ranges[name][1], _SMALLEST_RANGE))


def plain_weights(quantized: tf_keras.Model, model: tf_keras.Model) -> None:
    """Copy the trained weights of a fake-quantized network into the network that it was made from."""
    untouched = {layer.name for layer in quantized.layers}
    for layer in model.layers:
        if layer.weights:
            trained = named_weights(quantized.get_layer(layer.name if layer.name in untouched else PREFIX + layer.name))
            for name, variable in named_weights(layer).items():
                variable.assign(trained[name])


def set_kernel_ranges(quantized: tf_keras.Model) -> None:
    """Set the quantization range of every kernel by its weights, as a training step does when it begins.

    Wanted after every change of the weights outside of it: in inference mode the stored ranges are used.
    """
    for layer in quantized.layers:
        named = named_weights(layer)
        for kind in ("kernel", "depthwise_kernel"):  # TFMOT gives a depthwise kernel one range for all its channels
            if f"{kind}_max" in named:
                kernel, high = named[kind], named[f"{kind}_max"]
                axes = tuple(range(len(kernel.shape) - 1)) if high.shape.rank else None
                largest = np.maximum(np.abs(kernel.numpy()).max(axis=axes), _SMALLEST_RANGE)
                high.assign(largest)
                named[f"{kind}_min"].assign(-largest)


def set_input_range(quantized: tf_keras.Model, value_range: tuple[float, float]) -> None:
    """Set the range of the input to `calibration.input_range`. Training steps move it with what the images hold."""
    for layer in quantized.layers:
        found = _range_of(layer) if isinstance(layer, QuantizeLayer) else None
        for variable, limit in zip(found or (), input_range(value_range), strict=False):
            variable.assign(limit)


def _calibrated(quantized: tf_keras.Model, model: tf_keras.Model, images: np.ndarray) -> Ranges:
    """Every activation's mean, over batches, of its smallest and largest value in the float network."""
    names = list(_range_variables(quantized))
    means = batch_means(extremes(model, names, images))
    return {name: (float(low), float(high)) for name, (low, high) in zip(names, means, strict=True)}


def _range_variables(quantized: tf_keras.Model) -> dict[str, tuple[tf.Variable, tf.Variable]]:
    """The variables of every activation's range by the name of the float network's layer."""
    found = {
        layer.name.removeprefix(PREFIX): _range_of(layer)
        for layer in quantized.layers
        if not isinstance(layer, QuantizeLayer)
    }
    return {name: variables for name, variables in found.items() if variables}


def _range_of(layer: tf_keras.layers.Layer) -> tuple[tf.Variable, tf.Variable] | None:
    """The variables (low, high) of the range of a layer's output, if it is quantized."""
    named = named_weights(layer)
    for prefix in ("output", "post_activation", layer.name):
        if f"{prefix}_min" in named:
            return named[f"{prefix}_min"], named[f"{prefix}_max"]
    return None


def named_weights(layer: tf_keras.layers.Layer) -> dict[str, tf.Variable]:
    """A layer's variables by the last part of their names: kernel, kernel_min, output_max..."""
    return {weight.name.split(":")[0].rsplit("/", 1)[-1]: weight for weight in layer.weights}
