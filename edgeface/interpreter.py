"""Interpreter: LiteRT, tflite-runtime or tf.lite behind one small class.

The runtimes share an interface and differ in speed and reach: LiteRT is the fastest (int8 many times so),
tflite-runtime has wheels where LiteRT has none, tf.lite comes with TensorFlow. Give it only bytes or files whose size
and SHA-256 were checked: damaged files crash some runtimes and run unnoticed in others (see `bundle.py`).
"""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import sys
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edgeface.bundle_schema import OUTPUTS
from edgeface.errors import BundleError, MissingDependencyError, UsageError
from edgeface.stderr import captured_stderr

RUNTIMES: Mapping[str, tuple[str, str, str]] = {
    "litert": ("LiteRT", "ai_edge_litert.interpreter", "ai-edge-litert"),
    "tflite": ("tflite-runtime", "tflite_runtime.interpreter", "tflite-runtime"),
    "tf": ("TensorFlow", "tensorflow", "tensorflow"),
}
"""Name on the command line -> (name for people, module, distribution), in order of preference."""


@dataclass(frozen=True)
class Tensor:
    """One input or output: name, numpy dtype, shape, and its quantization (real = scale * (q - zero_point)), if any."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    scale: float | None = None
    zero_point: int | None = None

    def quantize(self, values: np.ndarray) -> np.ndarray:
        """Real float32 values to this tensor's dtype: rounded and clipped when quantized, else only cast."""
        if self.scale is None or self.zero_point is None:
            return values.astype(self.dtype)
        limits = np.iinfo(self.dtype)
        steps = np.rint(values / np.float32(self.scale)) + self.zero_point
        return np.clip(steps, limits.min, limits.max).astype(self.dtype)

    def dequantize(self, values: np.ndarray) -> np.ndarray:
        """This tensor's raw values to real float32."""
        if self.scale is None or self.zero_point is None:
            return values.astype(np.float32)
        return (values.astype(np.float32) - np.float32(self.zero_point)) * np.float32(self.scale)


@dataclass(frozen=True)
class Signature:
    """The inputs and outputs of one way to call a model, for instance `classify`."""

    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]


@dataclass(frozen=True)
class Delegate:
    """What runs a model's operators in place of the built-in kernels: `operators` of `of`, and the evidence for it."""

    name: str
    operators: int | None
    of: int | None
    evidence: str


@dataclass(frozen=True)
class Quantized:
    """One tensor of the graph, inner ones too: `scales` and `zero_points` are empty in floats, have one entry for the
    whole tensor, or one for each channel."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    scales: tuple[float, ...]
    zero_points: tuple[int, ...]


class Interpreter:
    """A TFLite model, loaded and ready to run on the CPU. Use one in each Python thread.

    `model` is a path or the file's bytes. `threads` is the number of CPU threads of one inference. `runtime` is
    "litert", "tflite", "tf", or None for the first that is installed. Raises MissingDependencyError without a
    runtime and BundleError when the runtime cannot load the model.

    Attributes: `runtime` ("LiteRT 2.3.0"), `signatures`, and `log`, what the runtime said while loading.
    """

    def __init__(self, model: str | Path | bytes, threads: int = 1, runtime: str | None = None) -> None:
        if threads < 1:
            raise UsageError(f"threads must be at least 1, not {threads}")
        self.threads = threads
        with captured_stderr() as log:
            backend, self.runtime = load_runtime(runtime)
            source = {"model_content": model} if isinstance(model, bytes) else {"model_path": str(model)}
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")  # tf.lite warns that it will move to LiteRT
                    self._interpreter = backend(**source, num_threads=threads)
                    self._interpreter.allocate_tensors()
                self._runners = {
                    name: self._interpreter.get_signature_runner(name)
                    for name in self._interpreter.get_signature_list()
                }
                self.signatures = {name: _signature(name, runner) for name, runner in self._runners.items()}
            except (ValueError, RuntimeError, KeyError, TypeError) as error:
                reason = (str(error).strip() or repr(error)).splitlines()[0]
                name = "the model" if isinstance(model, bytes) else str(model)
                raise BundleError(
                    f"{self.runtime} cannot load {name}: {reason}; export it again or update the runtime"
                ) from None
        self.log = tuple(log)

    def run(self, signature: str, images: np.ndarray) -> dict[str, np.ndarray]:
        """Run one signature on a stack of images, one after the other.

        `images` (N, ...) has the dtype and the shape, after the first axis, of the signature's only input.
        Returns each output stacked to (N, ...) in the model's own dtype (see `Tensor.dequantize`).
        """
        entry = self.signatures[signature]
        tensor = entry.inputs[0]
        if images.dtype != tensor.dtype or images.shape[1:] != tensor.shape[1:]:
            expected = f"{tensor.dtype} (N, {', '.join(map(str, tensor.shape[1:]))})"
            raise ValueError(f"{signature}: expected {expected}, got {images.dtype} {images.shape}")
        runner = self._runners[signature]
        if len(images) == 1:
            result = runner(**{tensor.name: images})
            return {out.name: result[out.name] for out in entry.outputs}
        outputs = {out.name: np.empty((len(images), *out.shape[1:]), out.dtype) for out in entry.outputs}
        for number in range(len(images)):
            result = runner(**{tensor.name: images[number : number + 1]})
            for name, rows in outputs.items():
                rows[number] = result[name][0]
        return outputs

    def tensors(self) -> tuple[Quantized, ...]:
        """Every tensor of the loaded graph that has a name, in the file's order."""
        found = []
        for values in self._interpreter.get_tensor_details():
            if not values["name"] or values["dtype"] is np.object_:
                continue
            quantization = values["quantization_parameters"]
            found.append(
                Quantized(
                    name=values["name"],
                    dtype=np.dtype(values["dtype"]).name,
                    shape=tuple(int(length) for length in values["shape"]),
                    scales=tuple(float(scale) for scale in quantization["scales"]),
                    zero_points=tuple(int(point) for point in quantization["zero_points"]),
                )
            )
        return tuple(found)

    def delegate(self) -> Delegate:
        """Which delegate took over how much of the first signature's graph, and how that is known."""
        try:
            taken, operators = _delegated(self._interpreter._get_ops_details())
        except (AttributeError, KeyError, ValueError, RuntimeError):
            return Delegate("unknown", None, None, "the runtime does not show its graph")
        if not taken:
            return Delegate("none", 0, operators, "the loaded graph has no delegate node")
        graph = f"in the loaded graph a delegate replaces {taken} of {operators} operators"
        if any("XNNPACK" in line for line in self.log):
            return Delegate("XNNPACK", taken, operators, f"{graph}; the runtime's log names XNNPACK")
        return Delegate("XNNPACK?", taken, operators, f"{graph}; XNNPACK is the runtimes' only default on a CPU")


def installed_runtimes() -> tuple[str, ...]:
    """The runtimes that are installed, by their command-line names, in order of preference. Loads none of them."""
    return tuple(name for name, (_, module, _) in RUNTIMES.items() if _is_installed(module))


def _is_installed(module: str) -> bool:
    try:
        return importlib.util.find_spec(module.split(".")[0]) is not None
    except (ImportError, ValueError):
        return False


def load_runtime(wanted: str | None) -> tuple[Any, str]:
    """The runtime's own Interpreter class, and its name with version. Raises as `Interpreter` does."""
    if wanted is not None and wanted not in RUNTIMES:
        raise UsageError(f"unknown runtime {wanted!r}; choose from {', '.join(RUNTIMES)}")
    reasons = []
    for name in (wanted,) if wanted else RUNTIMES:
        title, module, distribution = RUNTIMES[name]
        if not _is_installed(module):
            reasons.append(f"{distribution} is not installed")
            continue
        if name == "tflite" and "tensorflow" in sys.modules:  # their symbols clash: models fail to load
            reasons.append(f"{distribution} cannot share a process with TensorFlow")
            continue
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                loaded = importlib.import_module(module)
                backend = loaded.lite.Interpreter if name == "tf" else loaded.Interpreter
        except Exception as error:  # a wheel for another numpy or processor fails in many ways
            reasons.append(f"{distribution} does not load ({(str(error).splitlines() or [repr(error)])[0]})")
            continue
        return backend, f"{title} {_version(distribution)}"
    wish = RUNTIMES[wanted][2] if wanted else "ai-edge-litert"
    raise MissingDependencyError(f"no TFLite runtime: {'; '.join(reasons)}; install one with: pip install {wish}")


def _version(distribution: str) -> str:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return "of unknown version"


def _delegated(operators: Sequence[Mapping[str, Any]]) -> tuple[int, int]:
    """(operators that delegates replace, operators in all) of a loaded graph.

    A delegate adds a node with the inputs and outputs of the part that it took over; what lies between is its share.
    """
    nodes = [op for op in operators if op["op_name"] != "DELEGATE"]
    producers = {int(output): op for op in nodes for output in op["outputs"]}
    taken: set[int] = set()
    for delegate in (op for op in operators if op["op_name"] == "DELEGATE"):
        bounds = {int(tensor) for tensor in delegate["inputs"]}
        pending = [int(tensor) for tensor in delegate["outputs"]]
        while pending:
            op = producers.get(pending.pop())
            if op is not None and op["index"] not in taken:
                taken.add(op["index"])
                pending += [int(tensor) for tensor in op["inputs"] if int(tensor) not in bounds]
    return len(taken), len(nodes)


def _signature(name: str, runner: Any) -> Signature:
    """A bundle's signatures name both outputs of the graph that they share, and answer with their own."""
    outputs = _tensors(runner.get_output_details())
    own = tuple(output for output in outputs if output.name == OUTPUTS.get(name))
    return Signature(_tensors(runner.get_input_details()), own or outputs)


def _tensors(details: dict[str, Any]) -> tuple[Tensor, ...]:
    """The runtime's description of some tensors as ours; only whole-tensor quantization is kept."""
    tensors = []
    for name, values in details.items():
        scales = values["quantization_parameters"]["scales"]
        zero_points = values["quantization_parameters"]["zero_points"]
        whole = len(scales) == 1
        tensors.append(
            Tensor(
                name=name,
                dtype=np.dtype(values["dtype"]).name,
                shape=tuple(int(length) for length in values["shape"]),
                scale=float(scales[0]) if whole else None,
                zero_point=int(zero_points[0]) if whole else None,
            )
        )
    return tuple(tensors)
