"""One run of a reproduction: training, bundles and scores; and how long runs take here. Uses train and compress.

Heavy: only command functions import it.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgeface.bench.reproduction.plan import Plan, PlannedRun, bundle_name, read_recipe
from edgeface.bench.reproduction.state import state_of
from edgeface.tensorflow_setup import quiet_tensorflow

if TYPE_CHECKING:
    from edgeface.run import Run


def finish_run(out: Path, plan: Plan, run: PlannedRun, quiet: bool) -> bool:
    """Train what is not trained, then export, quantize and score. False when the user stopped it."""
    quiet_tensorflow()
    if not _train(out, plan, run, quiet):
        return False
    from edgeface.run import open_run

    trained = open_run(out / "runs" / run.key)
    for kind in run.kinds:
        _export(out, plan, run, trained, kind, quiet)
    _score(out, plan, run, trained)
    return True


def time_left(out: Path, plan: Plan, runs: Sequence[PlannedRun]) -> dict[str, float]:
    """Seconds that unfinished runs take, by key, from some training steps of each network measured now."""
    from edgeface.bench.reproduction.remaining import Speed, seconds_left
    from edgeface.bench.reproduction.score import is_complete
    from edgeface.data.layouts import load_dataset

    unfinished = [run for run in runs if not is_complete(out, plan, run)]
    networks = {run.network: run for run in reversed(unfinished)}
    if not networks:
        return {}
    quiet_tensorflow()
    from edgeface.train.session import check_size
    from edgeface.train.speed import forward_speed, measure_speed

    if "teacher" in networks:
        check_size(read_recipe(out, networks["teacher"].key).size)
    data = Path(plan.data)
    speeds = {}
    for network, run in networks.items():
        result = measure_speed(data, read_recipe(out, run.key), run.width, None, steps=4, rounds=1)
        speeds[network] = result["images_per_second"]["pipeline"]
    taught = [run for run in unfinished if run.teacher]
    forward = forward_speed(data, read_recipe(out, taught[0].key).size) if taught else float("inf")
    images = len(load_dataset(data).of("train"))
    return seconds_left(out, plan, unfinished, images, Speed(speeds, forward))


def _train(out: Path, plan: Plan, run: PlannedRun, quiet: bool) -> bool:
    from edgeface.errors import RunError
    from edgeface.train.recipes import read_resumed
    from edgeface.train.session import Request, train

    folder, state = out / "runs" / run.key, state_of(out, plan, run)
    if state.name == "finished":
        return True
    recipe, name = read_recipe(out, run.key), f"{plan.recipe} ({run.row})"
    if state.name == "cut short":
        recipe, name = read_resumed(folder, "student", [])
    elif (folder / "weights.h5").exists():
        raise RunError(
            f"{folder}: holds weights.h5, but is no finished run and has no checkpoint to go on from; copy the "
            "whole run there to adopt it, or remove the folder to train it anew"
        )
    teacher = None if run.teacher is None else out / "runs" / run.teacher
    request = Request(
        data=Path(plan.data), out=folder, recipe=recipe, recipe_name=name, width=run.width, teacher=teacher,
        seed=run.seed, resume=state.name == "cut short", quiet=quiet,
    )  # fmt: skip
    return not train(request).stopped


def _export(out: Path, plan: Plan, run: PlannedRun, trained: Run, kind: str, quiet: bool) -> None:
    """Write a bundle, unless it is there and of these weights."""
    from edgeface.bench.reproduction.score import is_current
    from edgeface.compress.qat import Plan as Training
    from edgeface.compress.quantize import Request, quantize

    if is_current(out, plan, run, kind, trained.info["weights_sha256"]):
        return
    mode = kind if kind == "float32" else run.quantize
    path = out / "bundles" / bundle_name(run, kind)
    teacher = out / "runs" / run.teacher if run.teacher and mode == "qat" else None
    training = Training(epochs=plan.qat_epochs)
    quantize(
        Request(
            trained.path, mode, data=Path(plan.data), teacher=teacher, out=path, plan=training, seed=run.seed,
            note=plan.note, quiet=quiet,
        )
    )  # fmt: skip


def _score(out: Path, plan: Plan, run: PlannedRun, trained: Run) -> None:
    """Score the bundles and keep the float network's answers, unless that is done."""
    from edgeface.bench.reproduction.score import is_scored, keep_answers, read_score, score_bundle
    from edgeface.data.layouts import load_dataset
    from edgeface.files import write_json
    from edgeface.models import load_model
    from edgeface.models.summary import multiply_adds, trainable_parameters

    weights = trained.info["weights_sha256"]
    known = read_score(out, run.key) or {}
    if is_scored(out, run, known, weights):
        return
    bundles = {kind: out / "bundles" / bundle_name(run, kind) for kind in run.kinds}
    dataset = load_dataset(Path(plan.data)).relabelled(trained.identities)
    threads = os.cpu_count() or 1
    model = load_model(trained)
    score: dict[str, Any] = (known if known.get("weights_sha256") == weights else {}) | {
        "weights_sha256": weights,
        "parameters": trainable_parameters(model),
        "macs": multiply_adds(model),
        **{kind: score_bundle(path, dataset, threads) for kind, path in bundles.items()},
    }
    score["confusions"] = keep_answers(out / "scores" / f"{run.key}.npz", bundles["float32"], dataset, threads)
    write_json(out / "scores" / f"{run.key}.json", score)
