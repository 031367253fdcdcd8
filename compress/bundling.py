"""From a .tflite file to a measured bundle: accuracy and embeddings as on the device, the chain, and warnings."""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import tf_keras

from edgeface.bundle import store_thresholds, write_bundle
from edgeface.compress import calibration
from edgeface.compress.audit import Audit
from edgeface.compress.chain import run_chain, taught
from edgeface.compress.chain_speed import with_speed
from edgeface.compress.checks import CalibrationCheck, check_calibration
from edgeface.compress.export import INTEGER_MODES
from edgeface.compress.goal import MeasureFps
from edgeface.compress.preflight import unfit_layers
from edgeface.data.cache import cached_images
from edgeface.data.dataset import FaceDataset
from edgeface.embedder import Recognizer
from edgeface.metrics import cosine_summary, top_k
from edgeface.run import Run
from edgeface.thresholds import Threshold
from edgeface.train.batches import Images
from edgeface.verification import count_all_pairs, curve_of, thresholds_of


@dataclass(frozen=True)
class Work:
    """What a conversion is measured against: the run with its network, and that network's outputs (`reference`).
    `teacher` is the run that taught it in int8 training."""

    run: Run
    model: tf_keras.Model
    dataset: FaceDataset
    validation: Images
    reference: dict[str, np.ndarray]
    mode: str
    threads: int = 1
    float_layers: tuple[str, ...] = ()
    fps: MeasureFps | None = None
    teacher: Path | None = None


def write(work: Work, model: bytes, out: Path, settings: dict[str, Any], note: str) -> dict[str, Any]:
    """Measure a .tflite file, write its bundle with everything known of it, and return the figures of an `Outcome`."""
    measured, thresholds = _measure(work, model)
    chain = run_chain(work.run, work.model)
    chain[-1] |= {"accuracy": measured["float_accuracy"], "images": len(work.validation)}
    own = {"step": work.mode, "name": out.name, "network": work.run.network, "accuracy": measured["accuracy"]}
    own |= {"images": len(work.validation), "macs": chain[-1]["macs"], "bytes": len(model), "fps": None}
    chain = [*taught(chain, work.teacher), own]
    accuracy = {
        "before": measured["float_accuracy"],
        "after": measured["accuracy"],
        "images": len(work.validation),
        "data": _data_name(work),
        "embedding_cosine": measured["cosine"],
    }

    def save() -> None:
        write_bundle(
            out, model, work.run.identities, work.run.face_input, work.mode,
            accuracy=accuracy, source=_source(work, settings), note=note, chain=chain,
        )  # fmt: skip
        store_thresholds(out, thresholds)

    save()
    if work.fps is not None:  # measuring may be stopped, or fail: the bundle is there
        chain = with_speed(chain, model, work.mode, work.run.identities, work.run.face_input, work.fps)
        save()
    return {**measured, "chain": tuple(chain)}


def calibration_check(work: Work, train: Images, count: int, seed: int) -> CalibrationCheck:
    """Cross-check the images that a conversion was calibrated with."""
    chosen = calibration.choose(train.labels, count, seed)
    found = check_calibration(work.model, train.images[chosen], work.validation.images, work.run.face_input, seed)
    if not found.outliers:
        return found
    # The cache is there already; it alone knows which photos were left out.
    paths = cached_images(work.dataset, "train", work.run.face_input, warn=lambda text: None)[2]
    photos = [os.path.relpath(paths[chosen[outlier.image]], work.dataset.root) for outlier in found.outliers]
    named = (replace(outlier, photo=photo) for outlier, photo in zip(found.outliers, photos, strict=True))
    return replace(found, outliers=tuple(named))


def warnings(work: Work, found: Audit, checked: CalibrationCheck | None) -> tuple[str, ...]:
    """Sentences for people about what is not as it should be."""
    said = []
    floats = found.float_operators
    if work.float_layers:
        said.append(f"left in floats as asked: {', '.join(work.float_layers)} ({len(floats)} operators)")
    elif work.mode in INTEGER_MODES and floats:
        said.append(f"{len(floats)} operators are not in int8: {'; '.join(floats[:5])}")
    slow = [layer for layer in unfit_layers(work.model) if layer.kind == "PReLU"]
    if work.mode in INTEGER_MODES and slow:
        said.append(f"layer {slow[0].layer} (PReLU): {slow[0].instead}")
    if work.run.dataset.get("hash") not in (None, work.dataset.content_hash()):
        root = work.dataset.root
        said.append(f"{root} is not the data the run was trained on: its validation may hold seen images")
    return (*said, *(checked.warnings(work.mode) if checked else ()))


def _measure(work: Work, model: bytes) -> tuple[dict[str, Any], tuple[Threshold, ...]]:
    """Run the bundle, as a device would, on the validation images and compare it with the float network's outputs.

    The thresholds are of all pairs of those images: of people it knows. `edgeface calibrate` measures those of others.
    """
    with tempfile.TemporaryDirectory() as folder:
        bundle = write_bundle(Path(folder) / "bundle", model, work.run.identities, work.run.face_input, work.mode)
        recognizer = Recognizer(bundle, threads=work.threads)
        logits = recognizer.logits(work.validation.images, prepared=True)
        embedding = recognizer.embed(work.validation.images, prepared=True)
    figures = {
        "float_accuracy": top_k(work.reference["logits"], work.validation.labels),
        "accuracy": top_k(logits, work.validation.labels),
        "cosine": cosine_summary(work.reference["embedding"], embedding),
    }
    counts = count_all_pairs(embedding, work.validation.labels)
    if not all(counts.pairs):  # one photo a person: nothing to compare
        return figures, ()
    thresholds, _ = thresholds_of(curve_of(counts), f"{_data_name(work)}, people it was trained on")
    return figures, tuple(replace(entry, detector="none") for entry in thresholds)


def _data_name(work: Work) -> str:
    return f"{work.dataset.root.resolve().name}, val"


def _source(work: Work, settings: dict[str, Any]) -> dict[str, Any]:
    """Where the bundle came from, without the paths of this machine."""
    run = work.run
    return {
        "run": run.path.resolve().name,
        "network": run.network,
        "weights_sha256": run.info["weights_sha256"],
        "recipe": run.info.get("recipe"),
        "dataset": work.dataset.root.resolve().name,
        "dataset_hash": work.dataset.content_hash(),
        "revision": run.info.get("git_revision"),
        "quantization": settings,
        "versions": {name: version(name) for name in ("edgeface", "tensorflow", "tf-keras")},
    }
