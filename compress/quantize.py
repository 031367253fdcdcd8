"""`edgeface quantize`: from a trained run to a bundle, measured on the validation images before it is written."""

from __future__ import annotations

import tempfile
import time
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import tf_keras

from edgeface.bundle import is_bundle, write_bundle
from edgeface.compress import calibration
from edgeface.compress.audit import Audit, audit
from edgeface.compress.export import INTEGER_MODES, check_options, to_tflite
from edgeface.compress.qat import Lesson, Plan, fine_tune, fitted_head
from edgeface.compress.qat_model import check_quantizable, fake_quantized
from edgeface.data.dataset import FaceDataset
from edgeface.data.layouts import load_dataset
from edgeface.embedder import Recognizer
from edgeface.errors import DataError, GateFailed, RunError, UsageError
from edgeface.files import storage_errors
from edgeface.metrics import cosine_summary, top_k
from edgeface.models import load_model
from edgeface.recipe import load_recipe
from edgeface.run import Run, open_run
from edgeface.train.batches import Images
from edgeface.train.evaluate import make_predictor, outputs_over
from edgeface.train.session import load_split
from edgeface.train.teacher_cache import TeacherCache


@dataclass(frozen=True)
class Request:
    """What the user asked for. `data` and `out` default to the run's dataset and to `bundles/<run>-<mode>`."""

    run: Path
    mode: str = "int8"
    io: str = "float"
    data: Path | None = None
    teacher: Path | None = None
    out: Path | None = None
    calibration: int = calibration.DEFAULT
    plan: Plan = field(default_factory=Plan)
    seed: int = 0
    threads: int = 2
    note: str = ""
    strict: bool = False
    quiet: bool = False


@dataclass(frozen=True)
class Outcome:
    """What came of it. Accuracies are top-1 on the validation images, 0..1, of the float network and of the bundle;
    `cosine` compares their embeddings (min, p1 = 1st percentile, mean). `bytes` is the size of the .tflite file,
    `operators` counts what it computes. `training` has a row for each epoch of qat, and `seconds` says where the time
    went. `warnings` are sentences for people."""

    bundle: Path
    mode: str
    io: str
    bytes: int
    images: int
    float_accuracy: float
    accuracy: float
    cosine: dict[str, float]
    operators: dict[str, int]
    training: list[dict[str, Any]]
    seconds: dict[str, float]
    warnings: tuple[str, ...]

    @property
    def drop(self) -> float:
        """Accuracy lost, percentage points; negative when the bundle is the better one."""
        return 100 * (self.float_accuracy - self.accuracy)

    def to_dict(self) -> dict[str, Any]:
        """A JSON-serialisable form, with `drop`."""
        return {**asdict(self), "bundle": str(self.bundle), "drop": self.drop}


class _Clock:
    """Seconds by what they were spent on."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self.last = time.monotonic()

    def lap(self, name: str) -> None:
        now = time.monotonic()
        self.seconds[name] = round(now - self.last, 1)
        self.last = now


def quantize(request: Request) -> Outcome:
    """Convert a run, measure the result on the validation images and write the bundle.

    Raises UsageError, RunError, DataError or StorageError; see their messages. See `check_gate` for a limit.
    """
    _check(request)
    clock = _Clock()
    run = open_run(request.run)
    out = request.out or Path("bundles") / f"{run.path.resolve().name}-{request.mode}"
    _check_out(out)
    dataset = _dataset(request, run)
    tf_keras.utils.set_random_seed(request.seed)
    model = load_model(run)
    if request.mode == "qat":
        check_quantizable(model)
    train = load_split(dataset, "train", run.face_input, strict=request.strict) if _needs_training(request) else None
    validation = load_split(dataset, "val", run.face_input, strict=request.strict)
    clock.lap("loading")
    model_bytes, training = _convert(request, run, model, train, validation, clock)
    reference = outputs_over(make_predictor(model), validation, run.face_input)
    measured = _measure(request, run, model_bytes, validation, reference)
    clock.lap("measuring")
    accuracy = {
        "before": measured["float_accuracy"],
        "after": measured["accuracy"],
        "images": len(validation),
        "data": f"{dataset.root.resolve().name}, val",
        "embedding_cosine": measured["cosine"],
    }
    source = _source(request, run, dataset, train)
    labels, face_input = run.identities, run.face_input
    write_bundle(
        out, model_bytes, labels, face_input, request.mode, accuracy=accuracy, source=source, note=request.note
    )
    found = audit(model_bytes)
    return Outcome(
        out, request.mode, request.io, len(model_bytes), len(validation), **measured, operators=found.operators,
        training=training, seconds=clock.seconds, warnings=_warnings(request, run, dataset, found),
    )  # fmt: skip


def check_gate(outcome: Outcome, max_drop: float | None) -> None:
    """Raise GateFailed when the bundle lost more than `max_drop` percentage points of accuracy."""
    # A hair of tolerance: 2 of 200 images are a drop of 1.0, whatever the binary fractions say.
    if max_drop is not None and not outcome.drop <= max_drop + 1e-9:
        raise GateFailed(
            f"{outcome.mode} lost {outcome.drop:.2f} points of accuracy, more than --max-drop {max_drop:g}; "
            f"the bundle was written to {outcome.bundle} all the same"
        )


def _check(request: Request) -> None:
    check_options(request.mode, request.io)
    if _needs_training(request):
        calibration.check_count(request.calibration)
    if request.mode == "qat":
        request.plan.check()
    elif request.teacher is not None:
        raise UsageError(f"--teacher teaches in --mode qat; --mode {request.mode} does not train")


def _check_out(out: Path) -> None:
    """Refuse, before minutes are spent, a folder that the bundle cannot be written to."""
    if out.exists() and not is_bundle(out) and not (out.is_dir() and not any(out.iterdir())):
        raise UsageError(f"{out} exists and is not a bundle; choose another folder with --out")
    with storage_errors(out):
        out.parent.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryDirectory(prefix=f".{out.name}-", dir=out.parent).cleanup()


def _needs_training(request: Request) -> bool:
    return request.mode in INTEGER_MODES


def _dataset(request: Request, run: Run) -> FaceDataset:
    """The dataset given, or the run's own, with the identities in the run's order."""
    path = request.data or Path(str(run.dataset.get("path", "")))
    if request.data is None and not (run.dataset.get("path") and path.is_dir()):
        raise DataError(f"{run.path}: its dataset {str(path)!r} is not there; give the folder with --data")
    return load_dataset(path).relabelled(run.identities)


def _convert(
    request: Request, run: Run, model: tf_keras.Model, train: Images | None, validation: Images, clock: _Clock
) -> tuple[bytes, list[dict[str, Any]]]:
    """The .tflite file's bytes, and the epochs of qat."""
    samples, training = None, []
    if train is not None:
        chosen = calibration.choose(train.labels, request.calibration, request.seed)
        samples = calibration.samples(train.images[chosen], run.face_input)
    source = model
    if request.mode == "qat" and train is not None and samples is not None:
        source = fake_quantized(model, samples, run.face_input.value_range)
        clock.lap("preparing qat")
        lesson = _lesson(request, run, model, train, validation)
        training = fine_tune(source, lesson, request.plan, quiet=request.quiet)
        clock.lap("training")
    model_bytes = to_tflite(source, request.mode, io=request.io, calibration=samples)
    clock.lap("converting")
    return model_bytes, training


def _lesson(request: Request, run: Run, model: tf_keras.Model, train: Images, validation: Images) -> Lesson:
    recipe = load_recipe(run.recipe, "student")
    alone = Lesson(train, validation, run.face_input, recipe, request.seed)
    if request.teacher is None:
        return alone
    teacher = open_run(request.teacher)
    if teacher.identities != run.identities:
        raise RunError(f"{teacher.path}: knows other identities than {run.path}; give the teacher it was trained with")
    if teacher.face_input != run.face_input:
        raise RunError(f"{teacher.path}: takes other images than {run.path}; both must have the same input contract")
    teacher_model = load_model(teacher)
    cache = TeacherCache(teacher, teacher_model, train, recipe.augmentation, quiet=request.quiet)
    taught = Lesson(train, validation, run.face_input, recipe, request.seed, cache)
    head = fitted_head(model, teacher_model, taught)
    return Lesson(train, validation, run.face_input, recipe, request.seed, cache, head)


def _measure(
    request: Request, run: Run, model_bytes: bytes, validation: Images, reference: dict[str, np.ndarray]
) -> dict[str, Any]:
    """Run the bundle, as a device would, on the validation images and compare it with the float network's outputs."""
    with tempfile.TemporaryDirectory() as folder:
        bundle = write_bundle(Path(folder) / "bundle", model_bytes, run.identities, run.face_input, request.mode)
        recognizer = Recognizer(bundle, threads=request.threads)
        logits = recognizer.logits(validation.images, prepared=True)
        embedding = recognizer.embed(validation.images, prepared=True)
    return {
        "float_accuracy": top_k(reference["logits"], validation.labels),
        "accuracy": top_k(logits, validation.labels),
        "cosine": cosine_summary(reference["embedding"], embedding),
    }


def _warnings(request: Request, run: Run, dataset: FaceDataset, found: Audit) -> tuple[str, ...]:
    warnings = []
    if request.mode in INTEGER_MODES and found.float_operators:
        listed = "; ".join(found.float_operators[:5])
        warnings.append(f"{len(found.float_operators)} operators are not in int8: {listed}")
    if run.dataset.get("hash") not in (None, dataset.content_hash()):
        warnings.append(f"{dataset.root} is not the data the run was trained on: its validation may hold seen images")
    return tuple(warnings)


def _source(request: Request, run: Run, dataset: FaceDataset, train: Images | None) -> dict[str, Any]:
    """Where the bundle came from, without the paths of this machine."""
    settings: dict[str, Any] = {"mode": request.mode, "io": request.io, "seed": request.seed}
    if train is not None:
        settings["calibration_images"] = min(request.calibration, len(train))
    if request.mode == "qat":
        settings |= asdict(request.plan)
        settings["teacher"] = None if request.teacher is None else request.teacher.resolve().name
    return {
        "run": run.path.resolve().name,
        "network": run.network,
        "weights_sha256": run.info["weights_sha256"],
        "recipe": run.info.get("recipe"),
        "dataset": dataset.root.resolve().name,
        "dataset_hash": dataset.content_hash(),
        "revision": run.info.get("git_revision"),
        "quantization": settings,
        "versions": {name: version(name) for name in ("edgeface", "tensorflow", "tf-keras")},
    }
