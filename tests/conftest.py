"""Fixtures that several rooms share: a tiny untrained network as Keras model, run and bundles, built once."""

from __future__ import annotations

import json
import os
import warnings
from pathlib import Path

import cv2
import numpy as np
import pytest

from edgeface.bundle import write_bundle
from edgeface.face_input import FaceInput
from edgeface.files import sha256

if "PYTEST_XDIST_WORKER" in os.environ:
    # Workers share the cores: with as many threads each as there are cores, they would wait for one another.
    os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "1")

TINY_SIZE = 32
TINY_LABELS = tuple(f"person_{number}" for number in range(5))
TINY_BUILD = {"classes": len(TINY_LABELS), "size": TINY_SIZE, "width": 0.5, "blocks": [1, 0, 0, 0]}


@pytest.fixture(scope="session")
def tiny_keras():
    """SqueezeNext with one block, 32 px, 5 people, random weights: inputs in [-1, 1]."""
    from edgeface.tensorflow_setup import quiet_tensorflow

    quiet_tensorflow()
    import tf_keras

    from edgeface.models import build_network

    tf_keras.utils.set_random_seed(7)
    return build_network("squeezenext_23v5", dict(TINY_BUILD))


@pytest.fixture(scope="session")
def tiny_models(tiny_keras, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """.tflite bytes by mode: "float32" and "int8", each with the signatures classify and embed."""
    from edgeface.interpreter import captured_stderr

    with captured_stderr(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        saved = _save(tiny_keras, tmp_path_factory.mktemp("saved"))
        return {"float32": _convert(saved), "int8": _convert(saved, int8=True)}


@pytest.fixture(scope="session")
def tiny_bundles(tiny_models: dict[str, bytes], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Bundle folders by mode. Shared: copy one before changing it."""
    root = tmp_path_factory.mktemp("bundles")
    accuracy = {"before": 0.9, "after": 0.875, "images": 40, "data": "synthetic, val"}
    source = {"run": "tiny", "network": "squeezenext_23v5", "versions": {"tensorflow": "0"}}
    return {
        mode: write_bundle(
            root / f"tiny-{mode}", model, TINY_LABELS, FaceInput(TINY_SIZE), mode, accuracy=accuracy, source=source
        ).path
        for mode, model in tiny_models.items()
    }


@pytest.fixture(scope="session")
def tiny_bundle(tiny_bundles: dict[str, Path]) -> Path:
    """The float32 bundle."""
    return tiny_bundles["float32"]


@pytest.fixture(scope="session")
def tiny_run(tiny_keras, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder with the same network."""
    folder = tmp_path_factory.mktemp("runs") / "tiny"
    folder.mkdir()
    tiny_keras.save_weights(folder / "weights.h5")
    (folder / "identities.txt").write_text("".join(f"{label}\n" for label in TINY_LABELS))
    (folder / "recipe.toml").write_text("")
    info = {
        "format": 1,
        "network": "squeezenext_23v5",
        "build": TINY_BUILD,
        "face_input": FaceInput(TINY_SIZE).to_dict(),
        "figures": {},
        "dataset": {},
        "weights_sha256": sha256(folder / "weights.h5"),
    }
    (folder / "run.json").write_text(json.dumps(info))
    return folder


@pytest.fixture(scope="session")
def tiny_photos() -> np.ndarray:
    """Eight smooth random pictures, uint8 (8, 48, 40, 3)."""
    rng = np.random.default_rng(3)
    coarse = rng.integers(0, 256, (8, 6, 5, 3), dtype=np.uint8)
    return np.stack([cv2.resize(image, (40, 48), interpolation=cv2.INTER_CUBIC) for image in coarse])


@pytest.fixture
def tiny_data(tmp_path: Path, tiny_photos: np.ndarray) -> Path:
    """A dataset of those pictures: train/ and val/ with every person of the tiny network."""
    folder = tmp_path / "faces"
    for number, label in enumerate(TINY_LABELS):
        for split, shift in (("train", 0), ("val", 3)):
            place = folder / split / label
            place.mkdir(parents=True)
            cv2.imwrite(str(place / "1.png"), tiny_photos[(number + shift) % len(tiny_photos)])
    return folder


def _save(model, folder: Path) -> Path:
    """A SavedModel with the two signatures of a bundle, batch 1."""
    import tensorflow as tf

    module = tf.Module()
    module.weights = model.weights  # saving the model itself would trace every layer
    image = tf.TensorSpec((1, TINY_SIZE, TINY_SIZE, 3), tf.float32, name="image")
    signatures = {
        name: tf.function(lambda image, output=output: {output: model(image, training=False)[output]})
        for name, output in (("classify", "logits"), ("embed", "embedding"))
    }
    concrete = {name: function.get_concrete_function(image) for name, function in signatures.items()}
    tf.saved_model.save(module, str(folder), signatures=concrete)
    return folder


def _convert(saved: Path, *, int8: bool = False) -> bytes:
    import tensorflow as tf

    converter = tf.lite.TFLiteConverter.from_saved_model(str(saved), signature_keys=["classify", "embed"])
    if int8:
        images = np.random.default_rng(0).uniform(-1, 1, (8, 1, TINY_SIZE, TINY_SIZE, 3)).astype(np.float32)
        images[0], images[1] = -1, 1
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = lambda: (
            (name, {"image": image}) for name in ("classify", "embed") for image in images
        )
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = converter.inference_output_type = tf.int8
    return converter.convert()
