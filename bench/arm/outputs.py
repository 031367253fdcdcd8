"""Whether the emulated board computes what this machine computes, and inputs to find out with."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from edgeface.bench.tflite_ops import Graph, Tensor
from edgeface.errors import UsageError

SEED = 20260


def random_inputs(graph: Graph, images: int) -> bytes:
    """Raw input tensors of `images` inferences: noise, each image of another brightness and contrast; always the same.

    Raises UsageError for inputs that are not numbers of a known size.
    """
    random = np.random.default_rng(SEED)
    parts = []
    for _ in range(images):
        middle, width = random.uniform(-0.5, 0.5), random.uniform(0.1, 1.0)
        for tensor in _tensors(graph, graph.inputs):
            values = np.clip(middle + random.uniform(-width, width, tensor.shape), -1, 1)
            parts.append(_as(values, np.dtype(tensor.dtype)).tobytes())
    return b"".join(parts)


def compare(graph: Graph, emulated: bytes, host: bytes) -> dict[str, Any]:
    """{"bit_equal", "values", "different", "largest_difference"} of raw outputs; the last in steps when quantized."""
    if len(emulated) != len(host):
        raise UsageError("the emulated and the host's outputs are of different sizes: not of the same model")
    values = different = 0
    largest = 0.0
    for a, b in zip(_split(graph, emulated), _split(graph, host), strict=True):
        values += a.size
        different += int(np.count_nonzero(a != b))
        largest = max(largest, float(np.max(np.abs(a.astype(np.float64) - b.astype(np.float64)), initial=0.0)))
    return {
        "bit_equal": emulated == host,
        "values": values,
        "different": different,
        "largest_difference": largest,
    }


def _split(graph: Graph, outputs: bytes) -> Iterator[np.ndarray]:
    """The raw outputs of all inferences, tensor by tensor."""
    tensors, at = _tensors(graph, graph.outputs), 0
    while at < len(outputs):
        for tensor in tensors:
            yield np.frombuffer(outputs[at : at + tensor.bytes], tensor.dtype)
            at += tensor.bytes


def _tensors(graph: Graph, indices: tuple[int, ...]) -> list[Tensor]:
    tensors = [graph.tensors[index] for index in indices]
    for tensor in tensors:
        if tensor.dtype not in ("float32", "int8", "uint8", "int16", "int32", "int64") or not tensor.bytes:
            raise UsageError(f"tensor {tensor.name!r} of type {tensor.dtype} {tensor.shape} cannot be emulated")
    return tensors


def _as(values: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Values in -1..1 over the range of an integer type, or as they are."""
    if dtype.kind == "f":
        return values.astype(dtype)
    limits = np.iinfo(dtype)
    return (
        np.rint((values + 1) / 2 * (float(limits.max) - limits.min) + limits.min)
        .clip(limits.min, limits.max)
        .astype(dtype)
    )
