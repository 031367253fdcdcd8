"""Can this network be trained for int8? Said before any training starts, with what to use instead.

What TFMOT takes, and what the runtime runs well: convolution, BatchNorm that folds into it, ReLU, addition, pooling.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import tensorflow as tf
import tf_keras

from edgeface.errors import UsageError
from edgeface.tensorflow_setup import silenced_stderr

with silenced_stderr(), warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from tensorflow_model_optimization.python.core.quantization.keras.default_8bit import default_8bit_quantize_registry

_FOLDS_INTO = (tf_keras.layers.Conv2D, tf_keras.layers.DepthwiseConv2D)
_INSTEAD = {
    "PReLU": "int8 runtimes are slow at PReLU: use ReLU (--network mobilefacenet in place of mobilefacenet_prelu)",
    "Lambda": "TFMOT cannot quantize it and it runs code on loading: use layers of tf_keras such as Add or ReLU",
    "Rescaling": "fold the factor into the convolution before it; of these networks only the teacher has it, and the "
    "students are there to be quantized",
}
_OTHERWISE = "build it from Conv2D, BatchNormalization and ReLU, or use --mode int8"


@dataclass(frozen=True)
class Finding:
    """A layer that int8 training cannot take: its name and type, and what to do instead."""

    layer: str
    kind: str
    instead: str

    def __str__(self) -> str:
        return f"layer {self.layer} ({self.kind}) cannot be trained for int8; {self.instead}"


def unfit_layers(model: tf_keras.Model) -> list[Finding]:
    """The layers that stand in the way of training for int8, in the order they run; empty when none does."""
    registry = default_8bit_quantize_registry.Default8BitQuantizeRegistry()
    found = []
    for layer in model.layers:
        kind = type(layer).__name__
        if isinstance(layer, tf_keras.layers.InputLayer):
            continue
        if isinstance(layer, tf_keras.layers.BatchNormalization):
            problem = _cannot_fold(model, layer)
            if problem:
                found.append(Finding(layer.name, kind, problem))
        elif kind in _INSTEAD:
            found.append(Finding(layer.name, kind, _INSTEAD[kind]))
        elif not registry.supports(layer):
            found.append(Finding(layer.name, kind, _OTHERWISE))
    return found


def check_quantizable(model: tf_keras.Model) -> None:
    """Raise UsageError, naming the first unfit layer and the replacement, unless the network can learn int8."""
    found = unfit_layers(model)
    if found:
        more = f" (and {len(found) - 1} more layers)" if len(found) > 1 else ""
        raise UsageError(f"{found[0]}{more}")


def _cannot_fold(model: tf_keras.Model, layer: tf_keras.layers.Layer) -> str | None:
    """Why a BatchNorm cannot become part of a convolution, None when it can."""
    before = tf.nest.flatten(layer.inbound_nodes[0].inbound_layers)[0]
    if not isinstance(before, _FOLDS_INTO):
        return f"it must follow a convolution, not {before.name}, to fold into it"
    members = {id(own) for own in model.layers}
    readers = [node.outbound_layer for node in before.outbound_nodes if id(node.outbound_layer) in members]
    if len(readers) > 1:
        others = ", ".join(reader.name for reader in readers if reader is not layer)
        return f"{before.name} is also read by {others}: let them read the BatchNorm, so that it folds"
    if getattr(before, "activation", None) not in (None, tf_keras.activations.linear):
        return f"{before.name} has an activation before the BatchNorm: put a ReLU layer behind it instead"
    return None
