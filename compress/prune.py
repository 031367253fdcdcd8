"""`edgeface prune`: rounds of removing channels (or single weights) and fine-tuning; the result is an ordinary run."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tf_keras

from edgeface.compress.calibration import samples
from edgeface.compress.channels import widths_of
from edgeface.compress.export import to_tflite
from edgeface.compress.goal import Goal, MeasureFps, Network, narrowed, share_for_speed
from edgeface.compress.importance import channel_importance, check_method
from edgeface.compress.preflight import unfit_layers
from edgeface.compress.sparse import Sparsity, file_sparsity, gzip_bytes, no_faster, sparsify
from edgeface.compress.starting import chain_of, fit_head
from edgeface.data.layouts import load_dataset
from edgeface.errors import DataError, RunError, UsageError
from edgeface.files import write_json
from edgeface.models import load_model
from edgeface.models.summary import multiply_adds, trainable_parameters
from edgeface.recipe import Recipe, to_toml
from edgeface.run import Run, open_run
from edgeface.train.session import SHAPE, Learner, Start, TeacherCache, load_split, train
from edgeface.train.session import Request as TrainRequest

CALIBRATION = 64
"""Training images that set the ranges of the files whose sizes are compared; no size depends on them."""


@dataclass(frozen=True)
class Request:
    """What the user asked for: `goal` for channels or `sparsity` for single weights, and how to fine-tune.

    `recipe` is that of one round. `fps` measures bundles side by side (frames a second, None for one that does not fit
    the device `device`); a goal of speed needs it.
    """

    run: Path
    out: Path
    recipe: Recipe
    recipe_name: str
    goal: Goal | None = None
    sparsity: Sparsity | None = None
    data: Path | None = None
    teacher: Path | None = None
    importance: str = "taylor"
    rounds: int = 4
    align: int = 8
    seed: int = 0
    fps: MeasureFps | None = None
    device: str = "cpu"
    strict: bool = False
    quiet: bool = False


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
    data = request.data or Path(str(first.dataset.get("path", "")))
    if request.data is None and not (first.dataset.get("path") and data.is_dir()):
        raise DataError(f"{first.path}: its dataset {str(data)!r} is not there; give the folder with --data")
    _check(request, first)
    _claim(request, first, data)
    unfit = unfit_layers(load_model(first))
    if unfit and not request.quiet:
        sys.stderr.write(f"warning: {unfit[0]}\n")
    source = first
    rounds = request.sparsity.rounds(request.rounds) if request.sparsity else request.rounds
    for number in range(1, rounds + 1):
        folder = request.out if number == rounds else request.out / "rounds" / str(number)
        tf_keras.backend.clear_session()
        if not _finished(folder):
            outcome = train(_round(request, first, source, data, folder, (number, rounds)))
            if outcome.stopped:
                return Outcome(request.out, True, {})
        source = open_run(folder)
    return Outcome(request.out, False, _figures(first, source))


def _check(request: Request, first: Run) -> None:
    """Refuse contradictions before anything is written."""
    check_method(request.importance)
    if (request.goal is None) == (request.sparsity is None):
        raise UsageError("say what to prune: one of --keep-macs, --keep-params, --speedup, --unstructured, --pattern")
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


def _claim(request: Request, first: Run, data: Path) -> None:
    """Note in `prune.json` what is being done, and refuse a folder in which something else was begun."""
    place = request.out / "prune.json"
    asked = {
        "weights_sha256": first.info["weights_sha256"],
        "dataset": load_dataset(data).content_hash(),
        "goal": request.goal.to_dict() if request.goal else request.sparsity.to_dict(),  # type: ignore[union-attr]
        "importance": request.importance,
        "rounds": request.rounds,
        "align": request.align,
        "seed": request.seed,
        "device": request.device,
        "teacher": None if request.teacher is None else open_run(request.teacher).info["weights_sha256"],
        "recipe": to_toml(request.recipe),
    }
    if place.is_file():
        try:
            begun = json.loads(place.read_text(encoding="utf-8"))["asked"]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise RunError(f"{place}: cannot be read ({error!r}); choose another --out") from None
        changed = [name for name in asked if begun.get(name) != asked[name]]
        if changed:
            raise RunError(f"{request.out}: was begun with another {', '.join(changed)}; choose another --out")
    elif request.out.exists() and (not request.out.is_dir() or any(request.out.iterdir())):
        raise UsageError(f"{request.out}: holds something else; choose another folder with --out")
    else:
        write_json(place, {"asked": asked})


def _finished(folder: Path) -> bool:
    info = _info(folder)
    return bool(info and info.get("figures", {}).get("finished"))


def _info(folder: Path) -> dict[str, Any] | None:
    try:
        return json.loads((folder / "run.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def _round(request: Request, first: Run, source: Run, data: Path, folder: Path, place: tuple[int, int]) -> TrainRequest:
    """What to train in one round: a round that was begun goes on, another starts from the pruned network."""
    info = _info(folder)
    resume = info is not None and (folder / "checkpoints" / "checkpoint").is_file()
    if not resume:  # it may have been stopped before its first checkpoint
        (folder / "run.json").unlink(missing_ok=True)
        shutil.rmtree(folder / "checkpoints", ignore_errors=True)
    if request.sparsity:
        start = _sparse_start(request, first, source, folder, place)
    elif resume and info is not None:
        shape = {name: info["build"][name] for name in SHAPE if name in info["build"]}
        start = Start(info["network"], shape, lambda learner, views: None, {})
    else:
        start = _narrow_start(request, first, source, data, folder, place)
    return TrainRequest(
        data, folder, request.recipe, request.recipe_name, teacher=request.teacher, seed=request.seed, resume=resume,
        strict=request.strict, quiet=request.quiet, start=start,
    )  # fmt: skip


def _narrow_start(request: Request, first: Run, source: Run, data: Path, folder: Path, place: tuple[int, int]) -> Start:
    """The network of the last round with fewer channels."""
    goal, (number, rounds) = request.goal, place
    if goal is None:
        raise ValueError("channels are removed for a goal")
    model = load_model(source)
    images = load_split(load_dataset(data), "train", source.face_input, strict=request.strict)
    scores = channel_importance(model, widths_of(source), request.importance, images, source.face_input, request.seed)
    pruning = {"goal": goal.to_dict(), "importance": request.importance, "rounds": rounds, "align": request.align}

    def narrow(share: float, unit: str = "macs") -> Network:
        """The source with this share of the first network's cost."""
        return narrowed(source, model, first, unit, share, scores, request.align)

    if goal.unit != "speed" or request.fps is None:
        smaller, build = narrow(goal.value ** (number / rounds), goal.unit)
    elif number < rounds:
        smaller, build = narrow(goal.value ** (-number / rounds))  # as if speed followed the MACs; measured at the end
    else:
        share, speedup = share_for_speed(goal.value, first, source, narrow, request.align, request.fps, request.quiet)
        pruning |= {"speedup": speedup, "device": request.device}
        smaller, build = narrow(share)
    weights = smaller.get_weights()
    facts = {"pruning": pruning, "chain": chain_of(first, "pruned", folder, smaller)}
    shape = {name: build[name] for name in SHAPE if name in build}
    return Start(source.network, shape, _preparing(request, lambda learner: learner.model.set_weights(weights)), facts)


def _sparse_start(request: Request, first: Run, source: Run, folder: Path, place: tuple[int, int]) -> Start:
    """The network of the last round with more of its weights zero; they are held there after every step."""
    sparsity, (number, rounds) = request.sparsity, place
    if sparsity is None:
        raise ValueError("weights are removed for a sparsity")
    model = load_model(source)
    weights = model.get_weights()

    def put(learner: Learner) -> Callable[[], None]:
        learner.model.set_weights(weights)
        return sparsify(learner.model, sparsity.at(number, rounds))

    facts = {
        "sparsity": sparsity.to_dict(),
        "chain": chain_of(first, sparsity.title, folder, model),
    }
    shape = {name: source.build[name] for name in SHAPE if name in source.build}
    return Start(source.network, shape, _preparing(request, put), facts)


def _preparing(
    request: Request, put: Callable[[Learner], Callable[[], None] | None]
) -> Callable[[Learner, TeacherCache | None], Callable[[], None] | None]:
    def prepare(learner: Learner, views: TeacherCache | None) -> Callable[[], None] | None:
        after_step = put(learner)
        if views is not None:
            fit_head(learner, views, request.recipe)
        return after_step

    return prepare


def _figures(first: Run, last: Run) -> dict[str, Any]:
    """Before and after, from the two runs."""
    models = [load_model(first), load_model(last)]
    accuracies = [first.figures.get("val_accuracy"), last.figures["val_accuracy"]]
    pairs: dict[str, Sequence[Any]] = {
        "accuracy": accuracies,
        "macs": [multiply_adds(model) for model in models],
        "parameters": [trainable_parameters(model) for model in models],
    }
    before, after = ({name: values[i] for name, values in pairs.items()} for i in (0, 1))
    speedup = last.info.get("pruning", {}).get("speedup")
    return {"before": before, "after": after, "images": last.figures["validation_images"], "speedup": speedup}


def download_report(request: Request, outcome: Outcome) -> dict[str, Any]:
    """What sparse weights save: `gzip_bytes` of the int8 .tflite before and after, `layers` with the sparsity that the
    int8 file has of each, `no_faster`, a sentence."""
    first, last = open_run(request.run), open_run(outcome.run)
    dataset = load_dataset(request.data or Path(str(first.dataset["path"])))
    images = load_split(dataset, "train", first.face_input, strict=request.strict).images[:CALIBRATION]
    ranges = samples(images, first.face_input)
    models = [load_model(run) for run in (first, last)]
    files = [to_tflite(model, "int8", calibration=ranges) for model in models]
    return {
        "gzip_bytes": [gzip_bytes(content) for content in files],
        "layers": file_sparsity(files[1]),
        "no_faster": no_faster(models[1]),
    }
