"""`edgeface calibrate`: measures the thresholds of a bundle and stores them in it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgeface.cli.common import Json, Quiet, command, note, print_json, require_png
from edgeface.cli.device_options import DetectorModel
from edgeface.errors import UsageError
from edgeface.progress import progress_line
from edgeface.thresholds import DEFAULT_FMR, Threshold

if TYPE_CHECKING:
    from edgeface.bundle import Bundle
    from edgeface.calibrate import Calibration


@command
def calibrate(
    bundle: Annotated[Path, typer.Argument(help="The bundle; its thresholds are replaced.")],
    data: Annotated[Path, typer.Argument(help="Dataset folder, or LFW's pairs.txt.", metavar="DATA|PAIRS")],
    split: Annotated[str | None, typer.Option(help="Split of the dataset; val, or all where it has none.")] = None,
    detector: Annotated[
        str | None,
        typer.Option(help="cascade, yunet or none; by default cascade for a pairs file, none for a dataset."),
    ] = None,
    detector_model: DetectorModel = None,
    flip: Annotated[bool, typer.Option("--flip", help="For galleries with --flip: average mirror images too.")] = False,
    figure: Annotated[Path | None, typer.Option(help="Write scores, FMR/FNMR and ROC to this PNG file.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Measure only; leave the bundle as it is.")] = False,
    threads: Annotated[int, typer.Option(min=1, help="CPU threads of one inference.")] = 2,
    runtime: Annotated[str | None, typer.Option(help="litert, tflite or tf; the first installed by default.")] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Stop at the first photo that cannot be read.")] = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Find from which cosine on two faces are one person, for false match rates of 1e-1 to 1e-5.

    Compares every pair of photos of a dataset, or the pairs of an LFW file, and stores in the bundle a threshold for
    each rate that so many impostor pairs can show (rule of three: none under 3/N). Use people whom the network has
    not seen in training. Pairs share photos, so the rates are a little less certain than 3/N says. A dataset's photos
    are taken for aligned faces; of loose photos, and those of a pairs file, --detector finds the face in the middle.
    Aligned faces are kept, for their owner alone, in DATA/.edgeface-cache, or ~/.cache/edgeface for read-only data.
    The thresholds that were stored are replaced, also by fewer: those that are lost are warned of, with --dry-run too.

    Examples:

        edgeface calibrate bundles/door strangers/

        edgeface calibrate bundles/door loose-photos/ --detector cascade

        edgeface calibrate bundles/door photos --split val --figure door.png --json

        edgeface calibrate bundles/door lfw/pairs.txt --detector yunet --detector-model yunet.onnx
    """
    from edgeface.calibrate import calibrate_on_data, calibrate_on_pairs
    from edgeface.detector import open_detector
    from edgeface.embedder import Recognizer

    _check(bundle, data, split, figure, dry_run)
    recognizer = Recognizer(bundle, threads, runtime)
    progress = progress_line(quiet)
    finder = open_detector(detector or ("cascade" if data.is_file() else "none"), detector_model)
    pairs, folder = partial(calibrate_on_pairs, recognizer, data), partial(calibrate_on_data, recognizer, data, split)
    measure = pairs if data.is_file() else folder
    result = measure(detector=finder, strict=strict, flip=flip, progress=progress)
    if figure is not None:
        from edgeface.score_figure import write_figure

        write_figure(figure, result.counts, bundle.resolve().name, result.thresholds)
        note(f"wrote {figure}", quiet=quiet)
    lost = _lost(recognizer.bundle.thresholds, result, dry_run)
    result = replace(result, warnings=(*result.warnings, *lost))
    _store(recognizer.bundle, result, dry_run, quiet)
    if as_json:
        print_json({"bundle": str(bundle), "stored": not dry_run, **result.to_dict()})
    else:
        _show(result, quiet)


def _check(bundle: Path, data: Path, split: str | None, figure: Path | None, dry_run: bool) -> None:
    """Refuse before measuring what would do nothing, or could not be written after it."""
    from edgeface.bundle import refuse_other_files

    if split is not None and data.is_file():
        raise UsageError(f"--split is of a dataset's folder; {data} is a file of pairs; leave it out")
    if figure is not None:
        require_png(figure, "figure")
        if bundle.resolve() in figure.resolve().parents:
            raise UsageError(f"{figure}: a bundle holds its own files only; write the figure beside it")
        from edgeface import score_figure  # noqa: F401  matplotlib may not be installed
    if bundle.is_dir() and not dry_run:
        refuse_other_files(bundle)


def _lost(before: Sequence[Threshold], result: Calibration, dry_run: bool) -> list[str]:
    """A sentence on the rates that the bundle had a threshold for and these pairs cannot show."""
    lost = [entry for entry in before if entry.fmr not in {kept.fmr for kept in result.thresholds}]
    if not lost:
        return []
    rates = ", ".join(f"{entry.fmr:g}" + " (the default of identify)" * (entry.fmr == DEFAULT_FMR) for entry in lost)
    verb = "would not be" if dry_run else "is not"
    told = f"{lost[0].impostor_pairs} impostor pairs of {lost[0].data}"
    return [f"FMR {rates} {verb} stated any more (it rested on {told}); give more people"]


def _store(bundle: Bundle, result: Calibration, dry_run: bool, quiet: bool) -> None:
    from edgeface.bundle import store_thresholds
    from edgeface.errors import DataError
    from edgeface.manifest import SIGNATURE_FILE

    if not result.thresholds:
        pairs = result.curve.impostor_pairs
        raise DataError(f"{pairs} impostor pairs show no FMR of 0.1 or lower, 30 are needed; give more people")
    if dry_run:
        return
    was_signed = (bundle.path / SIGNATURE_FILE).exists()
    store_thresholds(bundle.path, result.thresholds, bundle.model_sha256)
    stored = len(result.thresholds)
    note(f"stored {stored} threshold{'s' * (stored != 1)} in {bundle.path}", quiet=quiet)
    if was_signed:
        note(f"warning: the signature of {bundle.path} no longer fits and was removed; sign again with: edgeface sign")


def _show(result: Calibration, quiet: bool) -> None:
    for entry in result.thresholds:
        print(f"FMR {entry.fmr:<7g} cosine {entry.threshold:.4f}   FNMR {100 * entry.fnmr:5.2f} %")
    genuine, impostor = result.counts.pairs
    print(f"{result.data}: {result.photos} photos, {genuine} genuine and {impostor} impostor pairs")
    print(f"area under the ROC {result.auc:.4f}, equal error rate {100 * result.eer:.2f} %")
    if result.photos_without_face:
        print(f"no face in {result.photos_without_face} photos: {result.pairs_left_out} pairs left out")
    if result.refused:
        rates = ", ".join(f"{fmr:g}" for fmr in result.refused)
        note(f"not stated: FMR {rates}; {impostor} impostor pairs show none under {3 / impostor:.2g}", quiet=quiet)
    for warning in result.warnings:
        note(f"warning: {warning}")


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(calibrate)
