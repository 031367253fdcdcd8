"""LiteRT's own profiler: microseconds of every operator, also inside the XNNPACK delegate.

The Python interpreter of LiteRT and of tflite-runtime has no profiler: with a delegate its graph is one node. LiteRT's
C library, which is in the same wheel, has one that the delegate reports to: XNNPACK's operators, timed one by one as
they run in the whole graph. It is called here by ctypes. Its interface moves between versions, so only those that this
was tried with are used; the caller runs it in a process of its own, which may die without harm.
"""

from __future__ import annotations

import ctypes
import importlib.metadata
import importlib.util
from pathlib import Path
from typing import Any

from edgeface.errors import MissingDependencyError

TRIED_VERSIONS = ("2.3.",)
_CPU = 1
_DELEGATE_OPERATOR = 8
"""tflite::Profiler::EventType::DELEGATE_PROFILED_OPERATOR_INVOKE_EVENT."""
_NO_DELEGATE_OPERATOR = 2
_ROOM_FOR_A_TYPE = 256
"""Bytes kept for LiteRtRankedTensorType, which is smaller."""


class _Event(ctypes.Structure):
    """ProfiledEventData: tag, type, start and length in microseconds, memory before and after, two numbers, source."""

    _fields_ = [
        ("tag", ctypes.c_char_p),
        ("type", ctypes.c_int),
        ("start_us", ctypes.c_uint64),
        ("elapsed_us", ctypes.c_uint64),
        ("memory_before", ctypes.c_int64 * 3),
        ("memory_after", ctypes.c_int64 * 3),
        ("index", ctypes.c_uint64),
        ("other", ctypes.c_uint64),
        ("source", ctypes.c_int),
    ]


class Profiler:
    """A model, loaded with the profiler on. `run` gives one inference's operators. `threads` as in `Interpreter`.

    Raises MissingDependencyError where LiteRT's C library is not installed in a version that was tried.
    """

    def __init__(self, model: bytes, threads: int = 1) -> None:
        self._library = _load_library()
        self._kept: list[Any] = [model]
        content = ctypes.create_string_buffer(model, len(model))
        self._kept.append(content)
        self._environment = self._new("LiteRtCreateEnvironment", ctypes.c_int(0), None)
        size = ctypes.c_size_t(len(model))
        self._model = self._new("LiteRtCreateModelFromBuffer", self._environment, content, size)
        options = self._options(threads)
        self._compiled = self._new("LiteRtCreateCompiledModel", self._environment, self._model, options)
        self._signature = self._new("LiteRtGetModelSignature", self._model, ctypes.c_size_t(0))
        self._inputs, self._outputs = self._buffers("Input"), self._buffers("Output")
        self._profiler = self._new("LiteRtCompiledModelGetProfiler", self._compiled)

    def run(self) -> list[tuple[str, float]]:
        """Run the model once on zeros: (operator's name in the runtime, microseconds) in the order they ran."""
        self._call("LiteRtResetProfiler", self._profiler)
        self._call("LiteRtStartProfiler", self._profiler)
        counts = ctypes.c_size_t(len(self._inputs)), ctypes.c_size_t(len(self._outputs))
        first = ctypes.c_size_t(0)
        self._call("LiteRtRunCompiledModel", self._compiled, first, counts[0], self._inputs, counts[1], self._outputs)
        self._call("LiteRtStopProfiler", self._profiler)
        count = ctypes.c_int()
        self._call("LiteRtGetNumProfilerEvents", self._profiler, ctypes.byref(count))
        events = (_Event * count.value)()
        self._call("LiteRtGetProfilerEvents", self._profiler, count, events)
        kept = [event for event in events if event.type in (_DELEGATE_OPERATOR, _NO_DELEGATE_OPERATOR)]
        return [(event.tag.decode("utf-8", "replace"), float(event.elapsed_us)) for event in kept]

    def _options(self, threads: int) -> ctypes.c_void_p:
        options = self._new("LiteRtCreateOptions")
        self._call("LiteRtSetOptionsHardwareAccelerators", options, ctypes.c_int(_CPU))
        release = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(lambda _: None)  # Python owns the payloads
        self._kept.append(release)
        for identifier, text in (
            (b"runtime_options_string", b"enable_profiling = true\n"),
            (b"xnnpack", f"num_threads = {threads}\n".encode()),
        ):
            payload = ctypes.create_string_buffer(text)
            self._kept.append(payload)
            opaque = self._new("LiteRtCreateOpaqueOptions", identifier, payload, release)
            self._call("LiteRtAddOpaqueOptions", options, opaque)
        return options

    def _buffers(self, side: str) -> Any:
        """Tensor buffers for all inputs or outputs of the signature, as a C array."""
        count = ctypes.c_size_t()
        self._call(f"LiteRtGetNumSignature{side}s", self._signature, ctypes.byref(count))
        buffers = []
        for index in range(count.value):
            place = ctypes.c_size_t(index)
            tensor = self._new(f"LiteRtGetSignature{side}TensorByIndex", self._signature, place)
            kind = ctypes.create_string_buffer(_ROOM_FOR_A_TYPE)
            self._call("LiteRtGetRankedTensorType", tensor, kind)
            needs = self._new(
                f"LiteRtGetCompiledModel{side}BufferRequirements", self._compiled, ctypes.c_size_t(0), place
            )
            made = self._new("LiteRtCreateManagedTensorBufferFromRequirements", self._environment, kind, needs)
            self._call("LiteRtClearTensorBuffer", made)  # chance values may be slow to compute with
            buffers.append(made.value)
        return (ctypes.c_void_p * len(buffers))(*buffers)

    def _new(self, function: str, *arguments: Any) -> ctypes.c_void_p:
        """Call a function whose last argument is where it puts a new handle."""
        handle = ctypes.c_void_p()
        self._call(function, *arguments, ctypes.byref(handle))
        return handle

    def _call(self, function: str, *arguments: Any) -> None:
        status = getattr(self._library, function)(*arguments)
        if status:
            raise RuntimeError(f"{function} gave status {status}")


def _load_library() -> ctypes.CDLL:
    install = "install it with: pip install 'ai-edge-litert==2.3.*'"
    try:
        version = importlib.metadata.version("ai-edge-litert")
    except importlib.metadata.PackageNotFoundError:
        raise MissingDependencyError(f"times by operator need LiteRT; {install}") from None
    if not version.startswith(TRIED_VERSIONS):
        raise MissingDependencyError(f"times by operator were tried with LiteRT 2.3 and not with {version}; {install}")
    specification = importlib.util.find_spec("ai_edge_litert")
    folder = Path(str(specification.origin if specification else "")).parent
    try:
        return ctypes.CDLL(str(next(folder.glob("libLiteRt.*"))))
    except (StopIteration, OSError):
        raise MissingDependencyError(f"LiteRT {version} has no C library here; {install}") from None
