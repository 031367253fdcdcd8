"""`edgeface prune`: rounds of removing channels (or single weights) and fine-tuning; the result is an ordinary run."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tf_keras

from edgeface.compress.calibration import samples
from edgeface.compress.export import to_tflite
from edgeface.compress.importance import check_method
from edgeface.compress.places import data_folder
from edgeface.compress.preflight import unfit_layers
from edgeface.compress.sparse import file_sparsity, gzip_bytes, no_faster
from edgeface.compress.starting import Place, Request, narrow_start, sparse_start
from edgeface.compress.stem import default_stem
from edgeface.compress.teaching import open_teacher
from edgeface.data.dataset import FaceDataset
from edgeface.data.layouts import default_face_input, load_dataset
from edgeface.errors import DataError, RunError, UsageError
from edgeface.files import locked, write_json
from edgeface.metrics import top_k
from edgeface.models import load_model
from edgeface.models.summary import multiply_adds, trainable_parameters
from edgeface.recipe import to_toml
from edgeface.run import Run, can_resume, open_run
from edgeface.train.batches import Images
from edgeface.train.outputs import make_predictor, outputs_over
from edgeface.train.resuming import SHAPE
from edgeface.train.session import Request as TrainRequest
from edgeface.train.session import load_split, train
from edgeface.train.start import Start

__all__ = ["Outcome", "Request", "download_report", "prune"]

ANEW = "remove {} to begin anew, or choose another --out"
LABELS = {
    "weights_sha256": "RUN", "dataset": "--data", "goal": "goal", "recipe": "--recipe or --set",
    "last_epochs": "--last-epochs",
}  # fmt: skip
"""What a user calls the entries of `prune.json` that are not named as their options are."""
CALIBRATION = 64
"""Training images that set the ranges of the files whose sizes are compared; no size depends on them."""


@dataclass(frozen=True)
class Outcome:
    """What came of it: the pruned run, whether it was interrupted (then asking again goes on), and figures before and
    after: `accuracy` (0..1 on `images` validation images), `macs`, `parameters`; `speedup` where speed was the goal."""

    run: Path
    stopped: bool
    figures: dict[str, Any]


def prune(request: Request) -> Outcome:
    """Prune a run into `out`. Asked again after an interruption it goes on to the same result.

    Raises UsageError for options that do not fit the network, RunError for runs that cannot be used; see the messages.
    """
    first = open_run(request.run)
    data = data_folder(first, request.data)
    _check(request, first)
    dataset = load_dataset(data)
    _check_images(request, first, dataset)
    _claim(request, first, dataset)
    with locked(request.out, "edgeface prune", ".prune.lock"):  # training holds the folder of its round itself
        return _prune(request, first, dataset)


def _prune(request: Request, first: Run, dataset: FaceDataset) -> Outcome:
    for unfit in unfit_layers(load_model(first))[:1]:
        sys.stderr.write(f"warning: {unfit}\n")
    source = first
    rounds = request.sparsity.rounds(request.rounds) if request.sparsity else request.rounds
    for number in range(1, rounds + 1):
        folder = request.out if number == rounds else request.out / "rounds" / str(number)
        tf_keras.backend.clear_session()
        if not _finished(folder):
            outcome = train(_round(request, first, source, dataset, folder, (number, rounds)))
            if outcome.stopped:
                return Outcome(request.out, True, {})
        source = open_run(folder)
    validation = load_split(dataset, "val", first.face_input, strict=request.strict)
    return Outcome(request.out, False, _figures(first, source, validation))


def _check(request: Request, first: Run) -> None:
    """Refuse contradictions before anything is written."""
    check_method(request.importance)
    if (request.goal is None) == (request.sparsity is None):
        raise UsageError("say what to prune by one of --keep-macs, --keep-params, --speedup, --unstructured, --pattern")
    if request.rounds < 1 or request.align < 1:
        raise UsageError("--rounds and --align must be 1 or more")
    if request.out.resolve() == first.path.resolve():
        raise UsageError(f"{request.out}: is the run to prune; choose another folder with --out")
    if request.goal:
        request.goal.check(first, request.align)
        if request.goal.unit == "speed" and request.fps is None:
            raise UsageError("--speedup needs something that measures speed")
    else:
        request.sparsity.check()  # type: ignore[union-attr]
        if request.recipe.average_decay:
            raise UsageError("averaged weights are never exactly zero; prune single weights with --set average_decay=0")


def check_people(dataset: FaceDataset, run: Run) -> None:
    """Refuse, by DataError, to prune a run on other people than it knows."""
    if dataset.identities != run.identities:
        raise DataError(f"{dataset.root}: holds other people than {run.path}; prune on what it was trained on")


def _check_images(request: Request, first: Run, dataset: FaceDataset) -> None:
    """Refuse data, a recipe or a teacher for which the network would see other people or other images."""
    check_people(dataset, first)
    if default_face_input(dataset, request.recipe.size) != first.face_input:
        raise RunError(
            f"{first.path}: sees other images than {dataset.root} at {request.recipe.size} px; prune at its size"
        )
    if request.teacher is not None:
        open_teacher(request.teacher, first)


def _claim(request: Request, first: Run, dataset: FaceDataset) -> None:
    """Note in `prune.json` what is being done, and refuse a folder in which something else was begun."""
    place = request.out / "prune.json"
    asked = {
        "weights_sha256": first.info["weights_sha256"],
        "dataset": dataset.content_hash(),
        "goal": request.goal.to_dict() if request.goal else request.sparsity.to_dict(),  # type: ignore[union-attr]
        "importance": request.importance,
        "rounds": request.rounds,
        "align": request.align,
        "seed": request.seed,
        "device": request.device,
        "threads": request.threads,
        "teacher": None if request.teacher is None else open_run(request.teacher).info["weights_sha256"],
        "recipe": to_toml(request.recipe),
        "last_epochs": None if request.last_recipe is None else to_toml(request.last_recipe),
    }
    if place.is_file() and ((request.out / "rounds").exists() or (request.out / "run.json").exists()):
        try:
            begun = dict(json.loads(place.read_text(encoding="utf-8"))["asked"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise RunError(f"{place}: cannot be read ({error!r}); {ANEW.format(request.out)}") from None
        begun.setdefault("threads", 1)  # an earlier version kept none
        changed = [LABELS.get(name, f"--{name}") for name in asked if begun.get(name) != asked[name]]
        if changed:
            raise RunError(f"{request.out}: was begun with another {', '.join(changed)}; {ANEW.format('it')}")
    elif not place.is_file() and request.out.exists() and (not request.out.is_dir() or any(request.out.iterdir())):
        raise UsageError(f"{request.out}: holds something else; choose another folder with --out")
    else:
        write_json(place, {"asked": asked})


def _finished(folder: Path) -> bool:
    info = _info(folder)
    return bool(info and info["figures"].get("finished"))


def _info(folder: Path) -> dict[str, Any] | None:
    """What a round says of itself, None where it was not begun. Raises RunError where it was and that is damaged."""
    place = folder / "run.json"
    try:
        info = json.loads(place.read_text(encoding="utf-8"))
        return {**info, "figures": dict(info["figures"])}
    except (OSError, ValueError, KeyError, TypeError) as error:
        if can_resume(folder):
            raise RunError(f"{place}: cannot be read ({error!r}); {ANEW.format(folder)}") from None
        return None


def _round(request: Request, first: Run, source: Run, dataset: FaceDataset, folder: Path, place: Place) -> TrainRequest:
    """What to train in one round: a round that was begun goes on, another starts from the pruned network."""
    info = _info(folder)
    resume = info is not None and can_resume(folder)
    if not resume:  # it may have been killed before its first checkpoint
        (folder / "weights.h5").unlink(missing_ok=True)
    if request.sparsity:
        start = sparse_start(request, first, source, dataset, folder, place)
    elif resume and info is not None:
        shape = {name: info["build"][name] for name in SHAPE if name in info["build"]}
        start = Start(info["network"], shape, lambda learner: None, {})
    else:
        start = narrow_start(request, first, source, dataset, folder, place)
    number, rounds = place
    recipe = request.last_recipe if request.last_recipe and number == rounds else request.recipe
    return TrainRequest(
        dataset.root, folder, recipe, request.recipe_name, teacher=request.teacher, seed=request.seed,
        resume=resume, strict=request.strict, quiet=request.quiet, start=start,
    )  # fmt: skip


def _figures(first: Run, last: Run, validation: Images) -> dict[str, Any]:
    """Before and after, both measured here in float32: a run's own accuracy may be of other images, or in bfloat16."""
    models = [load_model(first), load_model(last)]
    logits = [outputs_over(make_predictor(model), validation, first.face_input)["logits"] for model in models]
    pairs: dict[str, Sequence[Any]] = {
        "accuracy": [top_k(found, validation.labels) for found in logits],
        "macs": [multiply_adds(model) for model in models],
        "parameters": [trainable_parameters(model) for model in models],
    }
    before, after = ({name: values[i] for name, values in pairs.items()} for i in (0, 1))
    speedup = last.info.get("pruning", {}).get("speedup")
    return {"before": before, "after": after, "images": len(validation), "speedup": speedup}


def download_report(request: Request, outcome: Outcome) -> dict[str, Any]:
    """What sparse weights save: `gzip_bytes` of the int8 .tflite before and after, `layers` with the sparsity that the
    int8 file has of each, `no_faster`, a sentence."""
    first, last = open_run(request.run), open_run(outcome.run)
    dataset = load_dataset(data_folder(first, request.data))
    images = load_split(dataset, "train", first.face_input, strict=request.strict).images[:CALIBRATION]
    ranges = samples(images, first.face_input)
    models = [load_model(run) for run in (first, last)]
    files = [to_tflite(model, "int8", calibration=ranges, stem=default_stem(last)) for model in models]
    return {
        "gzip_bytes": [gzip_bytes(content) for content in files],
        "layers": file_sparsity(files[1]),
        "no_faster": no_faster(models[1], last.network),
    }
