"""How long the runs of a plan still take, from the speed of a training step measured here."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from edgeface.bench.reproduction.plan import Plan, PlannedRun, read_recipe
from edgeface.bench.reproduction.score import is_current
from edgeface.bench.reproduction.state import run_info, state_of
from edgeface.recipe import Recipe, Stage


@dataclass(frozen=True)
class Speed:
    """Images a second on this machine: of training steps by network, and of the teacher's forward pass."""

    training: Mapping[str, float]
    forward: float


def seconds_left(out: Path, plan: Plan, runs: Sequence[PlannedRun], images: int, speed: Speed) -> dict[str, float]:
    """Seconds each unfinished run still takes, by key; `images` are the training images.

    Stored teacher outputs count for the first run that needs them. int8 training counts at the speed of an ordinary
    step, which is a little less than it takes.
    """
    left: dict[str, float] = {}
    stored: set[str] = set()
    for run in runs:
        recipe, state = read_recipe(out, run.key), state_of(out, plan, run)
        views = teacher_views(run, recipe)
        if state.name != "new":
            stored |= views.keys()
        seconds = 0.0
        if state.name != "finished":
            # An adopted run may have more epochs than planned.
            shown = max(0, recipe.epochs - state.epochs) * (images // recipe.batch_size) * recipe.batch_size
            seconds = shown / speed.training[run.network]
            if run.teacher and recipe.distillation.views == 0:
                seconds += shown / speed.forward
            seconds += sum(count for key, count in views.items() if key not in stored) * images / speed.forward
            stored |= views.keys()
        weights = (run_info(out / "runs" / run.key) or {}).get("weights_sha256", "")
        current = state.name == "finished" and is_current(out, plan, run, "int8", weights)
        if run.quantize == "qat" and not current:
            seconds += plan.qat_epochs * images / speed.training[run.network]
        if seconds:
            left[run.key] = seconds
    return left


def teacher_views(run: PlannedRun, recipe: Recipe) -> dict[str, int]:
    """How many views of all images a taught run needs the teacher's outputs of, by what they depend on."""
    if run.teacher is None:
        return {}
    views: dict[str, int] = {}
    for stage in recipe.stages:
        count = min(recipe.distillation.views, stage.epochs)
        if count:
            key = _view_key(run, recipe, stage)
            views[key] = max(views.get(key, 0), 1 if not (stage.basic_augmentation or stage.seaweed) else count)
    return views


def _view_key(run: PlannedRun, recipe: Recipe, stage: Stage) -> str:
    kind = [run.teacher, asdict(recipe.augmentation), stage.basic_augmentation, stage.seaweed]
    return json.dumps(kind, sort_keys=True)


def hours(seconds: float) -> str:
    """A duration for people: "48 s", "12 min" or "3.4 h"."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
