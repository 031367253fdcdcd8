"""A network with YuNet's outputs, written as ONNX by hand: a cell of 32 x 32 pixels that is red is a face.

It lets OpenCV's own FaceDetectorYN run, decode and report, which a fake in its place would not show.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

POINTS = np.array([[0.3, 0.4], [0.7, 0.4], [0.5, 0.6], [0.35, 0.8], [0.65, 0.8]], np.float32)
"""Eyes, nose tip and mouth corners in a face of one cell, 0..1."""


def write_tiny_yunet(path: Path, strides: tuple[int, ...] = (8, 16, 32)) -> None:
    """One average pool, and one 1x1 convolution an output, for each of YuNet's strides; only 32 finds anything."""
    nodes, weights, outputs = b"", b"", b""
    for stride in strides:
        pool = _ints("kernel_shape", stride, stride) + _ints("strides", stride, stride)
        nodes += _field(1, _node("AveragePool", ["input"], f"pool_{stride}", pool))
        red = [[-1 / 250, 0, 1 / 250]] if stride == 32 else [[0, 0, 0]]  # blue, green, red
        for name, matrix, bias in (
            ("cls", red, [0]),
            ("obj", [[0, 0, 0]], [1]),
            ("bbox", np.zeros((4, 3)), [0.5, 0.5, 0, 0]),
            ("kps", np.zeros((10, 3)), POINTS.ravel()),
        ):
            output = f"{name}_{stride}"
            weights += _field(5, _tensor(f"w_{output}", np.reshape(matrix, (len(bias), 3, 1, 1))))
            weights += _field(5, _tensor(f"b_{output}", np.array(bias)))
            inputs, kernel = [f"pool_{stride}", f"w_{output}", f"b_{output}"], _ints("kernel_shape", 1, 1)
            convolution = _node("Conv", inputs, f"c_{output}", kernel)
            order = _field(5, _field(1, b"perm") + b"".join(_number(8, axis) for axis in (0, 2, 3, 1)) + _number(20, 7))
            nodes += _field(1, convolution) + _field(1, _node("Transpose", [f"c_{output}"], output, order))
            outputs += _field(12, _value(output, (1, 320 // stride, 320 // stride, len(bias))))
    graph = nodes + _field(2, b"tiny") + weights + _field(11, _value("input", (1, 3, 320, 320))) + outputs
    path.write_bytes(_number(1, 7) + _field(7, graph) + _field(8, _field(1, b"") + _number(2, 11)))


def _varint(value: int) -> bytes:
    low, rest = value & 127, value >> 7
    return bytes([low | 128]) + _varint(rest) if rest else bytes([low])


def _number(field: int, value: int) -> bytes:
    return _varint(field << 3) + _varint(value)


def _field(field: int, content: bytes) -> bytes:
    return _varint(field << 3 | 2) + _varint(len(content)) + content


def _ints(name: str, *values: int) -> bytes:
    return _field(5, _field(1, name.encode()) + b"".join(_number(8, value) for value in values) + _number(20, 7))


def _node(kind: str, inputs: list[str], output: str, attributes: bytes) -> bytes:
    names = b"".join(_field(1, name.encode()) for name in inputs)
    return names + _field(2, output.encode()) + _field(3, output.encode()) + _field(4, kind.encode()) + attributes


def _tensor(name: str, values: np.ndarray) -> bytes:
    dims = b"".join(_number(1, size) for size in values.shape)
    return dims + _number(2, 1) + _field(8, name.encode()) + _field(9, values.astype("<f4").tobytes())


def _value(name: str, shape: tuple[int, ...]) -> bytes:
    dims = b"".join(_field(1, _number(1, size)) for size in shape)
    return _field(1, name.encode()) + _field(2, _field(1, _number(1, 1) + _field(2, dims)))
