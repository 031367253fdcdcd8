"""Runs a model by the TensorFlow Lite C API of one LiteRT library: inside the emulated board, and on the host alike.

    python3 guest.py LIBRARY MODEL INPUTS OUTPUTS KERNELS

Standard library only: the emulated Python has no numpy, and this file runs outside the package. INPUTS holds the raw
input tensors one after the other; an inference is made of each, and OUTPUTS receives the raw outputs. KERNELS is
"xnnpack" or "builtin". Every inference lies between two marks, closings of a file descriptor that does not exist, which
the instruction counter sees.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys
from collections.abc import Callable

MARK = 0x7E570000
POINTER = ctypes.c_void_p


def main(library: str, model: str, inputs: str, outputs: str, kernels: str) -> None:
    """Run all inputs. Exits with a message when the runtime refuses the model."""
    api = _Api(library)
    interpreter = _interpreter(api, model, kernels)
    get = api.function("TfLiteInterpreterGetInputTensor", POINTER, POINTER, ctypes.c_int32)
    sources = [get(interpreter, index) for index in range(api.count("Input", interpreter))]
    get = api.function("TfLiteInterpreterGetOutputTensor", POINTER, POINTER, ctypes.c_int32)
    targets = [get(interpreter, index) for index in range(api.count("Output", interpreter))]
    invoke = api.function("TfLiteInterpreterInvoke", ctypes.c_int, POINTER)
    number = 0
    with open(inputs, "rb") as source, open(outputs, "wb") as target:
        while api.fill(sources, source.read):
            _mark(2 * number)
            status = invoke(interpreter)
            _mark(2 * number + 1)
            _check(status, "an inference")
            for tensor in targets:
                target.write(api.content(tensor))
            number += 1


class _Api:
    """The functions of the C API that are needed, with their types."""

    def __init__(self, library: str) -> None:
        self.library = ctypes.CDLL(library)
        self.size = self.function("TfLiteTensorByteSize", ctypes.c_size_t, POINTER)
        self.copy_in = self.function("TfLiteTensorCopyFromBuffer", ctypes.c_int, POINTER, POINTER, ctypes.c_size_t)
        self.copy_out = self.function("TfLiteTensorCopyToBuffer", ctypes.c_int, POINTER, POINTER, ctypes.c_size_t)

    def function(self, name: str, result: object, *arguments: object) -> Callable[..., int]:
        """A function of the library."""
        found = getattr(self.library, name)
        found.restype, found.argtypes = result, arguments
        return found

    def count(self, which: str, interpreter: int) -> int:
        """How many inputs or outputs there are."""
        return self.function(f"TfLiteInterpreterGet{which}TensorCount", ctypes.c_int32, POINTER)(interpreter)

    def fill(self, tensors: list[int], read: Callable[[int], bytes]) -> bool:
        """Set the tensors from the next bytes; False when there are none left."""
        for tensor in tensors:
            size = self.size(tensor)
            data = read(size)
            if len(data) != size:
                return False
            _check(self.copy_in(tensor, data, size), "setting an input")
        return True

    def content(self, tensor: int) -> bytes:
        """A tensor's raw bytes."""
        buffer = ctypes.create_string_buffer(self.size(tensor))
        _check(self.copy_out(tensor, buffer, len(buffer)), "reading an output")
        return buffer.raw


def _interpreter(api: _Api, path: str, kernels: str) -> int:
    model = api.function("TfLiteModelCreateFromFile", POINTER, ctypes.c_char_p)(path.encode())
    options = api.function("TfLiteInterpreterOptionsCreate", POINTER)()
    api.function("TfLiteInterpreterOptionsSetNumThreads", None, POINTER, ctypes.c_int32)(options, 1)
    interpreter = model and api.function("TfLiteInterpreterCreate", POINTER, POINTER, POINTER)(model, options)
    if not interpreter:
        raise SystemExit("the runtime cannot read the model")
    if kernels == "xnnpack":  # the C API, unlike the interpreter of the Python package, does not apply it by itself
        delegate = api.function("TfLiteXNNPackDelegateCreate", POINTER, POINTER)(None)
        modify = api.function("TfLiteInterpreterModifyGraphWithDelegate", ctypes.c_int, POINTER, POINTER)
        _check(modify(interpreter, delegate), "applying XNNPACK")
    _check(api.function("TfLiteInterpreterAllocateTensors", ctypes.c_int, POINTER)(interpreter), "allocating tensors")
    return interpreter


def _check(status: int, what: str) -> None:
    if status:
        raise SystemExit(f"{what} failed with status {status}")


def _mark(number: int) -> None:
    with contextlib.suppress(OSError):
        os.close(MARK + number)


if __name__ == "__main__":
    main(*sys.argv[1:])
