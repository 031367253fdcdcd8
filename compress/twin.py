"""Untrained twins of networks, to take the speed and size of: the speed is theirs, the size within a percent."""

from __future__ import annotations

from typing import Any

import numpy as np
import tf_keras

from edgeface.models import build_network

_WEIGHTED = (tf_keras.layers.Conv2D, tf_keras.layers.DepthwiseConv2D, tf_keras.layers.Dense)


def twin_of(network: str, build: dict[str, Any]) -> tf_keras.Model:
    """A network in which every layer gives more than zeros, which int8 could not hold: kernels average what they read.

    A layer with a channel or two, just pruned or with random weights, may well give zeros alone.
    """
    model = build_network(network, build)
    generator = np.random.default_rng(0)
    for layer in model.layers:
        if isinstance(layer, _WEIGHTED):
            shape = layer.get_weights()[0].shape
            reads = np.prod(shape[:2] if isinstance(layer, tf_keras.layers.DepthwiseConv2D) else shape[:-1])
            kernel = generator.uniform(0.5, 1.5, shape) / reads
            layer.set_weights([kernel, *layer.get_weights()[1:]])
        elif isinstance(layer, tf_keras.layers.BatchNormalization):
            layer.beta.assign(generator.uniform(0.5, 1.5, layer.beta.shape))
    return model
