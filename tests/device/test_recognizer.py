"""The Recognizer answers as the Keras network it came from, whatever form the photos have."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

import edgeface
from edgeface.embedder import Recognizer, softmax
from edgeface.errors import BundleError, ImageError


@pytest.fixture
def recognizer(tiny_bundle: Path) -> Recognizer:
    return Recognizer(tiny_bundle)


@pytest.fixture(scope="session")
def expected(tiny_keras, tiny_bundle: Path, tiny_photos: np.ndarray) -> dict[str, np.ndarray]:
    """What the Keras network says of the photos, through the same preprocessing object."""
    face_input = edgeface.FaceInput(32)
    prepared = np.stack([face_input.prepare(photo) for photo in tiny_photos])
    return {name: value.numpy() for name, value in tiny_keras(face_input.normalise(prepared), training=False).items()}


def test_same_answers_as_keras(
    recognizer: Recognizer, tiny_photos: np.ndarray, expected: dict[str, np.ndarray]
) -> None:
    np.testing.assert_allclose(recognizer.logits(tiny_photos), expected["logits"], atol=1e-4)
    np.testing.assert_allclose(recognizer.embed(tiny_photos), expected["embedding"], atol=1e-4)
    predictions = recognizer.predict(tiny_photos)
    probabilities = softmax(expected["logits"])
    assert [p.identity for p in predictions] == [f"person_{n}" for n in expected["logits"].argmax(axis=1)]
    np.testing.assert_allclose([p.confidence for p in predictions], probabilities.max(axis=1), atol=1e-4)


def test_int8_follows_keras_within_its_steps(
    tiny_bundles: dict[str, Path], tiny_photos: np.ndarray, expected: dict[str, np.ndarray]
) -> None:
    embeddings = Recognizer(tiny_bundles["int8"]).embed(tiny_photos)
    lengths = np.linalg.norm(embeddings, axis=1) * np.linalg.norm(expected["embedding"], axis=1)
    assert ((embeddings * expected["embedding"]).sum(axis=1) / lengths).min() > 0.98


def test_input_is_quantized_with_the_bundle_s_scale(tiny_bundles: dict[str, Path]) -> None:
    recognizer = Recognizer(tiny_bundles["int8"])
    tensor = recognizer.bundle.tensors["classify"].inputs[0]
    face = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    expected = tensor.quantize(recognizer.bundle.face_input.normalise(face))
    np.testing.assert_array_equal(recognizer.model_input(face)[0], expected)
    assert recognizer.model_input(face).dtype == np.int8


def test_float_input_is_face_input_s_own_scaling(recognizer: Recognizer) -> None:
    face = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    np.testing.assert_array_equal(recognizer.model_input(face)[0], recognizer.bundle.face_input.normalise(face))


def test_every_form_of_images_gives_the_same(recognizer: Recognizer, tiny_photos: np.ndarray, tmp_path: Path) -> None:
    paths = []
    for number, photo in enumerate(tiny_photos):
        paths.append(tmp_path / f"{number}.png")
        cv2.imwrite(str(paths[-1]), cv2.cvtColor(photo, cv2.COLOR_RGB2BGR))
    reference = recognizer.logits(tiny_photos)
    for images in (paths, [str(path) for path in paths], list(tiny_photos), iter(paths), [paths[0], *tiny_photos[1:]]):
        np.testing.assert_array_equal(recognizer.logits(images), reference)
    for one in (paths[0], str(paths[0]), tiny_photos[0]):
        np.testing.assert_array_equal(recognizer.logits(one), reference[:1])
    face_input = recognizer.bundle.face_input
    prepared = np.stack([face_input.prepare(photo) for photo in tiny_photos])
    prepared.setflags(write=False)
    np.testing.assert_array_equal(recognizer.logits(prepared, prepared=True), reference)


def test_predictions_are_ranked(recognizer: Recognizer, tiny_photos: np.ndarray) -> None:
    (prediction,) = recognizer.predict(tiny_photos[0], top=3)
    assert len(prediction.top) == 3
    assert prediction.top[0] == (prediction.identity, prediction.confidence)
    confidences = [confidence for _, confidence in recognizer.predict(tiny_photos[0], top=99)[0].top]
    assert confidences == sorted(confidences, reverse=True)
    assert sum(confidences) == pytest.approx(1)
    assert recognizer.predict([]) == []
    assert recognizer.embed([]).shape == (0, 128)


def test_bad_images_name_themselves(recognizer: Recognizer, tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"missing\.jpg"):
        recognizer.predict(tmp_path / "missing.jpg")
    with pytest.raises(ImageError, match="image 2"):
        recognizer.predict([np.zeros((40, 40, 3), np.uint8), np.zeros((40, 40), np.uint8)])
    with pytest.raises(ImageError, match="prepared"):
        recognizer.logits(np.zeros((1, 40, 40, 3), np.uint8), prepared=True)
    with pytest.raises(ImageError):
        recognizer.predict(np.zeros((40, 40), np.uint8))
    with pytest.raises(ImageError, match=r"image 1: expected an RGB uint8 image .*, got NoneType"):
        recognizer.predict([None])  # what cv2.imread gives for a file that is not there


def test_softmax_of_large_logits() -> None:
    np.testing.assert_allclose(softmax(np.array([[1000.0, 1000.0, -1000.0]])), [[0.5, 0.5, 0.0]])


def test_package_names(tiny_bundle: Path) -> None:
    assert edgeface.Recognizer is Recognizer
    with pytest.raises(BundleError):
        edgeface.Recognizer(tiny_bundle / "nothing")


def test_device_path_never_imports_tensorflow(tiny_bundle: Path, tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "photo.png"), np.full((40, 40, 3), 120, np.uint8))
    code = """
import sys
import edgeface
assert "numpy" not in sys.modules
from edgeface import Recognizer
print(Recognizer(sys.argv[1]).predict(sys.argv[2])[0].identity)
heavy = {"tensorflow", "tf_keras", "keras", "tensorflow_model_optimization", "matplotlib", "sklearn"} & set(sys.modules)
assert not heavy, heavy
"""
    done = subprocess.run(
        [sys.executable, "-c", code, tiny_bundle, tmp_path / "photo.png"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("person_")
