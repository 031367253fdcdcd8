"""How much memory the tensors of a network take while it runs: lifetimes, and their placement in one arena.

Greedy by size, the planner of TensorFlow Lite and TensorFlow Lite Micro (Pisarchyk and Lee 2020,
https://arxiv.org/abs/2001.03288): the largest tensor first, each at the lowest place that is free while it lives.
"""

from __future__ import annotations

from edgeface.bench.tflite_ops import Graph, is_done_at_load

ALIGNMENT = 64
MICRO_ALIGNMENT = 16


def arena_bytes(graph: Graph, *, micro: bool = False) -> int:
    """Bytes of the arena for all tensors that are computed at run time, inputs and outputs included.

    TensorFlow Lite never overwrites an input; TensorFlow Lite Micro (`micro`) does, once nothing reads it any more.
    """
    alignment = MICRO_ALIGNMENT if micro else ALIGNMENT
    placed: list[tuple[int, int, int, int]] = []  # offset, end, first operator, last operator
    lifetimes = _lifetimes(graph, alignment, keep_inputs=not micro)
    for size, first, last in sorted(lifetimes, key=lambda item: (-item[0], item[1])):
        offset = 0
        for start, end, born, dead in sorted(placed):
            if born > last or dead < first:
                continue
            if start - offset >= size:
                break
            offset = max(offset, end)
        placed.append((offset, offset + size, first, last))
    return max((end for _, end, _, _ in placed), default=0)


def _lifetimes(graph: Graph, alignment: int, *, keep_inputs: bool) -> list[tuple[int, int, int]]:
    """(bytes, operator that writes it, last operator that reads it) of each tensor; inputs live from the start, outputs
    to the end. What is made of constants alone is made when the model is loaded, outside of the arena."""
    born = dict.fromkeys(graph.inputs, 0)
    dead = dict.fromkeys(graph.outputs, len(graph.ops))
    for op in graph.ops:
        if is_done_at_load(op):
            continue
        for tensor in op.outputs:
            born.setdefault(tensor, op.index)
        for tensor in (*op.inputs, *op.outputs):
            dead[tensor] = max(dead.get(tensor, 0), op.index)
    if keep_inputs:
        dead |= dict.fromkeys(graph.inputs, len(graph.ops))
    return [
        (-(-graph.tensors[tensor].bytes // alignment) * alignment, first, dead.get(tensor, first))
        for tensor, first in born.items()
        if graph.tensors[tensor].bytes and not graph.tensors[tensor].weight_bytes
    ]
