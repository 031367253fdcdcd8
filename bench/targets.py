"""What can be measured on this machine: a bundle in a TFLite runtime, or a run's network in TensorFlow."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edgeface.bench.document import shown_name
from edgeface.bundle import is_bundle, open_bundle
from edgeface.errors import BundleError, DataError
from edgeface.face_input import FaceInput
from edgeface.run import is_run, open_run

BATCH = 32
"""Images at a time when accuracy is measured."""
KEPT_FIRST = "no epoch of int8 training (mode qat) was better than the state before it, which the bundle holds"


@dataclass(frozen=True)
class Loaded:
    """A target ready to run in this process.

    `infer` runs one fixed image; `logits` takes prepared uint8 images; `batch(n)` gives a function that runs n images
    at a time and raises ValueError or RuntimeError where the graph cannot; `pipeline` goes from a photo's file to its
    label; `arena` gives the bytes of the runtime's arena, or None.
    """

    infer: Callable[[], Any]
    logits: Callable[[np.ndarray], np.ndarray]
    face_input: FaceInput
    labels: tuple[str, ...]
    runtime: str
    delegate: dict[str, Any]
    batch: Callable[[int], Callable[[], Any]]
    pipeline: Callable[[Path], Any]
    arena: Callable[[], int | None]


def describe(path: Path) -> tuple[dict[str, Any], tuple[str, ...]]:
    """(what is known of a target before it runs, its identities). Checks all its files; needs no TensorFlow.

    Raises BundleError or RunError when it is neither a bundle nor a run, or is damaged.
    """
    if not os.path.lexists(path):
        raise BundleError(f"{path}: does not exist; give a bundle or a run")
    facts: dict[str, Any]
    if is_bundle(path):
        bundle = open_bundle(path)
        facts = {"what": "bundle", "mode": bundle.mode, "file_bytes": bundle.size, "sha256": bundle.model_sha256}
        network, size, labels = str(bundle.source.get("network", "")), bundle.face_input.size, bundle.labels
        facts["notes"] = [KEPT_FIRST] if bundle.source.get("quantization", {}).get("kept_epoch") == 0 else []
    elif is_run(path):
        run = open_run(path)
        facts = {"what": "run", "mode": "float32", "file_bytes": run.weights.stat().st_size}
        facts["sha256"], facts["notes"] = str(run.info["weights_sha256"]), []
        network, size, labels = run.network, run.face_input.size, run.identities
    else:
        raise BundleError(f"{path}: neither a bundle (no bundle.json) nor a run (no run.json)")
    facts |= {"network": network, "input_size": size, "identities": len(labels)}
    return {"name": shown_name(path), **facts}, labels


def load(path: Path, threads: int, runtime: str | None) -> Loaded:
    """Load a bundle or a run for the CPU."""
    return _load_bundle(path, threads, runtime) if is_bundle(path) else _load_run(path, threads)


def check_data(name: str, labels: tuple[str, ...], data: Path, split: str) -> None:
    """Raise DataError unless a split has labelled photos, all of them of people whom the target knows."""
    from edgeface.data.layouts import load_dataset

    dataset = load_dataset(data)
    people = {dataset.identities[s.identity] for s in dataset.of(split) if s.identity is not None}
    strangers = sorted(people - set(labels))
    if strangers or not people:
        reason = f"{strangers[0]!r} is not among the people of {name}" if strangers else "it has no labels"
        raise DataError(f"{data}: accuracy cannot be measured on split {split!r}: {reason}; choose other data")


def accuracy(
    target: Loaded, data: Path, split: str, progress: Callable[[int, int], None] | None = None
) -> dict[str, Any]:
    """Top-1 of a target over the labelled photos of a split: `top1` (0..1), `images`, `data`, `split`, `runtime`.

    The split must have passed `check_data`. `progress(done, total)` counts images.
    """
    from edgeface.data.cache import cached_images
    from edgeface.data.layouts import load_dataset
    from edgeface.metrics import top_k

    dataset = load_dataset(data)
    images, labels, _ = cached_images(dataset, split, target.face_input)
    places = {name: index for index, name in enumerate(target.labels)}
    labelled = np.flatnonzero(labels >= 0)
    expected = np.array([places[dataset.identities[label]] for label in labels[labelled]])
    logits = []
    for start in range(0, len(labelled), BATCH):
        logits.append(target.logits(images[labelled[start : start + BATCH]]))
        if progress is not None:
            progress(min(start + BATCH, len(labelled)), len(labelled))
    top1 = top_k(np.concatenate(logits), expected, 1)
    return {
        "top1": top1,
        "images": len(labelled),
        "data": shown_name(data),
        "split": split,
        "runtime": target.runtime,
    }


def _face(size: int) -> np.ndarray:
    """The one image that latency is measured with; its content does not matter to a network."""
    return np.random.default_rng(0).integers(0, 256, (size, size, 3), dtype=np.uint8)


def _load_bundle(path: Path, threads: int, runtime: str | None) -> Loaded:
    from edgeface.bench import graphs
    from edgeface.embedder import Recognizer

    recognizer = Recognizer(path, threads, runtime)
    face_input = recognizer.bundle.face_input
    image = recognizer.model_input(_face(face_input.size))
    model = recognizer.bundle.read_model()
    return Loaded(
        infer=lambda: recognizer.interpreter.run("classify", image),
        logits=lambda images: recognizer.logits(images, prepared=True),
        face_input=face_input,
        labels=recognizer.labels,
        runtime=recognizer.runtime,
        delegate=asdict(recognizer.interpreter.delegate()),
        batch=lambda images: graphs.batch(model, threads, runtime, images, len(recognizer.labels)),
        pipeline=lambda photo: recognizer.predict(photo),
        arena=lambda: graphs.arena_bytes(model, runtime),
    )


def _load_run(path: Path, threads: int) -> Loaded:
    """The network as trained, in a tf.function of batch 1.

    Without oneDNN: on an AVX2 EPYC it made batch 1 slower, 104 against 4 ms of CPU time for SqueezeNext 1.0 and 133
    against 18 ms for the teacher at 96 px, which would flatter every ratio to a run. The environment cannot change
    this, because training switches oneDNN on in it.
    """
    open_run(path)  # before TensorFlow takes its time
    tf = _tensorflow(threads)
    from edgeface.models import load_run_model

    model, face_input, labels = load_run_model(path)
    size = face_input.size
    classify = tf.function(lambda image: model(image, training=False)["logits"])
    one = classify.get_concrete_function(tf.TensorSpec((1, size, size, 3), tf.float32))
    image = tf.constant(face_input.normalise(_face(size))[None])

    def batch(images: int) -> Callable[[], Any]:
        many = classify.get_concrete_function(tf.TensorSpec((images, size, size, 3), tf.float32))
        stack = tf.repeat(image, images, axis=0)
        return lambda: many(stack).numpy()

    def pipeline(photo: Path) -> str:
        from edgeface.data.images import read_image

        face = face_input.normalise(face_input.prepare(read_image(photo), photo))[None]
        return labels[int(one(tf.constant(face)).numpy().argmax())]

    return Loaded(
        infer=lambda: one(image).numpy(),
        logits=lambda images: classify(tf.constant(face_input.normalise(images))).numpy(),
        face_input=face_input,
        labels=tuple(labels),
        runtime=f"TensorFlow {tf.__version__}",
        delegate={"name": "none", "operators": None, "of": None, "evidence": "TensorFlow's own kernels, oneDNN off"},
        batch=batch,
        pipeline=pipeline,
        arena=lambda: None,
    )


def _tensorflow(threads: int) -> Any:
    """TensorFlow without oneDNN, on so many threads."""
    os.environ["TF_ENABLE_ONEDNN_OPTS"] = "0"
    from edgeface.tensorflow_setup import quiet_tensorflow

    quiet_tensorflow()
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    return tf
