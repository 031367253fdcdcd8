"""What a round of pruning starts its fine-tuning from: the pruned network and its chain."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tf_keras

from edgeface.compress.chain import FIELDS, run_chain
from edgeface.compress.channels import widths_of
from edgeface.compress.goal import Goal, MeasureFps, Network, narrowed, share_for_speed
from edgeface.compress.importance import IMPORTANCE, channel_importance
from edgeface.compress.sparse import Sparsity, sparsify
from edgeface.compress.stem import default_stem
from edgeface.data.dataset import FaceDataset
from edgeface.models import load_model
from edgeface.models.summary import multiply_adds, weight_bytes
from edgeface.recipe import Recipe
from edgeface.run import Run
from edgeface.train.batches import Images
from edgeface.train.resuming import SHAPE
from edgeface.train.session import load_split
from edgeface.train.start import Start
from edgeface.train.step import Learner

Place = tuple[int, int]
"""The number of a round, from 1, and how many there are."""


@dataclass(frozen=True)
class Request:
    """What the user asked for: `goal` for channels or `sparsity` for single weights, and how to fine-tune.

    `recipe` is that of a round, `last_recipe` that of the last one where that is another. `fps` measures bundles side
    by side (frames a second with `threads`, None for one that does not fit `device`); a goal of speed needs it, and
    `stem` is that of what it measures; None leaves it to the run.
    """

    run: Path
    out: Path
    recipe: Recipe
    recipe_name: str
    goal: Goal | None = None
    sparsity: Sparsity | None = None
    data: Path | None = None
    teacher: Path | None = None
    importance: str = IMPORTANCE
    rounds: int = 4
    last_recipe: Recipe | None = None
    align: int = 8
    seed: int = 0
    fps: MeasureFps | None = None
    device: str = "cpu"
    threads: int = 1
    stem: str | None = None
    strict: bool = False
    quiet: bool = False


def narrow_start(request: Request, first: Run, source: Run, dataset: FaceDataset, folder: Path, place: Place) -> Start:
    """The network of the last round with fewer channels."""
    model = load_model(source)
    images = load_split(dataset, "train", source.face_input, strict=request.strict)
    smaller, build, pruning = _narrow(request, first, source, model, images, place)
    weights = smaller.get_weights()
    facts = {"pruning": pruning, "chain": _chain_of(first, "pruned", folder, smaller)}
    shape = {name: build[name] for name in SHAPE if name in build}
    return Start(source.network, shape, lambda learner: learner.model.set_weights(weights), facts)


def _narrow(
    request: Request, first: Run, source: Run, model: tf_keras.Model, images: Images, place: Place
) -> tuple[tf_keras.Model, dict[str, Any], dict[str, Any]]:
    """(the narrower model, the arguments that build it, what `run.json` says of the pruning)."""
    goal, (number, rounds) = request.goal, place
    if goal is None:
        raise ValueError("channels are removed for a goal")
    scores = channel_importance(model, widths_of(source), request.importance, images, source.face_input, request.seed)
    unit = "macs" if goal.unit == "speed" else goal.unit

    def narrow(kept: float) -> Network:
        return narrowed(source, model, first, unit, kept, scores, request.align)

    share, speed = _share(request, goal, first, source, narrow, place)
    facts = {
        "goal": goal.to_dict(), "importance": request.importance, "rounds": rounds, "align": request.align,
        "share": share, **speed,
    }  # fmt: skip
    return *narrow(share ** (number / rounds)), facts


def _share(
    request: Request, goal: Goal, first: Run, source: Run, narrow: Callable[[float], Network], place: Place
) -> tuple[float, dict[str, Any]]:
    """(the share of `first` that is kept after the last round, what was measured of its speed)."""
    number, rounds = place
    if goal.unit != "speed" or request.fps is None:
        return goal.value, {}
    if 1 < number < rounds:
        return source.info["pruning"]["share"], {}
    # At first to know that the goal can be reached, at last with the channels that are left.
    share, speedup = share_for_speed(
        goal.value, first, source, narrow,
        align=request.align, fps=request.fps, stem=request.stem or default_stem(first), quiet=request.quiet,
    )  # fmt: skip
    return share, {"speedup": speedup, "device": request.device} if number == rounds else {}


def sparse_start(request: Request, first: Run, source: Run, dataset: FaceDataset, folder: Path, place: Place) -> Start:
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
        "chain": _chain_of(first, sparsity.title, folder, model),
    }
    shape = {name: source.build[name] for name in SHAPE if name in source.build}
    return Start(source.network, shape, put, facts)


def _chain_of(first: Run, step: str, folder: Path, model: tf_keras.Model) -> list[dict[str, Any]]:
    """The chain of a network that is pruned from `first`; its accuracy is that of its run and not known yet."""
    own = {
        "step": step,
        "name": folder.resolve().name,
        "network": first.network,
        "macs": multiply_adds(model),
        "bytes": weight_bytes(model)[0],
    }
    return [*run_chain(first, load_model(first)), {name: own.get(name) for name in FIELDS}]
