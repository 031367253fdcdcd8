"""Stored outputs of a bundle: what the model answered to three drawn pictures on the machine that wrote it.

A device whose runtime, kernels or processor compute something else is found out without a single photo.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from edgeface.bundle_schema import OUTPUTS
from edgeface.errors import BundleError
from edgeface.face_input import FaceInput
from edgeface.interpreter import Interpreter
from edgeface.metrics import cosine_summary

if TYPE_CHECKING:
    from edgeface.embedder import Recognizer

SELF_TEST_FILE = "self_test.json"
_FORMAT = 1
_PICTURES = 3
SMALLEST_COSINE = {"float32": 0.9999, "float16": 0.999, "dynamic": 0.99, "int8": 0.98, "qat": 0.98}
"""By mode. Kernels may round otherwise, by a step of int8; a wrong kernel or a damaged model gives far less."""


@dataclass(frozen=True)
class SelfTest:
    """The smallest cosine between stored and present outputs, by signature; `reference` is the runtime that stored."""

    passed: bool
    cosines: dict[str, float]
    needed: float
    reference: str

    def to_dict(self) -> dict[str, Any]:
        """A JSON-serialisable form."""
        return asdict(self)


def pictures(size: int) -> np.ndarray:
    """Three smooth pictures, uint8 (3, size, size, 3): triangle waves in whole numbers, the same on every machine."""
    number, row, column, channel = np.ogrid[:_PICTURES, :size, :size, :3]
    position = 512 * (row * (2 + number) + column * (5 - number)) // (3 * size) + 85 * channel + 60 * number
    return np.abs(position % 510 - 255).astype(np.uint8)


def reference_outputs(interpreter: Interpreter, face_input: FaceInput) -> bytes:
    """The content of the bundle's self-test file: outputs as real numbers, by signature."""
    values = face_input.normalise(pictures(face_input.size))
    outputs = {}
    for name in OUTPUTS:
        signature = interpreter.signatures[name]
        result = interpreter.run(name, signature.inputs[0].quantize(values))
        output = signature.outputs[0]
        rows = output.dequantize(result[output.name]).astype(float)
        outputs[name] = [[float(f"{value:.6g}") for value in row] for row in rows]
    document = {"format": _FORMAT, "runtime": interpreter.runtime, "outputs": outputs}
    return (json.dumps(document, separators=(",", ":")) + "\n").encode()


def run_self_test(recognizer: Recognizer) -> SelfTest | None:
    """Compare the bundle's stored outputs with what it answers here; None when it was written without them.

    Raises BundleError when the stored outputs do not belong to the model.
    """
    bundle = recognizer.bundle
    content = bundle.read_self_test()
    if content is None:
        return None
    probes = pictures(bundle.face_input.size)
    present = {"classify": recognizer.logits(probes, prepared=True), "embed": recognizer.embed(probes, prepared=True)}
    try:
        document = json.loads(content)
        stored = {name: np.asarray(document["outputs"][name], np.float32) for name in present}
        cosines = {name: cosine_summary(stored[name], present[name])["min"] for name in present}
        reference = str(document["runtime"])
    except (ValueError, KeyError, TypeError, RecursionError):
        raise BundleError(f"{bundle.path / SELF_TEST_FILE}: does not fit the model; export the bundle again") from None
    needed = SMALLEST_COSINE[bundle.mode]
    return SelfTest(all(value >= needed for value in cosines.values()), cosines, needed, reference)
