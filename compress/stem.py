"""Making a .tflite's first convolution read pixels two by two (see `edgeface.pixel_pairs`)."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
from tensorflow.lite.python import schema_py_generated as schema
from tensorflow.lite.tools import flatbuffer_utils

from edgeface.pixel_pairs import paired

STEMS = ("pairs", "plain")


def pair_pixels(model: bytes) -> bytes:
    """The same model with its int8 stem over pairs of pixels, or as it is where that cannot be done.

    Outputs are the same to the bit: the same products are added in int32. Needed are stride 2, an even width and no
    padding at the left.
    """
    tree = flatbuffer_utils.convert_bytearray_to_object(bytearray(model))
    graph = tree.subgraphs[0]
    convolutions = [op for op in graph.operators if _code(tree, op) == schema.BuiltinOperator.CONV_2D]
    if not convolutions or not _can_pair(graph, convolutions[0]):
        return model
    stem = convolutions[0]
    image, weights = (graph.tensors[index] for index in stem.inputs[:2])
    kernel = np.frombuffer(bytes(tree.buffers[weights.buffer].data), np.int8).reshape(weights.shape)
    kernel = paired(kernel)
    tree.buffers[weights.buffer].data = np.frombuffer(kernel.tobytes(), np.uint8)
    weights.shape = np.array(kernel.shape, np.int32)
    stem.builtinOptions.strideW = 1
    pairs = _reshape(tree, graph, int(stem.inputs[0]), [1, image.shape[1], image.shape[2] // 2, kernel.shape[3]])
    graph.operators.insert(graph.operators.index(stem), pairs)
    stem.inputs = np.array([pairs.outputs[0], *stem.inputs[1:]], np.int32)
    return bytes(flatbuffer_utils.convert_object_to_bytearray(tree))


def _can_pair(graph: Any, stem: Any) -> bool:
    image, weights = (graph.tensors[index] for index in stem.inputs[:2])
    width, across, options = int(image.shape[2]), int(weights.shape[2]), stem.builtinOptions
    outputs = -(-width // 2)
    left = max(2 * (outputs - 1) + across - width, 0) // 2 if options.padding == schema.Padding.SAME else 0
    return (
        image.type == weights.type == schema.TensorType.INT8
        and image.shape[3] == 3
        and (options.strideW, options.dilationWFactor) == (2, 1)
        and width % 2 == 0
        and left == 0
    )


def _reshape(tree: Any, graph: Any, source: int, shape: list[int]) -> Any:
    """An operator that takes a tensor in another shape, its output a new tensor of any batch."""
    output = copy.deepcopy(graph.tensors[source])
    output.name, output.buffer, output.shape = b"stem_pairs", 0, np.array(shape, np.int32)
    output.shapeSignature = None
    wanted = np.array([-1, *shape[1:]], np.int32)
    buffer = schema.BufferT()
    buffer.data = np.frombuffer(wanted.tobytes(), np.uint8)
    tree.buffers.append(buffer)
    constant = schema.TensorT()
    constant.name, constant.type, constant.buffer = b"stem_pairs/shape", schema.TensorType.INT32, len(tree.buffers) - 1
    constant.shape = np.array([4], np.int32)
    graph.tensors += [output, constant]
    code = schema.OperatorCodeT()
    code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.RESHAPE
    code.version = 1
    tree.operatorCodes.append(code)
    operator = schema.OperatorT()
    operator.opcodeIndex = len(tree.operatorCodes) - 1
    operator.inputs = np.array([source, len(graph.tensors) - 1], np.int32)
    operator.outputs = np.array([len(graph.tensors) - 2], np.int32)
    operator.builtinOptionsType = schema.BuiltinOptions.ReshapeOptions
    operator.builtinOptions = schema.ReshapeOptionsT()
    operator.builtinOptions.newShape = wanted
    return operator


def _code(tree: Any, operator: Any) -> int:
    code = tree.operatorCodes[operator.opcodeIndex]
    return max(code.builtinCode, code.deprecatedBuiltinCode)
