"""`edgeface eval`: accuracy of a bundle or a run over a split."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgeface.cli.common import Json, Quiet, command, note, print_json, require_png
from edgeface.cli.lfw import evaluate_lfw

if TYPE_CHECKING:
    import numpy as np

    from edgeface.data.dataset import FaceDataset
    from edgeface.evaluation import Evaluation


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command("eval")(evaluate)


@command
def evaluate(
    target: Annotated[Path, typer.Argument(metavar="BUNDLE|RUN", help="A bundle, or a training run.")],
    data: Annotated[Path | None, typer.Argument(help="The dataset's folder.")] = None,
    split: Annotated[
        str | None, typer.Option(help="train, val (the default), test, or all where the dataset has no split.")
    ] = None,
    predictions: Annotated[
        Path | None, typer.Option(help="Write id,label lines (CSV) here, labelled split or not.")
    ] = None,
    threads: Annotated[
        int | None, typer.Option(help="Threads of a bundle's TFLite runtime; 2 by default.", min=1)
    ] = None,
    worst: Annotated[
        int | None, typer.Option(help="How many identities and confusions to show; 10 by default.", min=0)
    ] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Refuse when one image cannot be used.")] = False,
    lfw: Annotated[Path | None, typer.Option(help="LFW's protocol on this folder with pairs.txt.")] = None,
    detector: Annotated[
        str | None, typer.Option(help="--lfw: cascade (the default), yunet, or none for photos already cropped.")
    ] = None,
    detector_model: Annotated[Path | None, typer.Option(help="--lfw: YuNet's .onnx file, for yunet.")] = None,
    figure: Annotated[Path | None, typer.Option(help="--lfw: write scores and ROC to this PNG file.")] = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Top-1 and top-5 accuracy, the worst identities and the worst confusions.

    Examples:

        edgeface eval bundles/student-1.0-int8 photos/

        edgeface eval runs/teacher photos/ --split test --predictions answers.csv

        edgeface eval bundles/student-1.0-int8 --lfw lfw/ --figure roc.png
    """
    from edgeface.errors import UsageError

    if (data is None) == (lfw is None):
        raise UsageError("give either the dataset's folder or --lfw with LFW's folder")
    given: dict[str, object]
    if lfw is None:
        given = {"--figure": figure, "--detector": detector, "--detector-model": detector_model}
        _refuse("is for --lfw FOLDER only", given)
    else:
        given = {"--predictions": predictions, "--split": split, "--strict": strict or None, "--worst": worst}
        _refuse("does not go with --lfw", given)
    if figure is not None:
        require_png(figure, "figure")
    if lfw is not None:
        evaluate_lfw(target, lfw, (detector or "cascade", detector_model), figure, threads or 2, as_json, quiet)
    elif data is not None:
        shown = 10 if worst is None else worst
        _evaluate_split(target, data, split or "val", predictions, threads, shown, strict, as_json, quiet)


def _evaluate_split(
    target: Path, data: Path, split: str, predictions: Path | None, threads: int | None, worst: int, strict: bool,
    as_json: bool, quiet: bool,
) -> None:  # fmt: skip
    """Score one split of a dataset, show the result, and write the predictions if asked."""
    from edgeface.bundle import is_bundle
    from edgeface.data.layouts import load_dataset
    from edgeface.errors import BundleError, DataError
    from edgeface.evaluation import evaluate as score
    from edgeface.evaluation import write_predictions
    from edgeface.run import is_run

    if not target.exists():
        raise BundleError(f"{target}: no such folder; give a bundle or a run")
    if not is_run(target) and not is_bundle(target):
        raise BundleError(f"{target}: neither a bundle (no bundle.json) nor a run (no run.json)")
    if is_run(target):
        _refuse("is for bundles; a run is computed by TensorFlow on all cores", {"--threads": threads})
    dataset = load_dataset(data)
    known = any(sample.identity is not None for sample in dataset.of(split))
    if not known and predictions is None:
        raise DataError(
            f"{data}: the '{split}' split has no labels to score against; write predictions with --predictions FILE"
        )
    outputs = _run_outputs if is_run(target) else _bundle_outputs
    logits, labels, photos, identities = outputs(target, dataset, split, threads or 2, strict)
    labelled = labels >= 0
    result = score(logits[labelled], labels[labelled], identities, worst) if labelled.any() else None
    if result is not None and not labelled.all():
        note(f"{(~labelled).sum()} of {len(labels)} photos have no label: they are not scored", quiet=quiet)
    printed = {"target": str(target), "data": str(data), "split": split}
    if result is not None and not as_json:
        _print(target, result, 0 if quiet else worst)
    if predictions is not None:
        write_predictions(predictions, photos, logits, identities)
        note(f"{len(photos)} predictions written to {predictions}", quiet=quiet)
    if as_json:
        print_json(
            {**printed, **(result.to_dict() if result else {"predictions": str(predictions), "images": len(photos)})}
        )


def _refuse(reason: str, options: dict[str, object]) -> None:
    """Raise UsageError for the first of these options that was given."""
    from edgeface.errors import UsageError

    for name, value in options.items():
        if value is not None:
            raise UsageError(f"{name} {reason}; leave it out")


def _print(target: Path, result: Evaluation, worst: int) -> None:
    """The result as text, with `worst` identities and confusions."""
    print(f"{target}: top-1 {100 * result.top1:.2f} %, top-5 {100 * result.top5:.2f} % of {result.images} images")
    if not worst:
        return
    print("\nworst identities")
    for item in result.identities[:worst]:
        other = f", most often taken for {item.mistaken_for}" if item.mistaken_for else ""
        print(f"  {item.identity:<20} {100 * item.accuracy:5.1f} % of {item.images}{other}")
    print("\nworst confusions")
    for pair in result.confusions:
        print(f"  {pair.actual:<20} taken for {pair.predicted:<20} {pair.count:3d} ({100 * pair.share:.0f} %)")


Outputs = tuple["np.ndarray", "np.ndarray", tuple[Path, ...], tuple[str, ...]]


def _run_outputs(target: Path, dataset: FaceDataset, split: str, threads: int, strict: bool) -> Outputs:
    from edgeface.tensorflow_setup import quiet_tensorflow

    quiet_tensorflow()
    from edgeface.data.cache import cached_images
    from edgeface.models import load_run_model
    from edgeface.train.batches import Images
    from edgeface.train.outputs import make_predictor, outputs_over

    model, face_input, identities = load_run_model(target)
    dataset = dataset.relabelled(identities, split)
    images, labels, photos = cached_images(dataset, split, face_input, strict=strict)
    logits = outputs_over(make_predictor(model), Images(images, labels), face_input)["logits"]
    return logits, labels, photos, identities


def _bundle_outputs(target: Path, dataset: FaceDataset, split: str, threads: int, strict: bool) -> Outputs:
    from edgeface.data.cache import cached_images
    from edgeface.embedder import Recognizer

    recognizer = Recognizer(target, threads=threads)
    identities = recognizer.bundle.labels
    dataset = dataset.relabelled(identities, split)
    images, labels, photos = cached_images(dataset, split, recognizer.bundle.face_input, strict=strict)
    return recognizer.logits(images, prepared=True), labels, photos, identities
