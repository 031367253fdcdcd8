"""`edgeface quantize`: a trained run becomes a bundle for the device."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edgeface.cli.common import Json, Quiet, Seed, command, note, print_json

if TYPE_CHECKING:
    from edgeface.compress.quantize import Outcome, Request


_SHOWN_OUTLIERS = 5
Calibration = Annotated[
    int | None, typer.Option(help="int8, qat: training images that give the ranges, 64 or more. Default: 256.")
]
Epochs = Annotated[int | None, typer.Option(help="qat: passes over the training images. Default: 5.")]
LearningRate = Annotated[float | None, typer.Option(help="qat: Adam's rate at the start; falls to 0. Default: 2e-5.")]
Frozen = Annotated[
    float | None, typer.Option(help="qat: last share of the epochs with BatchNorm's averages fixed. Default: 0.4.")
]
SelfDistill = Annotated[bool, typer.Option("--self-distill", help="qat: the run's own float network teaches, too.")]
FloatLayers = Annotated[
    str, typer.Option(help="qat: layers left in floats: first, last, names, or auto; commas between.")
]
SensitivityFile = Annotated[
    Path | None, typer.Option(help="JSON of 'edgeface sensitivity --by layer' for auto; else it is computed.")
]
Stem = Annotated[
    str | None,
    typer.Option(
        help="int8, qat: the first convolution reads rows of pixels (the same outputs, faster with LiteRT on CPUs), "
        "pairs, for Ethos-U55, or is plain, for microcontrollers. Default: rows, plain for n:m sparse runs."
    ),
]
SaveRun = Annotated[
    Path | None, typer.Option(help="qat: keep the trained network as a run, to convert again with --epochs 0.")
]


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command("quantize")(quantize)


@command
def quantize(
    run: Annotated[Path, typer.Argument(help="A training run.", metavar="RUN")],
    mode: Annotated[str, typer.Option(help="float32, float16, dynamic, int8 or qat (trained for int8).")] = "int8",
    teacher: Annotated[Path | None, typer.Option(help="Run of the teacher, for qat.", metavar="RUN")] = None,
    data: Annotated[Path | None, typer.Option(help="Dataset; by default the one the run was trained on.")] = None,
    io: Annotated[str, typer.Option(help="Type of the model's input and outputs: float or int8.")] = "float",
    calibration: Calibration = None,
    max_drop: Annotated[float | None, typer.Option(help="Exit 1 when more points of accuracy are lost.")] = None,
    epochs: Epochs = None,
    learning_rate: LearningRate = None,
    frozen: Frozen = None,
    self_distill: SelfDistill = False,
    float_layers: FloatLayers = "",
    sensitivity: SensitivityFile = None,
    stem: Stem = None,
    save_run: SaveRun = None,
    fps: Annotated[bool, typer.Option("--fps", help="Measure the fps of every step of the card's chain.")] = False,
    out: Annotated[Path | None, typer.Option(help="The bundle's folder; by default bundles/RUN-MODE.")] = None,
    about: Annotated[str, typer.Option("--note", help="Text for the model card, such as limits of the data.")] = "",
    seed: Seed = 0,
    threads: Annotated[int, typer.Option(help="Threads that run the bundle on the validation images.", min=1)] = 2,
    strict: Annotated[bool, typer.Option("--strict", help="Refuse when one image cannot be used.")] = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Convert a run to TFLite and measure what that costs, on the validation images.

    The accuracy of the bundle is compared with the float network's, and so are the embeddings, by their cosine.
    Ctrl-C in mode qat keeps nothing of its training.

    Examples:

        edgeface quantize runs/student-1.0

        edgeface quantize runs/student-1.0 --mode qat --teacher runs/teacher --max-drop 0.5

        edgeface quantize runs/student-1.0 --mode int8 --io int8 --out bundles/door --fps

        edgeface quantize runs/student-1.0 --mode qat --self-distill --float-layers last --save-run runs/student-qat
    """
    from edgeface.tensorflow_setup import quiet_tensorflow

    _check_gate(max_drop)
    planned = _planned(mode, epochs, learning_rate, frozen, calibration, stem)
    quiet_tensorflow()
    from edgeface.cli.measuring import fps_on
    from edgeface.compress.calibration import DEFAULT
    from edgeface.compress.qat import Plan
    from edgeface.compress.quantize import Request, check_gate
    from edgeface.compress.quantize import quantize as convert

    request = Request(
        run, mode, io, data, teacher, out, DEFAULT if calibration is None else calibration, Plan(**planned), seed,
        threads, about, strict, quiet or as_json, self_distill, float_layers, None, save_run,
        fps_on("cpu", 1) if fps else None, stem,
    )  # fmt: skip
    outcome = convert(_with_audit(request, sensitivity))
    print_json({**outcome.to_dict(), "max_drop": max_drop}) if as_json else _print(outcome)
    _warn(outcome)
    check_gate(outcome, max_drop)


def _check_gate(max_drop: float | None) -> None:
    """Refuse, before the work, a gate that nothing could pass or fail."""
    from edgeface.errors import UsageError

    if max_drop is not None and not math.isfinite(max_drop):
        raise UsageError(f"--max-drop {max_drop:g}: give points of accuracy, such as 0.5")


def _planned(
    mode: str,
    epochs: int | None,
    learning_rate: float | None,
    frozen: float | None,
    calibration: int | None,
    stem: str | None,
) -> dict[str, Any]:
    """What was given of the plan of qat, as fields of a `Plan`. Refuses what the mode would leave unused."""
    from edgeface.errors import UsageError

    for option, value in {"--epochs": epochs, "--learning-rate": learning_rate, "--frozen": frozen}.items():
        if value is not None and mode != "qat":
            raise UsageError(f"{option} is for --mode qat; --mode {mode} does not train")
    if calibration is not None and mode not in ("int8", "qat"):
        raise UsageError(f"--calibration is for --mode int8 and qat; --mode {mode} needs no ranges")
    if stem is not None and mode not in ("int8", "qat"):
        raise UsageError(f"--stem is for --mode int8 and qat; --mode {mode} computes in floats")
    fields = {"epochs": epochs, "learning_rate": learning_rate, "frozen_share": frozen}
    return {name: value for name, value in fields.items() if value is not None}


def _with_audit(request: Request, sensitivity: Path | None) -> Request:
    """The request with the sensitivity audit that `--float-layers auto` reads: from a file, or made now."""
    from edgeface.compress.qat_model import check_quantizable
    from edgeface.compress.quantize import check_request
    from edgeface.compress.sensitivity import Request as AuditRequest
    from edgeface.compress.sensitivity import measure_sensitivity, read_audit
    from edgeface.errors import UsageError
    from edgeface.models import load_model

    if request.mode != "qat" or "auto" not in [word.strip() for word in request.float_layers.split(",")]:
        if sensitivity is not None:
            raise UsageError("--sensitivity is what --mode qat --float-layers auto reads; give both, or leave it out")
        return request
    # An audit takes minutes.
    check_quantizable(load_model(check_request(request)))
    if sensitivity is not None:
        return replace(request, sensitivity=read_audit(sensitivity))
    audit = AuditRequest(
        request.run, request.data, by="layer", shares=(), seed=request.seed, strict=request.strict, quiet=request.quiet
    )
    return replace(request, sensitivity=measure_sensitivity(audit))


def _warn(outcome: Outcome) -> None:
    for warning in outcome.warnings:
        note(f"warning: {warning}")


def _print(outcome: Outcome) -> None:
    cosine = outcome.cosine
    spent = ", ".join(f"{name} {seconds:.0f} s" for name, seconds in outcome.seconds.items())
    print(f"{outcome.bundle}: {outcome.mode}, {outcome.io} input and outputs, {outcome.bytes / 1e6:.2f} MB")
    print(
        f"  top-1    {100 * outcome.accuracy:.2f} % of {outcome.images} validation images; "
        f"float network {100 * outcome.float_accuracy:.2f} % (loss {outcome.drop:+.2f} points)"
    )
    near = f"mean {cosine['mean']:.4f}, 1st percentile {cosine['p1']:.4f}, min {cosine['min']:.4f}"
    print(f"  cosine   {near}, of the embeddings to the float network's")
    for outlier in (outcome.calibration or {}).get("outliers", ())[:_SHOWN_OUTLIERS]:
        limits = f"{outlier['low']:.3g}..{outlier['high']:.3g}, {outlier['stretch']:.1f} times that of 99 % of images"
        print(f"  range    {outlier['layer']}: {limits} ({outlier['photo']})")
    print(f"  time     {spent}")
