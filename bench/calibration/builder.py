"""Writes a .tflite file operator by operator: float32, or int8 as TensorFlow Lite's quantization scheme wants it.

Speed does not depend on the values of weights, so they are random. Building the files directly takes a second where
TensorFlow's converter takes a minute, and gives exactly the operators that the published files hold.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil, prod, sqrt
from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

ACTIVATIONS = {"": 0, "relu": 1, "relu6": 3}
_OPS = schema.BuiltinOperator
_OPTIONS = schema.BuiltinOptions


class Builder:
    """A network under construction. Its methods take and give indices of tensors; layouts are NHWC, batch 1.

    An int8 network quantizes activations to one range ([-6, 6], or [0, 6] after an activation function) and weights
    per output channel.
    """

    def __init__(self, dtype: str, seed: int = 0) -> None:
        if dtype not in ("float32", "int8"):
            raise ValueError(f"dtype {dtype!r} is neither float32 nor int8")
        self.int8 = dtype == "int8"
        self.random = np.random.default_rng(seed)
        self.buffers = [schema.BufferT()]
        self.tensors: list[Any] = []
        self.operators: list[Any] = []
        self.codes: dict[int, int] = {}

    def shape(self, tensor: int) -> tuple[int, ...]:
        """Shape of a tensor."""
        return tuple(self.tensors[tensor].shape)

    def image(self, side: int) -> int:
        """The input: one RGB image in [-1, 1]."""
        return self._activation("image", (1, side, side, 3), low=-1.0, high=1.0)

    def conv(
        self, x: int, filters: int, kernel: int | tuple[int, int], stride: int = 1, activation: str = "relu6"
    ) -> int:
        """Convolution with bias, padding "same"; `kernel` is its side, or height and width."""
        height, width = (kernel, kernel) if isinstance(kernel, int) else kernel
        weights, bias = self._weights(x, (filters, height, width, self.shape(x)[3]), axis=0)
        options = schema.Conv2DOptionsT(strideW=stride, strideH=stride, fusedActivationFunction=ACTIVATIONS[activation])
        shape = (1, *self._strided(x, stride), filters)
        return self._add(_OPS.CONV_2D, 3, "Conv2DOptions", options, (x, weights, bias), shape, activation)

    def depthwise(self, x: int, kernel: int, stride: int = 1, activation: str = "relu6") -> int:
        """Depthwise convolution with bias, padding "same"."""
        channels = self.shape(x)[3]
        weights, bias = self._weights(x, (1, kernel, kernel, channels), axis=3)
        options = schema.DepthwiseConv2DOptionsT(
            strideW=stride, strideH=stride, depthMultiplier=1, fusedActivationFunction=ACTIVATIONS[activation]
        )
        shape = (1, *self._strided(x, stride), channels)
        name = "DepthwiseConv2DOptions"
        return self._add(_OPS.DEPTHWISE_CONV_2D, 3, name, options, (x, weights, bias), shape, activation)

    def dense(self, x: int, outputs: int) -> int:
        """Fully connected layer with bias over (1, inputs)."""
        weights, bias = self._weights(x, (outputs, self.shape(x)[-1]), axis=0, per_channel=False)
        options = schema.FullyConnectedOptionsT()
        return self._add(_OPS.FULLY_CONNECTED, 4, "FullyConnectedOptions", options, (x, weights, bias), (1, outputs))

    def add(self, a: int, b: int, activation: str = "") -> int:
        """Sum of two tensors of one shape."""
        options = schema.AddOptionsT(fusedActivationFunction=ACTIVATIONS[activation])
        return self._add(_OPS.ADD, 2, "AddOptions", options, (a, b), self.shape(a), activation)

    def max_pool(self, x: int, kernel: int = 3, stride: int = 2) -> int:
        """Max pooling, padding "same"."""
        options = schema.Pool2DOptionsT(strideW=stride, strideH=stride, filterWidth=kernel, filterHeight=kernel)
        shape = (1, *self._strided(x, stride), self.shape(x)[3])
        return self._add(_OPS.MAX_POOL_2D, 2, "Pool2DOptions", options, (x,), shape, like=x)

    def global_pool(self, x: int) -> int:
        """Mean over height and width: (1, channels)."""
        axes = self._constant("axes", np.array([1, 2], np.int32))
        options = schema.ReducerOptionsT(keepDims=False)
        return self._add(_OPS.MEAN, 2, "ReducerOptions", options, (x, axes), (1, self.shape(x)[3]))

    def upsample(self, x: int, height: int, width: int) -> int:
        """Nearest-neighbour resizing."""
        size = self._constant("size", np.array([height, width], np.int32))
        options = schema.ResizeNearestNeighborOptionsT()
        shape = (1, height, width, self.shape(x)[3])
        name = "ResizeNearestNeighborOptions"
        return self._add(_OPS.RESIZE_NEAREST_NEIGHBOR, 2, name, options, (x, size), shape, like=x)

    def rows(self, x: int, columns: int) -> int:
        """Reshape to (1, rows, columns)."""
        shape = (1, prod(self.shape(x)) // columns, columns)
        target = self._constant("shape", np.array(shape, np.int32))
        options = schema.ReshapeOptionsT(newShape=list(shape))
        return self._add(_OPS.RESHAPE, 1, "ReshapeOptions", options, (x, target), shape, like=x)

    def concatenate(self, tensors: Sequence[int]) -> int:
        """Join (1, rows, columns) tensors of one quantization along their rows."""
        first = self.shape(tensors[0])
        shape = (1, sum(self.shape(tensor)[1] for tensor in tensors), first[2])
        options = schema.ConcatenationOptionsT(axis=1)
        name = "ConcatenationOptions"
        return self._add(_OPS.CONCATENATION, 2, name, options, tuple(tensors), shape, like=tensors[0])

    def softmax(self, x: int) -> int:
        """Softmax over the last axis; int8 gives 1/256 steps, as the scheme demands."""
        output = self._activation("softmax", self.shape(x), low=0.0, high=255 / 256)
        self._operator(_OPS.SOFTMAX, 2, "SoftmaxOptions", schema.SoftmaxOptionsT(beta=1.0), (x,), output)
        return output

    def logistic(self, x: int) -> int:
        """Sigmoid; int8 gives 1/256 steps."""
        output = self._activation("logistic", self.shape(x), low=0.0, high=255 / 256)
        self._operator(_OPS.LOGISTIC, 2, "NONE", None, (x,), output)
        return output

    def finish(self, inputs: Sequence[int], outputs: Sequence[int]) -> bytes:
        """The file's content."""
        graph = schema.SubGraphT(
            tensors=self.tensors, inputs=list(inputs), outputs=list(outputs), operators=self.operators, name="main"
        )
        codes = [
            schema.OperatorCodeT(deprecatedBuiltinCode=min(code, 127), builtinCode=code, version=version)
            for code, version in self.codes.items()
        ]
        model = schema.ModelT(
            version=3, operatorCodes=codes, subgraphs=[graph], buffers=self.buffers, description="calibration net"
        )
        writer = flatbuffers.Builder(1 << 20)
        writer.Finish(model.Pack(writer), b"TFL3")
        return bytes(writer.Output())

    def _strided(self, x: int, stride: int) -> tuple[int, int]:
        _, height, width, _ = self.shape(x)
        return ceil(height / stride), ceil(width / stride)

    def _add(
        self,
        code: int,
        version: int,
        options_name: str,
        options: Any,
        inputs: tuple[int, ...],
        shape: tuple[int, ...],
        activation: str = "",
        like: int | None = None,
    ) -> int:
        """An operator with one output; `like` is a tensor whose quantization the output must share."""
        output = self._activation(f"op{len(self.operators)}", shape, low=0.0 if activation else -6.0, high=6.0)
        if like is not None:
            self.tensors[output].quantization = self.tensors[like].quantization
        self._operator(code, version, options_name, options, inputs, output)
        return output

    def _operator(
        self, code: int, version: int, options_name: str, options: Any, inputs: tuple[int, ...], output: int
    ) -> None:
        self.codes.setdefault(code, version)
        self.operators.append(
            schema.OperatorT(
                opcodeIndex=list(self.codes).index(code),
                inputs=list(inputs),
                outputs=[output],
                builtinOptionsType=getattr(_OPTIONS, options_name),
                builtinOptions=options,
            )
        )

    def _activation(self, name: str, shape: tuple[int, ...], low: float, high: float) -> int:
        if not self.int8:
            return self._tensor(name, shape, schema.TensorType.FLOAT32)
        scale = (high - low) / 255
        quantization = _quantization([scale], [round(-128 - low / scale)])
        return self._tensor(name, shape, schema.TensorType.INT8, quantization=quantization)

    def _weights(self, x: int, shape: tuple[int, ...], axis: int, per_channel: bool = True) -> tuple[int, int]:
        """Random weights of variance 2 / inputs (He et al. 2015) and a zero bias."""
        outputs = shape[axis]
        spread = sqrt(2 / (prod(shape) // outputs))
        if not self.int8:
            values = self.random.standard_normal(shape, dtype=np.float32) * np.float32(spread)
            return self._constant("weights", values), self._constant("bias", np.zeros(outputs, np.float32))
        channels = outputs if per_channel else 1
        scale = 3 * spread / 127
        values = np.clip(np.rint(self.random.standard_normal(shape, dtype=np.float32) * 127 / 3), -127, 127)
        weights = self._constant(
            "weights", values.astype(np.int8), _quantization([scale] * channels, [0] * channels, axis)
        )
        step = self.tensors[x].quantization.scale[0] * scale
        bias = self._constant("bias", np.zeros(outputs, np.int32), _quantization([step] * channels, [0] * channels))
        return weights, bias

    def _constant(self, name: str, values: np.ndarray, quantization: Any = None) -> int:
        kinds = {"float32": schema.TensorType.FLOAT32, "int8": schema.TensorType.INT8, "int32": schema.TensorType.INT32}
        self.buffers.append(schema.BufferT(data=values.reshape(-1).view(np.uint8)))
        return self._tensor(name, values.shape, kinds[values.dtype.name], len(self.buffers) - 1, quantization)

    def _tensor(self, name: str, shape: tuple[int, ...], kind: int, buffer: int = 0, quantization: Any = None) -> int:
        self.tensors.append(
            schema.TensorT(
                shape=list(shape),
                type=kind,
                buffer=buffer,
                name=f"{name}:{len(self.tensors)}",
                quantization=quantization,
                hasRank=True,
            )
        )
        return len(self.tensors) - 1


def _quantization(scales: list[float], zero_points: list[int], axis: int = 0) -> Any:
    return schema.QuantizationParametersT(scale=scales, zeroPoint=zero_points, quantizedDimension=axis)
