"""Laying out a .tflite's first convolution over pairs or rows of pixels (see `edgeface.stem_layout`)."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
from tensorflow.lite.python import schema_py_generated as schema
from tensorflow.lite.tools import flatbuffer_utils

from edgeface.run import Run
from edgeface.stem_layout import GATHERER, NARROW, ROWS, gatherer, over_pairs, over_rows

STEMS = ("rows", "pairs", "plain")
_PAIRS = "stem_pairs/shape"


def lay_out_stem(model: bytes, stem: str) -> bytes:
    """The same model with its int8 stem over rows or pairs of pixels, or as it is where that cannot be done.

    Outputs are the same to the bit: the same products are added in int32. Needed are stride 2, an even width and no
    padding at the left. Narrow stems are laid out in pairs when `stem` is "rows".
    """
    if stem == "plain":
        return model
    tree = flatbuffer_utils.convert_bytearray_to_object(bytearray(model))
    graph = tree.subgraphs[0]
    convolutions = [op for op in graph.operators if _code(tree, op) == schema.BuiltinOperator.CONV_2D]
    if not convolutions or not _can_pair(graph, convolutions[0]):
        return model
    convolution = convolutions[0]
    image, weights = (graph.tensors[index] for index in convolution.inputs[:2])
    kernel = np.frombuffer(bytes(tree.buffers[weights.buffer].data), np.int8).reshape(weights.shape)
    width, channels = kernel.shape[2:]
    convolution.builtinOptions.strideW = 1
    pairs = _reshape(tree, graph, int(convolution.inputs[0]), [1, image.shape[1], image.shape[2] // 2, 2 * channels])
    added = [pairs]
    if stem == "rows" and width > NARROW:
        added.append(_gather(tree, graph, convolution, int(pairs.outputs[0]), gatherer(width, channels)))
        kernel = over_rows(kernel)
    else:
        kernel = over_pairs(kernel)
    tree.buffers[weights.buffer].data = np.frombuffer(kernel.tobytes(), np.uint8)
    weights.shape = np.array(kernel.shape, np.int32)
    convolution.inputs = np.array([added[-1].outputs[0], *convolution.inputs[1:]], np.int32)
    at = graph.operators.index(convolution)
    graph.operators[at:at] = added
    return bytes(flatbuffer_utils.convert_object_to_bytearray(tree))


def stem_of(model: bytes) -> str:
    """Which of `STEMS` a .tflite file has: not every one can be laid out as it was asked for."""
    return "rows" if GATHERER.encode() in model else "pairs" if _PAIRS.encode() in model else "plain"


def default_stem(run: Run) -> str:
    """The stem of a run's int8 files: rows, but plain where n of m neighbours are zero, which rows would not be."""
    return "plain" if (run.info.get("sparsity") or {}).get("pattern") else "rows"


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
    wanted = np.array([-1, *shape[1:]], np.int32)
    constant = _constant(tree, graph, _PAIRS, wanted, schema.TensorType.INT32)
    code = schema.OperatorCodeT()
    code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.RESHAPE
    code.version = 1
    tree.operatorCodes.append(code)
    operator = schema.OperatorT()
    operator.opcodeIndex = len(tree.operatorCodes) - 1
    operator.inputs = np.array([source, constant], np.int32)
    operator.outputs = np.array([_activation(graph, source, "stem_pairs", shape)], np.int32)
    operator.builtinOptionsType = schema.BuiltinOptions.ReshapeOptions
    operator.builtinOptions = schema.ReshapeOptionsT()
    operator.builtinOptions.newShape = wanted
    return operator


def _gather(tree: Any, graph: Any, stem: Any, source: int, kernel: np.ndarray) -> Any:
    """The convolution that copies what a row of the stem's kernel reads: weights of scale 1, the image's own scale."""
    lanes, _, pairs, _ = kernel.shape
    height, width = graph.tensors[source].shape[1:3]
    weights = _constant(tree, graph, GATHERER, kernel, schema.TensorType.INT8)
    graph.tensors[weights].quantization = _scales(np.ones(lanes))
    bias = _constant(tree, graph, "stem_rows/bias", np.zeros(lanes, np.int32), schema.TensorType.INT32)
    graph.tensors[bias].quantization = _scales(np.repeat(graph.tensors[source].quantization.scale, lanes))
    operator = copy.deepcopy(stem)
    operator.builtinOptions.strideH = 1
    operator.builtinOptions.padding = schema.Padding.VALID
    operator.builtinOptions.fusedActivationFunction = schema.ActivationFunctionType.NONE
    operator.inputs = np.array([source, weights, bias], np.int32)
    rows = _activation(graph, source, ROWS, [1, height, width - pairs + 1, lanes])
    operator.outputs = np.array([rows], np.int32)
    return operator


def _activation(graph: Any, like: int, name: str, shape: list[int]) -> int:
    """A new tensor that is computed, of another one's type and quantization; its index."""
    tensor = copy.deepcopy(graph.tensors[like])
    tensor.name, tensor.buffer, tensor.shape, tensor.shapeSignature = name.encode(), 0, np.array(shape, np.int32), None
    graph.tensors.append(tensor)
    return len(graph.tensors) - 1


def _constant(tree: Any, graph: Any, name: str, values: np.ndarray, kind: int) -> int:
    """A new tensor of stored values; its index."""
    buffer = schema.BufferT()
    buffer.data = np.frombuffer(values.tobytes(), np.uint8)
    tree.buffers.append(buffer)
    tensor = schema.TensorT()
    tensor.name, tensor.type, tensor.buffer = name.encode(), kind, len(tree.buffers) - 1
    tensor.shape = np.array(values.shape, np.int32)
    graph.tensors.append(tensor)
    return len(graph.tensors) - 1


def _scales(scales: np.ndarray) -> Any:
    """Scales by output channel, with zero-points of 0."""
    quantization = schema.QuantizationParametersT()
    quantization.scale = np.asarray(scales, np.float32)
    quantization.zeroPoint = np.zeros(len(scales), np.int64)
    return quantization


def _code(tree: Any, operator: Any) -> int:
    code = tree.operatorCodes[operator.opcodeIndex]
    return max(code.builtinCode, code.deprecatedBuiltinCode)
