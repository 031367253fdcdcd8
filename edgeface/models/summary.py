"""Trainable parameters, multiply-adds and weight sizes of the networks."""

from __future__ import annotations

from typing import Any

import numpy as np
import tf_keras

from edgeface.models import inception_resnet_v1, mobilefacenet, mobilefacenet_prelu, squeezenext_23v5
from edgeface.models.inception_resnet import SMALLEST_SIZE

_SPARSE = 0.1


def trainable_parameters(model: tf_keras.Model) -> int:
    """Number of trainable scalars."""
    return sum(int(np.prod(weight.shape)) for weight in model.trainable_weights)


def multiply_adds(model: tf_keras.Model) -> int:
    """Multiply-adds of one image in convolutions and dense layers (the others are not counted)."""
    total = 0
    for layer in model.layers:
        kernel = _kernel(layer)
        if kernel is not None:
            height, width = layer.output.shape[1:3] if len(layer.output.shape) == 4 else (1, 1)
            total += height * width * int(np.prod(kernel.shape))
    return total


def weight_bytes(model: tf_keras.Model) -> tuple[int, int]:
    """Bytes of the weights as they are exported, float32 and int8: BatchNorm folded into the convolutions."""
    kernels, biases = 0, 0
    for layer in model.layers:
        kernel = _kernel(layer)
        if kernel is not None:
            kernels += int(np.prod(kernel.shape))
            biases += layer.output.shape[-1]
    # int8: one byte a weight, an int32 bias and a float32 scale with an int64 zero point a channel.
    return 4 * (kernels + biases), kernels + (4 + 4 + 8) * biases


def is_prunable(layer: tf_keras.layers.Layer) -> bool:
    """Whether single weights of a layer may be made zero: of convolutions and dense layers, not of depthwise ones."""
    return _kernel(layer) is not None and not isinstance(layer, tf_keras.layers.DepthwiseConv2D)


def sparsity(model: tf_keras.Model) -> float:
    """Share of exact zeros, 0..1, among the weights of a network that was made sparse, 0.0 of any other.

    Sparse is one with a layer of more than a tenth of zeros: trained weights are hardly ever 0, and rounding makes
    under 5 % of any layer in the int8 bundles of people51.
    """
    kernels = [layer.kernel.numpy() for layer in model.layers if is_prunable(layer)]
    if not any(np.mean(kernel == 0) > _SPARSE for kernel in kernels):
        return 0.0
    return sum(int((kernel == 0).sum()) for kernel in kernels) / sum(kernel.size for kernel in kernels)


def _kernel(layer: tf_keras.layers.Layer) -> Any:
    """The kernel of a convolution or a dense layer, None for other layers."""
    if isinstance(layer, tf_keras.layers.DepthwiseConv2D):
        return layer.depthwise_kernel
    return layer.kernel if isinstance(layer, (tf_keras.layers.Conv2D, tf_keras.layers.Dense)) else None


def summaries(classes: int, size: int) -> list[dict[str, Any]]:
    """One row a network: name, trainable, macs, float32_bytes, int8_bytes. No teacher below SMALLEST_SIZE."""
    rows = []
    networks = {
        "inception_resnet_v1": lambda: inception_resnet_v1(classes, size=size),
        "squeezenext_23v5 2.0": lambda: squeezenext_23v5(classes, size=size, width=2.0),
        "squeezenext_23v5 1.0": lambda: squeezenext_23v5(classes, size=size, width=1.0),
        "mobilefacenet": lambda: mobilefacenet(classes, size=size),
        "mobilefacenet_prelu": lambda: mobilefacenet_prelu(classes, size=size),
    }
    if size < SMALLEST_SIZE:
        del networks["inception_resnet_v1"]
    for name, build in networks.items():
        model = build()
        float32_bytes, int8_bytes = weight_bytes(model)
        rows.append(
            {
                "network": name,
                "trainable": trainable_parameters(model),
                "macs": multiply_adds(model),
                "float32_bytes": float32_bytes,
                "int8_bytes": int8_bytes,
            }
        )
        tf_keras.backend.clear_session()
    return rows
