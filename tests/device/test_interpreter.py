"""One class over all runtimes: same answers, no noise, and a clear word when there is none."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
import types
from pathlib import Path

import numpy as np
import pytest

from edgeface import interpreter
from edgeface.embedder import Recognizer
from edgeface.errors import BundleError, MissingDependencyError, UsageError
from edgeface.interpreter import Interpreter, Tensor, captured_stderr, installed_runtimes
from edgeface.tensorflow_setup import silenced_stderr

RUNTIMES = [name for name in installed_runtimes() if name != "tflite"]
"""Those that can share a process with TensorFlow, which the fixtures load."""


def model_input(model: Interpreter, count: int = 3) -> np.ndarray:
    tensor = model.signatures["classify"].inputs[0]
    values = np.random.default_rng(1).uniform(-1, 1, (count, *tensor.shape[1:])).astype(np.float32)
    return tensor.quantize(values)


def test_order_of_preference() -> None:
    assert list(interpreter.RUNTIMES) == ["litert", "tflite", "tf"]
    assert set(installed_runtimes()) & {"litert", "tflite"}


@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize("mode", ["float32", "int8"])
def test_signatures_and_shapes(tiny_models: dict[str, bytes], runtime: str, mode: str) -> None:
    model = Interpreter(tiny_models[mode], runtime=runtime)
    assert set(model.signatures) == {"classify", "embed"}
    for signature, output, length in (("classify", "logits", 5), ("embed", "embedding", 128)):
        values = model.run(signature, model_input(model))[output]
        assert values.shape == (3, length)
        assert values.dtype == mode
    assert model.runtime.split()[0] == interpreter.RUNTIMES[runtime][0]
    assert model.runtime.split()[1][0].isdigit()


@pytest.mark.parametrize("mode", ["float32", "int8"])
def test_runtimes_agree(tiny_models: dict[str, bytes], mode: str) -> None:
    outputs = []
    for runtime in RUNTIMES:
        model = Interpreter(tiny_models[mode], runtime=runtime)
        tensor = model.signatures["classify"].outputs[0]
        outputs.append(tensor.dequantize(model.run("classify", model_input(model))["logits"]))
        step = tensor.scale or 1e-4
    for other in outputs[1:]:
        np.testing.assert_allclose(other, outputs[0], atol=2 * step)


def test_many_images_are_the_same_as_one_by_one(tiny_models: dict[str, bytes]) -> None:
    model = Interpreter(tiny_models["float32"])
    images = model_input(model, 4)
    together = model.run("classify", images)["logits"]
    for number in range(4):
        np.testing.assert_array_equal(model.run("classify", images[number : number + 1])["logits"][0], together[number])
    assert model.run("classify", images[:0])["logits"].shape == (0, 5)


def test_from_a_file(tiny_bundle: Path, tiny_models: dict[str, bytes]) -> None:
    from_file, from_bytes = Interpreter(tiny_bundle / "model.tflite"), Interpreter(tiny_models["float32"])
    image = model_input(from_file)
    np.testing.assert_array_equal(
        from_file.run("embed", image)["embedding"], from_bytes.run("embed", image)["embedding"]
    )


def test_wrong_input_is_refused_before_the_runtime_sees_it(tiny_models: dict[str, bytes]) -> None:
    model = Interpreter(tiny_models["float32"])
    for wrong in (np.zeros((1, 32, 32, 3), np.int8), np.zeros((1, 16, 16, 3), np.float32), np.zeros(3, np.float32)):
        with pytest.raises(ValueError, match="expected float32"):
            model.run("classify", wrong)


def test_delegate_is_read_from_the_graph(tiny_models: dict[str, bytes]) -> None:
    delegate = Interpreter(tiny_models["float32"], runtime="litert").delegate()
    assert delegate.name in ("XNNPACK", "XNNPACK?")
    assert delegate.of
    assert delegate.operators == delegate.of
    assert f"{delegate.of} of {delegate.of}" in delegate.evidence


def test_share_of_a_delegate() -> None:
    """conv(0->1), conv(1->2), odd(2->3), conv(3->4); the delegate took the first two."""
    graph = [
        {"index": 0, "op_name": "CONV_2D", "inputs": [0], "outputs": [1]},
        {"index": 1, "op_name": "CONV_2D", "inputs": [1], "outputs": [2]},
        {"index": 2, "op_name": "ODD", "inputs": [2], "outputs": [3]},
        {"index": 3, "op_name": "CONV_2D", "inputs": [3], "outputs": [4]},
    ]
    took_two = {"index": 4, "op_name": "DELEGATE", "inputs": [0], "outputs": [2]}
    took_last = {"index": 5, "op_name": "DELEGATE", "inputs": [3], "outputs": [4]}
    assert interpreter._delegated(graph) == (0, 4)
    assert interpreter._delegated([*graph, took_two]) == (2, 4)
    assert interpreter._delegated([*graph, took_two, took_last]) == (3, 4)


def test_bytes_that_are_no_model() -> None:
    with pytest.raises(BundleError, match="cannot load the model"):
        Interpreter(b"not a model at all, but long enough", runtime="litert")


def test_bad_options(tiny_models: dict[str, bytes]) -> None:
    with pytest.raises(UsageError, match="choose from litert, tflite, tf"):
        Interpreter(tiny_models["float32"], runtime="onnx")
    with pytest.raises(UsageError, match="at least 1"):
        Interpreter(tiny_models["float32"], threads=0)


def test_no_runtime_at_all(tiny_models: dict[str, bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(interpreter, "_is_installed", lambda module: False)
    with pytest.raises(MissingDependencyError, match="pip install ai-edge-litert"):
        Interpreter(tiny_models["float32"])
    with pytest.raises(MissingDependencyError, match="pip install tflite-runtime"):
        Interpreter(tiny_models["float32"], runtime="tflite")


def test_a_runtime_that_does_not_load_is_passed_over(
    tiny_models: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a wheel for another numpy or another processor: its import fails in whatever way."""
    real = importlib.import_module

    def load(name: str) -> types.ModuleType:
        if name.startswith("ai_edge_litert"):
            raise AttributeError("_ARRAY_API not found")
        return real(name)

    monkeypatch.setattr(interpreter.importlib, "import_module", load)
    assert Interpreter(tiny_models["float32"]).runtime.startswith("TensorFlow")
    monkeypatch.setattr(interpreter, "_is_installed", lambda module: True)
    with pytest.raises(MissingDependencyError, match="ai-edge-litert does not load"):
        Interpreter(tiny_models["float32"], runtime="litert")


def test_tflite_runtime_never_shares_a_process_with_tensorflow(tiny_models: dict[str, bytes]) -> None:
    """tflite-runtime 2.14 beside TensorFlow 2.21 fails to load sound models."""
    with pytest.raises(MissingDependencyError, match="tflite-runtime"):
        Interpreter(tiny_models["float32"], runtime="tflite")


@pytest.mark.skipif("tflite" not in installed_runtimes(), reason="tflite-runtime is not installed")
@pytest.mark.parametrize("mode", ["float32", "int8"])
def test_tflite_runtime_agrees(tiny_bundles: dict[str, Path], tiny_photos: np.ndarray, mode: str) -> None:
    code = """
import sys, numpy
from edgeface import Recognizer
recognizer = Recognizer(sys.argv[1], runtime="tflite")
assert recognizer.runtime.startswith("tflite-runtime"), recognizer.runtime
numpy.save(sys.argv[3], recognizer.logits(numpy.load(sys.argv[2])))
"""
    folder = tiny_bundles[mode].parent
    np.save(folder / "photos.npy", tiny_photos)
    files = [tiny_bundles[mode], folder / "photos.npy", folder / "logits.npy"]
    done = subprocess.run([sys.executable, "-c", code, *files], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    ours = Recognizer(tiny_bundles[mode])
    step = ours.bundle.tensors["classify"].outputs[0].scale or 2e-5  # kernels round differently
    np.testing.assert_allclose(np.load(folder / "logits.npy"), ours.logits(tiny_photos), atol=5 * step)


def test_quantize_and_dequantize() -> None:
    tensor = Tensor("image", "int8", (1, 2), 2 / 255, -1)
    levels = (np.arange(256, dtype=np.float32) - 127) * np.float32(2 / 255)
    np.testing.assert_array_equal(tensor.quantize(levels), np.arange(-128, 128))
    np.testing.assert_allclose(tensor.dequantize(tensor.quantize(levels)), levels, atol=1e-6)
    assert tensor.quantize(np.array([-9.0, 9.0], np.float32)).tolist() == [-128, 127]
    plain = Tensor("image", "float32", (1, 2))
    np.testing.assert_array_equal(plain.dequantize(plain.quantize(levels)), levels)


def test_standard_error_is_captured_and_restored(capfd: pytest.CaptureFixture[str]) -> None:
    with captured_stderr() as lines:
        subprocess.run([sys.executable, "-c", "import os; os.write(2, b'INFO: hello\\n')"], check=True)
    assert lines == ["INFO: hello"]
    sys.stderr.write("after\n")
    assert capfd.readouterr().err == "after\n"


def test_silenced_standard_error_is_shown_when_something_fails(capfd: pytest.CaptureFixture[str]) -> None:
    def speak(line: str) -> None:
        with silenced_stderr():
            os.write(2, line.encode() + b"\n")
            if "fails" in line:
                raise ValueError(line)

    speak("all is well")
    with pytest.raises(ValueError, match="it fails"):
        speak("it fails")
    assert capfd.readouterr().err == "it fails\n"


@pytest.mark.parametrize("lost", ["os.close(2)", "sys.stderr = None", "sys.stderr.close()"])
def test_a_process_without_standard_error_runs(lost: str) -> None:
    code = f"""
import os, sys
from edgeface.tensorflow_setup import silenced_stderr
{lost}
with silenced_stderr():
    print("ran")
try:
    with silenced_stderr():
        raise ValueError
except ValueError:
    print("raised")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "ran\nraised\n"), done.stderr


@pytest.mark.parametrize("runtime", [None, *installed_runtimes()])
def test_loading_is_silent(tiny_bundle: Path, runtime: str | None) -> None:
    code = f"import sys; from edgeface import Recognizer; Recognizer(sys.argv[1], runtime={runtime!r})"
    done = subprocess.run([sys.executable, "-c", code, tiny_bundle], capture_output=True, text=True, check=True)
    assert done.stdout + done.stderr == ""
