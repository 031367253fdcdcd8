"""What the bench asks of a TFLite graph beyond running it: many images at a time, and the arena's size."""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from edgeface.interpreter import load_runtime
from edgeface.stderr import captured_stderr


def batch(model: bytes, threads: int, runtime: str | None, images: int, classes: int) -> Callable[[], Any]:
    """A function that runs `images` images through the model's first graph at once and fetches its logits.

    Raises ValueError or RuntimeError when the graph cannot be resized to so many.
    """
    interpreter = _interpreter(model, runtime, num_threads=threads)
    entry = interpreter.get_input_details()[0]
    shape = [images, *(int(length) for length in entry["shape"][1:])]
    interpreter.resize_tensor_input(entry["index"], shape)
    with captured_stderr():
        interpreter.allocate_tensors()
    outputs = {tuple(int(length) for length in out["shape"]): out["index"] for out in interpreter.get_output_details()}
    if (images, classes) not in outputs:
        raise ValueError(f"its outputs are {', '.join(map(str, outputs))}, none is {(images, classes)}")
    values = np.random.default_rng(0).integers(-128, 128, shape).astype(entry["dtype"])
    if values.dtype == np.float32:
        values /= 128

    def run() -> np.ndarray:
        interpreter.set_tensor(entry["index"], values)
        interpreter.invoke()
        return interpreter.get_tensor(outputs[images, classes])

    run()
    return run


def arena_bytes(model: bytes, runtime: str | None) -> int | None:
    """Bytes that all activations of the first graph take in the runtime's arena, weights apart.

    The runtime does not tell, so this loads the model without a delegate, where its own planner places every tensor,
    and looks where they are: from the first byte to the last, with what the built-in kernels need as scratch between
    them. None where the runtime cannot leave its delegate out.
    """
    try:
        interpreter = _interpreter(model, runtime, without_delegate=True)
        with captured_stderr():
            interpreter.allocate_tensors()
        details = {int(entry["index"]): entry for entry in interpreter.get_tensor_details()}
        written = {int(entry["index"]) for entry in interpreter.get_input_details()}
        for op in interpreter._get_ops_details():
            # What is made of constants alone, float32 weights of float16, is no activation.
            if written & {int(tensor) for tensor in op["inputs"]}:
                written |= {int(tensor) for tensor in op["outputs"]}
        views = [interpreter.tensor(index)() for index in written if index in details]
        places = [(view.__array_interface__["data"][0], view.nbytes) for view in views]
    except (AttributeError, KeyError, ValueError, RuntimeError, TypeError):
        return None
    return max(start + size for start, size in places) - min(start for start, _ in places)


def _interpreter(model: bytes, runtime: str | None, *, without_delegate: bool = False, **options: Any) -> Any:
    with captured_stderr(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # tf.lite warns that it will move to LiteRT
        backend, _ = load_runtime(runtime)
        if without_delegate:
            resolvers = importlib.import_module(backend.__module__).OpResolverType
            options["experimental_op_resolver_type"] = resolvers.BUILTIN_WITHOUT_DEFAULT_DELEGATES
        return backend(model_content=model, **options)
