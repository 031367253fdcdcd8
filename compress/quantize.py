"""`edgeface quantize`: from a trained run to a bundle, measured on the validation images before it is written."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import tf_keras

from edgeface.compress import bundling, calibration, qat_run
from edgeface.compress.audit import audit
from edgeface.compress.export import INTEGER_MODES, check_options, to_tflite
from edgeface.compress.float_layers import resolve
from edgeface.compress.goal import MeasureFps
from edgeface.compress.places import check_apart, check_out, data_folder
from edgeface.compress.qat import Plan, fine_tune, kept_epoch, training_warnings
from edgeface.compress.qat_model import check_quantizable, fake_quantized
from edgeface.compress.stem import default_stem, stem_of
from edgeface.compress.teaching import lesson, open_teacher
from edgeface.data.dataset import FaceDataset
from edgeface.data.layouts import load_dataset
from edgeface.errors import GateFailed, UsageError
from edgeface.models import load_model
from edgeface.run import Run, open_run
from edgeface.train.batches import Images
from edgeface.train.outputs import make_predictor, outputs_over
from edgeface.train.session import load_split


@dataclass(frozen=True)
class Request:
    """What the user asked for. `data` and `out` default to the run's dataset and to `bundles/<run>-<mode>`.

    `float_layers` is the text of --float-layers, `sensitivity` the audit that 'auto' reads. `self_distill` lets the
    student's own float network teach. `save_run` keeps the network trained for int8 as a run. `fps` measures bundles.
    `stem` is how the first int8 convolution reads pixels, see `stem.py`; None leaves it to the run.
    """

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
    self_distill: bool = False
    float_layers: str = ""
    sensitivity: Mapping[str, Any] | None = None
    save_run: Path | None = None
    fps: MeasureFps | None = None
    stem: str | None = None


@dataclass(frozen=True)
class Outcome:
    """What came of it. Accuracies are top-1 on the validation images, 0..1, of the float network and of the bundle;
    `cosine` compares their embeddings (min, p1 = 1st percentile, mean). `bytes` is the size of the .tflite file,
    `operators` counts what it computes, `float_layers` were left in floats as asked. `training` has a row for each
    epoch of qat, and `seconds` says where the time went. `calibration` is None without calibration, else what was found
    of its images. `chain` has the steps from the teacher on. `warnings` are sentences for people."""

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
    float_layers: tuple[str, ...] = ()
    calibration: dict[str, Any] | None = None
    chain: tuple[dict[str, Any], ...] = ()
    run: Path | None = None

    @property
    def drop(self) -> float:
        """Accuracy lost, percentage points; negative when the bundle is the better one."""
        return 100 * (self.float_accuracy - self.accuracy)

    def to_dict(self) -> dict[str, Any]:
        """A JSON-serialisable form, with `drop`."""
        paths = {"bundle": str(self.bundle), "run": None if self.run is None else str(self.run)}
        return {**asdict(self), **paths, "drop": self.drop}


@dataclass(frozen=True)
class _Converted:
    """The .tflite file, and what was learnt on the way to it. `calibration` images set its ranges."""

    model: bytes
    training: list[dict[str, Any]]
    teaching: dict[str, Any]
    calibration: int


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
    run = check_request(request)
    clock = _Clock()
    dataset = dataset_of(run, request.data)
    tf_keras.utils.set_random_seed(request.seed)
    model = load_model(run)
    float_layers: tuple[str, ...] = ()
    if request.mode == "qat":
        check_quantizable(model)
        stored = qat_run.stored(run)
        float_layers = stored.float_layers if stored else resolve(model, request.float_layers, request.sensitivity)
    train = (
        load_split(dataset, "train", run.face_input, strict=request.strict) if request.mode in INTEGER_MODES else None
    )
    validation = load_split(dataset, "val", run.face_input, strict=request.strict)
    clock.lap("loading")
    reference = outputs_over(make_predictor(model), validation, run.face_input)
    clock.lap("float network")
    converted = _convert(request, run, model, float_layers, train, validation, clock)
    work = bundling.Work(
        run, model, dataset, validation, reference, request.mode, request.threads, float_layers, request.fps,
        request.teacher,
    )  # fmt: skip
    checked = None
    if train is not None and converted.calibration:
        checked = bundling.calibration_check(work, train, request.calibration, request.seed)
        clock.lap("checking calibration")
    measured = bundling.write(
        work, converted.model, _out(request), _settings(request, float_layers, converted), request.note
    )
    clock.lap("measuring")
    found = audit(converted.model)
    return Outcome(
        _out(request), request.mode, request.io, len(converted.model), len(validation), **measured,
        operators=found.operators, training=converted.training, seconds=clock.seconds,
        warnings=(*bundling.warnings(work, found, checked), *training_warnings(request.plan, converted.training)),
        float_layers=float_layers, calibration=None if checked is None else asdict(checked),
        run=request.save_run,
    )  # fmt: skip


def check_gate(outcome: Outcome, max_drop: float | None) -> None:
    """Raise GateFailed when the bundle lost more than `max_drop` percentage points of accuracy."""
    # A hair of tolerance: 2 of 200 images are a drop of 1.0, whatever the binary fractions say.
    if max_drop is not None and not outcome.drop <= max_drop + 1e-9:
        raise GateFailed(
            f"{outcome.mode} lost {outcome.drop:.2f} points of accuracy, more than --max-drop {max_drop:g}; "
            f"the bundle was written to {outcome.bundle} all the same"
        )


def dataset_of(run: Run, data: Path | None) -> FaceDataset:
    """The dataset given, or the run's own, with the identities in the run's order. Raises DataError."""
    return load_dataset(data_folder(run, data)).relabelled(run.identities)


def check_request(request: Request) -> Run:
    """Open the run and refuse, before anything is loaded or made, what does not fit it. Raises UsageError, RunError."""
    _check(request)
    run = open_run(request.run)
    _check_trained(request, run)
    check_out(_out(request))
    if request.save_run is not None:
        check_out(request.save_run)
    return run


def _check(request: Request) -> None:
    check_options(request.mode, request.io, request.stem)
    if request.mode in INTEGER_MODES:
        calibration.check_count(request.calibration)
    if request.mode == "qat":
        if request.plan.epochs:  # 0 is for a run that is trained for int8 already, see _check_trained
            request.plan.check()
    elif request.teacher is not None:
        raise UsageError(f"--teacher teaches in --mode qat; --mode {request.mode} does not train")
    else:
        given = {
            "--self-distill": request.self_distill,
            "--float-layers": request.float_layers,
            "--save-run": request.save_run,
        }
        for option, value in given.items():
            if value:
                raise UsageError(f"{option} is for --mode qat; --mode {request.mode} does not train")
    if request.save_run is not None and request.save_run.exists():
        raise UsageError(f"{request.save_run} exists; choose another folder with --save-run")
    check_apart("--save-run", request.save_run, _out(request))


def _check_trained(request: Request, run: Run) -> None:
    """A run that was trained for int8 brings its ranges and its float layers; any other needs training."""
    if request.mode != "qat":
        return
    stored = qat_run.stored(run)
    if request.io == "int8" and (request.float_layers or (stored and stored.float_layers)):
        where = "--float-layers" if request.float_layers else f"the float layers of {run.path}"
        raise UsageError(f"--io int8 contradicts {where}: it needs int8 from end to end; leave --io int8 out")
    if stored is None:
        request.plan.check()
    elif request.float_layers:
        raise UsageError(f"{run.path} was trained for int8 already, its float layers are settled; leave --float-layers")
    elif request.calibration != calibration.DEFAULT:
        raise UsageError(f"{run.path} was trained for int8 already and brings its ranges; leave --calibration out")
    if not request.plan.epochs and (request.teacher is not None or request.self_distill):
        option = "--self-distill" if request.teacher is None else "--teacher"
        raise UsageError(f"{option} teaches, and --epochs 0 trains nothing; leave one of them out")
    if request.sensitivity is not None and request.sensitivity.get("weights_sha256") != run.info["weights_sha256"]:
        raise UsageError(f"the sensitivity audit is not of {run.path} as it is; run 'edgeface sensitivity' on it again")
    if request.teacher is not None:
        open_teacher(request.teacher, run)


def _out(request: Request) -> Path:
    return request.out or Path("bundles") / f"{request.run.resolve().name}-{request.mode}"


def _convert(
    request: Request,
    run: Run,
    model: tf_keras.Model,
    float_layers: tuple[str, ...],
    train: Images | None,
    validation: Images,
    clock: _Clock,
) -> _Converted:
    samples, calibrated = None, 0
    if train is not None:
        chosen = calibration.choose(train.labels, request.calibration, request.seed)
        samples, calibrated = calibration.samples(train.images[chosen], run.face_input), len(chosen)
    source, training, teaching = model, [], _teaching(request)
    if request.mode == "qat" and train is not None and samples is not None:
        stored = qat_run.stored(run)
        if stored is not None:
            calibrated = 0  # the run brings its ranges
            teaching = teaching if request.plan.epochs else stored.teaching
        source = fake_quantized(
            model, samples, run.face_input.value_range,
            float_layers=float_layers, ranges=stored.ranges if stored else None,
        )  # fmt: skip
        clock.lap("preparing qat")
        if request.plan.epochs:
            course = lesson(
                run, model, train, validation, teacher=request.teacher, self_distill=request.self_distill,
                seed=request.seed, quiet=request.quiet,
            )  # fmt: skip
            training = fine_tune(source, course, request.plan, quiet=request.quiet)
            teaching["kept_epoch"] = kept_epoch(training)
            clock.lap("training")
        if request.save_run is not None:
            kept = qat_run.Stored.of(source, float_layers, teaching)
            figures = qat_run.figures_of(training, source, validation, run.face_input)
            qat_run.save(request.save_run, run, source, model, kept, figures, request.teacher)
    stem = request.stem or default_stem(run)
    model_bytes = to_tflite(source, request.mode, io=request.io, calibration=samples, stem=stem)
    clock.lap("converting")
    return _Converted(model_bytes, training, teaching, calibrated)


def _teaching(request: Request) -> dict[str, Any]:
    """How qat was taught, without the paths of this machine."""
    teacher = None if request.teacher is None else request.teacher.resolve().name
    return {**asdict(request.plan), "teacher": teacher, "self_distill": request.self_distill}


def _settings(request: Request, float_layers: tuple[str, ...], converted: _Converted) -> dict[str, Any]:
    """The bundle's account of its quantization."""
    settings: dict[str, Any] = {"mode": request.mode, "io": request.io, "seed": request.seed}
    if converted.calibration:
        settings["calibration_images"] = converted.calibration
    if request.mode in INTEGER_MODES:
        settings["stem"] = stem_of(converted.model)
    if request.mode == "qat":
        settings |= converted.teaching
        settings["float_layers"] = " ".join(float_layers)
    return settings
