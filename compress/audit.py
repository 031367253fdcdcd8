"""What is in a .tflite file: its operators, and those that a quantized model still computes in floats."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from tensorflow.lite.python import schema_py_generated as schema
from tensorflow.lite.tools import flatbuffer_utils

from edgeface.errors import QuantizationError
from edgeface.stem_layout import GATHERER, over_pixels

_FLOATS = (schema.TensorType.FLOAT32, schema.TensorType.FLOAT16, schema.TensorType.FLOAT64)
_EDGES = ("QUANTIZE", "DEQUANTIZE")
_WEIGHTED = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED")
LARGEST_RATIO = 256.0
"""XNNPACK takes no convolution whose input scale times weight scale is so many times its output scale."""


@dataclass(frozen=True)
class Audit:
    """`operators` counts by type, the most frequent first. `float_operators` are those that read or write floats, as
    "TYPE output name"; the QUANTIZE and DEQUANTIZE at the model's own inputs and outputs are not among them."""

    operators: dict[str, int]
    float_operators: tuple[str, ...]


def audit(model: bytes) -> Audit:
    """Read a .tflite file's first subgraph."""
    tree = flatbuffer_utils.convert_bytearray_to_object(bytearray(model))
    graph = tree.subgraphs[0]
    operators: Counter[str] = Counter()
    left_over = []
    for operator in graph.operators:
        name = _name(tree.operatorCodes[operator.opcodeIndex])
        operators[name] += 1
        tensors = [int(index) for index in (*operator.inputs, *operator.outputs) if index >= 0]
        if any(graph.tensors[index].type in _FLOATS for index in tensors) and not _is_edge(name, operator, graph):
            left_over.append(f"{name} {graph.tensors[operator.outputs[0]].name.decode()}")
    return Audit(dict(operators.most_common()), tuple(left_over))


def operators_with_weights(model: bytes) -> list[tuple[str, np.ndarray]]:
    """(layer, its stored weights) of every convolution and dense layer in the order they run.

    The weights are as in the file, (outputs, height, width, inputs), int8 or float32, but those of a stem over pairs or
    rows as over single pixels; dense (outputs, inputs).
    """
    tree = flatbuffer_utils.convert_bytearray_to_object(bytearray(model))
    graph = tree.subgraphs[0]
    found = []
    for operator in graph.operators:
        if _name(tree.operatorCodes[operator.opcodeIndex]) not in _WEIGHTED:
            continue
        tensor = graph.tensors[operator.inputs[1]]
        stored = tree.buffers[tensor.buffer].data
        if stored is not None and tensor.name.decode() != GATHERER:
            kind = np.int8 if tensor.type == schema.TensorType.INT8 else np.float32
            values = np.frombuffer(bytes(stored), kind).reshape(tuple(tensor.shape))
            values = values if values.ndim < 4 else over_pixels(values)
            found.append((_layer_name(tensor.name.decode()), values))
    return found


def check_ranges(model: bytes) -> None:
    """Raise QuantizationError for the first int8 convolution or dense layer whose outputs have next to no range.

    A layer that gives zeros alone on the calibration images gets a scale near 0; XNNPACK then refuses the file.
    """
    tree = flatbuffer_utils.convert_bytearray_to_object(bytearray(model))
    graph = tree.subgraphs[0]
    for operator in graph.operators:
        if _name(tree.operatorCodes[operator.opcodeIndex]) not in _WEIGHTED:
            continue
        tensors = [graph.tensors[index] for index in (*operator.inputs[:2], operator.outputs[0])]
        if any(tensor.type != schema.TensorType.INT8 for tensor in tensors):
            continue
        image, weights, output = (float(np.max(tensor.quantization.scale)) for tensor in tensors)
        if image * weights / output >= LARGEST_RATIO:
            raise QuantizationError(
                f"{_layer_name(tensors[1].name.decode())}: gives nothing but zeros on the calibration images, so int8 "
                "has no range for it; train the run on (edgeface train student --init), or prune it less"
            )


def _layer_name(tensor: str) -> str:
    """The layer in a tensor's name such as 'squeezenext_1/quant_stem/Conv2D;...'."""
    parts = tensor.split(";")[0].split("/")
    return (parts[1] if len(parts) > 1 else parts[0]).removeprefix("quant_")


def _is_edge(name: str, operator: Any, graph: Any) -> bool:
    """Whether this is the conversion of an input of the model, or into an output of it."""
    outer = {int(index) for index in (*graph.inputs, *graph.outputs)}
    return name in _EDGES and bool(outer & {int(operator.inputs[0]), int(operator.outputs[0])})


def _name(code: Any) -> str:
    """The operator's name. Files for old runtimes keep small numbers in a field of their own."""
    if code.customCode:
        return code.customCode.decode()
    return _names()[max(code.builtinCode, code.deprecatedBuiltinCode)]


@cache
def _names() -> dict[int, str]:
    return {number: name for name, number in vars(schema.BuiltinOperator).items() if isinstance(number, int)}
