"""A small student and a small teacher, trained for seconds on synthetic faces, as run folders."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from edgeface.face_input import FaceInput
from edgeface.files import sha256

SIZE = 40
PEOPLE = 8
RECIPE = """
size = 40
batch_size = 16

[augmentation]
rotation = 5.0

[distillation]
views = 2

[stage1]
epochs = 1
basic_augmentation = true
"""


@pytest.fixture(scope="session")
def faces(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Photos of 8 people, 16 for training and 8 for validation each: colour patterns under changing light.

    Easier than the drawn faces, so that a few seconds of training give a network whose accuracy means something.
    """
    folder = tmp_path_factory.mktemp("compress") / "faces"
    rng = np.random.default_rng(0)
    patterns = rng.uniform(0, 255, (PEOPLE, 4, 4, 3))
    for person, pattern in enumerate(patterns):
        for split, count in (("train", 16), ("val", 8)):
            place = folder / split / f"person_{person}"
            place.mkdir(parents=True)
            for number in range(count):
                light, noise = rng.uniform(0.6, 1.2), rng.normal(0, 45, pattern.shape)
                photo = cv2.resize(pattern * light + noise, (SIZE, SIZE), interpolation=cv2.INTER_CUBIC)
                cv2.imwrite(str(place / f"{number}.png"), np.clip(photo, 0, 255).astype(np.uint8))
    return folder


@pytest.fixture(scope="session")
def student_run(faces: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """SqueezeNext with two blocks, trained until it knows most of the validation images."""
    build = {"classes": PEOPLE, "size": SIZE, "width": 0.5, "blocks": [1, 1, 0, 0], "batch_norm_momentum": 0.9}
    return _train(tmp_path_factory.mktemp("runs") / "student", faces, build, seed=1)


@pytest.fixture(scope="session")
def teacher_run(faces: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wider one."""
    build = {"classes": PEOPLE, "size": SIZE, "width": 1.0, "blocks": [1, 1, 1, 0], "batch_norm_momentum": 0.9}
    return _train(tmp_path_factory.mktemp("runs") / "teacher", faces, build, seed=2)


@pytest.fixture(scope="session")
def student(student_run: Path):
    """The student's Keras network."""
    from edgeface.models import load_run_model

    return load_run_model(student_run)[0]


@pytest.fixture(scope="session")
def splits(faces: Path):
    """The training and the validation images."""
    from edgeface.tensorflow_setup import quiet_tensorflow

    quiet_tensorflow()
    from edgeface.data.layouts import load_dataset
    from edgeface.train.session import load_split

    dataset = load_dataset(faces)
    return load_split(dataset, "train", FaceInput(SIZE)), load_split(dataset, "val", FaceInput(SIZE))


@pytest.fixture(scope="session")
def samples(splits) -> np.ndarray:
    """64 training images as the network takes them, float32."""
    from edgeface.compress.calibration import samples

    return samples(splits[0].images[::2][:64], FaceInput(SIZE))


def _train(folder: Path, faces: Path, build: dict, seed: int) -> Path:
    from edgeface.tensorflow_setup import quiet_tensorflow

    quiet_tensorflow()
    import tensorflow as tf
    import tf_keras

    from edgeface.data.layouts import load_dataset
    from edgeface.models import build_network
    from edgeface.train.graph_passes import without_graph_passes
    from edgeface.train.optimizer import fused_adam
    from edgeface.train.session import load_split

    dataset = load_dataset(faces)
    data = load_split(dataset, "train", FaceInput(SIZE))
    images, labels = FaceInput(SIZE).normalise(np.asarray(data.images)), data.labels
    tf_keras.utils.set_random_seed(seed)
    model = build_network("squeezenext_23v5", build)
    optimizer = fused_adam(model.trainable_weights, 3e-3)

    @without_graph_passes
    @tf.function
    def step(batch, target):
        with tf.GradientTape() as tape:
            logits = model(batch, training=True)["logits"]
            loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(target, logits))
        optimizer.apply_gradients(
            zip(tape.gradient(loss, model.trainable_weights), model.trainable_weights, strict=True)
        )

    rng = np.random.default_rng(seed)
    for _ in range(12):
        order = rng.permutation(len(labels))
        for start in range(0, len(labels) - 31, 32):
            part = order[start : start + 32]
            step(tf.constant(images[part]), tf.constant(labels[part]))
    folder.mkdir()
    model.save_weights(folder / "weights.h5")
    (folder / "identities.txt").write_text("".join(f"{name}\n" for name in dataset.identities))
    (folder / "recipe.toml").write_text(RECIPE)
    info = {
        "format": 1,
        "network": "squeezenext_23v5",
        "build": build,
        "face_input": FaceInput(SIZE).to_dict(),
        "figures": {},
        "dataset": {"path": str(faces), "hash": dataset.content_hash()},
        "recipe": "toy",
        "weights_sha256": sha256(folder / "weights.h5"),
    }
    (folder / "run.json").write_text(json.dumps(info))
    return folder
