"""The process in which TensorFlow Lite Micro runs one model: `python -m edgeface.bench.mcu_worker MODEL`.

Prints one line of JSON: {"refusal": why} or {"arena": bytes, "outputs": how far they equal this computer's LiteRT}.
"""

from __future__ import annotations

import importlib
import json
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from edgeface.bench.tflite_ops import Graph, read_graph
from edgeface.stderr import captured_stderr

LARGEST_ARENA = 256 * 2**20
SEED = 0


def report(model: Path) -> dict[str, Any]:
    """Run one random input through TensorFlow Lite Micro and through LiteRT."""
    from tflite_micro import runtime

    graph = read_graph(model)
    with captured_stderr() as printed:
        try:
            interpreter = runtime.Interpreter.from_file(str(model), arena_size=_arena_guess(graph))
            values = [_random(graph, index) for index in graph.inputs]
            for number, value in enumerate(values):
                interpreter.set_input(value, number)
            interpreter.invoke()
            outputs = [np.array(interpreter.get_output(number)) for number in range(len(graph.outputs))]
            interpreter.print_allocations()
        except (RuntimeError, ValueError, KeyError) as error:
            return {"refusal": str(error).splitlines()[0] if str(error) else repr(error)}
    found = re.search(r"Arena allocation total (\d+) bytes", "\n".join(printed))
    if not found:
        return {"refusal": "this version of tflite-micro tells no arena size"}
    return {"arena": int(found.group(1)), "outputs": _equality(model, values, outputs)}


def _arena_guess(graph: Graph) -> int:
    """Enough for every tensor at once and TensorFlow Lite Micro's tables: the host has the memory."""
    tensors = sum(tensor.bytes for tensor in graph.tensors if not tensor.weight_bytes)
    return min(2 * tensors + 4096 * len(graph.ops) + 2**20, LARGEST_ARENA)


def _random(graph: Graph, index: int) -> Any:
    tensor, random = graph.tensors[index], np.random.default_rng(SEED)
    if tensor.dtype == "float32":
        return random.uniform(-1, 1, tensor.shape).astype(np.float32)
    limits = np.iinfo(tensor.dtype)
    return random.integers(limits.min, limits.max + 1, tensor.shape, dtype=tensor.dtype)


def _equality(model: Path, values: list[Any], outputs: list[Any]) -> dict[str, Any]:
    """How far this computer's LiteRT gives the same outputs, by its reference and by its fast kernels."""
    try:
        litert = importlib.import_module("ai_edge_litert.interpreter")
    except ImportError:
        return {"text": "outputs not compared: ai-edge-litert is not installed"}
    kernels = {"reference": litert.OpResolverType.BUILTIN_REF, "fast": litert.OpResolverType.AUTO}
    compared: dict[str, Any] = {name: _compare(litert, model, kind, values, outputs) for name, kind in kernels.items()}
    reference, fast = compared["reference"], compared["fast"]
    exact = "bit-equal" if reference["equal"] == 1 else f"{100 * reference['equal']:.1f} % equal"
    text = f"outputs: {exact} to the host's reference kernels, {100 * fast['equal']:.1f} % equal to its fast ones"
    return {**compared, "text": f"{text} (largest difference {100 * fast['largest']:.2g} % of the range)"}


def _compare(litert: Any, model: Path, kernels: Any, values: list[Any], outputs: list[Any]) -> Mapping[str, float]:
    with captured_stderr():
        host = litert.Interpreter(str(model), experimental_op_resolver_type=kernels, num_threads=1)
        host.allocate_tensors()
        for details, value in zip(host.get_input_details(), values, strict=True):
            host.set_tensor(details["index"], value)
        host.invoke()
        theirs = [host.get_tensor(details["index"]) for details in host.get_output_details()]
    equal = sum(int((a == b).sum()) for a, b in zip(outputs, theirs, strict=True))
    gaps = [_gap(a.astype(float), b.astype(float)) for a, b in zip(outputs, theirs, strict=True)]
    return {"equal": equal / sum(b.size for b in theirs), "largest": max(gaps)}


def _gap(a: np.ndarray, b: np.ndarray) -> float:
    """Largest difference as a share of the range of `b`."""
    return float(np.abs(a - b).max() / max(float(np.ptp(b)), np.finfo(np.float32).tiny))


if __name__ == "__main__":
    sys.stdout.write(json.dumps(report(Path(sys.argv[1]))) + "\n")
