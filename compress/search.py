"""`edgeface compress`: pruning amounts and quantization modes tried in order of promise until a budget is met."""

from __future__ import annotations

import math
from dataclasses import asdict
from pathlib import Path
from typing import Any

from edgeface.compress import calibration
from edgeface.compress.budget import Budget, Clause
from edgeface.compress.channels import PRUNABLE
from edgeface.compress.export import check_options
from edgeface.compress.pareto import draw, pareto_front
from edgeface.compress.places import check_apart, check_out
from edgeface.compress.preflight import unfit_layers
from edgeface.compress.prune import check_people
from edgeface.compress.quantize import dataset_of
from edgeface.compress.shapes import measure_shapes
from edgeface.compress.stem import default_stem
from edgeface.compress.teaching import open_teacher
from edgeface.compress.tries import MODES, Request, is_made, made, outcome_of, read_json, try_name, write_chosen
from edgeface.data.layouts import load_dataset
from edgeface.errors import GateFailed, QuantizationError, UsageError
from edgeface.files import locked, write_json
from edgeface.models import load_model
from edgeface.run import open_run
from edgeface.train.session import load_split

__all__ = ["Request", "check_fits", "search"]

FORMAT, VERSION = "edgeface-compress", 1
HOPE = 3.0
"""Points of accuracy that a pruned network may lose over the budget's drop; beyond, neither training for int8 nor
harder pruning is tried. The run as it is may lose more: training for int8 is there to mend that."""
LABELS = {"weights": "RUN", "last_epochs": "--last-epochs", "plan": "--qat-epochs", "calibration": "calibration"}
"""What a user calls the entries of `settings.json` that are not named as their options are."""
SLACK = 0.05
"""A shape breaks a limit when it does so by more than this share: a network pruned in rounds differs a bit from it."""


def search(request: Request) -> dict[str, Any]:
    """Search and return the result document (JSON-serialisable): `tries` (with `verdict`), `front`, `chosen` or None,
    and `nearest`. The chosen bundle is written to `out`. Stopped, it goes on where it was when it is asked again.

    Raises UsageError, RunError or DataError; see their messages. See `check_fits` for the exit code.
    """
    _check(request)
    check_apart("--work", request.work, request.out)
    _check_network(request)
    check_out(request.out)
    _check_qat(request)
    _check_people(request)
    _claim(request)
    with locked(request.work, "edgeface compress"):
        return _search(request)


def _search(request: Request) -> dict[str, Any]:
    shapes = _shapes(request)
    tries = [_blank(request, shape, mode) for shape in shapes for mode in request.modes]
    _decide(request, tries)
    fitting = [row for row in tries if row["accuracy"] is not None and not request.budget.broken(row)]
    chosen = max(fitting, key=lambda row: (row["accuracy"], -row["size"], row["keep"]), default=None)
    nearest = chosen or _nearest(tries, request.budget)
    result = {
        "format": FORMAT,
        "version": VERSION,
        "run": request.run.resolve().name,
        "budget": [clause.text for clause in request.budget.clauses],
        "device": request.device,
        "seed": request.seed,
        "last_epochs": request.last_epochs,
        "tries": tries,
        "front": [tries[place]["try"] for place in pareto_front(tries)],
        "chosen": None if chosen is None else chosen["try"],
        "nearest": nearest["try"],
        "bundle": None if chosen is None else str(request.out),
    }
    if chosen is not None:
        write_chosen(request, chosen)
    write_json(request.work / "search.json", result)
    draw(tries, result["chosen"], request.work / "front.png", request.device)
    return result


def check_fits(result: dict[str, Any], budget: Budget, out: Path) -> None:
    """Raise GateFailed, naming what came nearest, when nothing fitted; an older bundle at `out` is named, too."""
    if result["chosen"] is None:
        nearest = next(row for row in result["tries"] if row["try"] == result["nearest"])
        untrained = nearest["accuracy"] is None
        clauses = (budget.shape() if untrained else budget).broken(nearest)
        broken = ", ".join(clause.text for clause in clauses)
        if untrained:
            broken += "; it was not trained, so its accuracy is not known"
        elif nearest["drop"] > 0 and nearest["keep"] < 1 and not result["last_epochs"] and _trainable(clauses):
            broken += "; what pruning took comes back with time: --last-epochs 60, and another --work"
        if out.exists():
            broken += f"; the bundle that is in {out} is of an earlier budget"
        raise GateFailed(f"nothing fits the budget; {nearest['try']} came nearest and breaks {broken}")


def _trainable(clauses: tuple[Clause, ...]) -> bool:
    """Whether more training may meet these limits."""
    return all(clause.name in ("accuracy", "drop") for clause in clauses)


def _nearest(tries: list[dict[str, Any]], budget: Budget) -> dict[str, Any]:
    """The try that breaks the budget least: of those that were trained, or of all by shape when no shape holds it.
    The first is made in any case; the others were trained because their shapes held the budget."""
    shape = budget.shape()
    first = tries[:1] if not shape.broken(tries[0]) else []
    trained = [row for row in (*first, *tries[1:]) if row["accuracy"] is not None]
    if trained:
        return min(trained, key=lambda row: (budget.distance(row), -row["keep"], row["mode"]))
    possible = [row for row in tries if not row["problem"]]
    return min(possible, key=lambda row: (shape.distance(row), -row["keep"], row["mode"]))


def _check(request: Request) -> None:
    if not request.keeps or request.keeps[0] != 1.0 or list(request.keeps) != sorted(set(request.keeps))[::-1]:
        raise UsageError("--keep: give falling shares of the MACs that begin with 1, such as 1,0.8,0.6")
    for keep in request.keeps:
        if not 0 < keep <= 1:
            raise UsageError(f"--keep {keep:g}: shares of the MACs lie between 0 and 1")
    if request.modes not in (MODES[:1], MODES):
        raise UsageError("--modes: give int8, or int8,qat")
    if request.epochs < 1 or request.rounds < 1:
        raise UsageError("--epochs and --rounds must be 1 or more: a pruned network needs fine-tuning")
    if request.plan.epochs < 1:
        raise UsageError(
            f"--qat-epochs {request.plan.epochs}: give at least 1; --modes int8 leaves training for it out"
        )
    request.plan.check()
    check_options(MODES[0], "float", request.stem)
    calibration.check_count(request.calibration)


def _check_network(request: Request) -> None:
    """Refuse to take channels from a network that has none to spare."""
    run = open_run(request.run)
    if len(request.keeps) > 1 and run.network != PRUNABLE:
        raise UsageError(
            f"{request.run}: channels can be removed from {PRUNABLE} alone; try the modes of this {run.network} "
            "with --keep 1"
        )


def _check_qat(request: Request) -> None:
    """Refuse, before anything is measured, a network that cannot be trained for int8 when that is to be tried."""
    unfit = unfit_layers(load_model(open_run(request.run))) if "qat" in request.modes else []
    if unfit:
        raise UsageError(f"{unfit[0]}; or leave training for int8 out with --modes int8")


def _check_people(request: Request) -> None:
    """Refuse a teacher or data that pruning would refuse after the first tries."""
    run = open_run(request.run)
    if request.teacher is not None:
        open_teacher(request.teacher, run)
    if request.data is not None and len(request.keeps) > 1:
        check_people(load_dataset(request.data), run)


def _claim(request: Request) -> None:
    """Remember in the folder of the tries what they are of; refuse the folder of another search."""
    run = open_run(request.run)
    dataset = dataset_of(run, request.data)
    teacher = None if request.teacher is None else open_run(request.teacher).info["weights_sha256"]
    # Not the budget: other limits may use the same tries.
    settings = {
        "weights": run.info["weights_sha256"], "data": dataset.content_hash(), "teacher": teacher,
        "plan": asdict(request.plan) if MODES[1] in request.modes else None,
        "epochs": request.epochs, "rounds": request.rounds, "last_epochs": request.last_epochs,
        "calibration": request.calibration, "align": request.align,
        "seed": request.seed, "device": request.device, "stem": request.stem or default_stem(run),
    }  # fmt: skip
    place = request.work / "settings.json"
    if not place.exists():
        if request.work.is_file() or (request.work.is_dir() and any(request.work.iterdir())):
            raise UsageError(f"{request.work}: holds something else; choose another folder with --work")
        write_json(place, settings)
        return
    known = read_json(place, "weights", "plan")
    if known["plan"] is None or settings["plan"] is None:  # training for int8 begins now, or is left out
        settings["plan"] = known["plan"] = known["plan"] or settings["plan"]
    changed = sorted(LABELS.get(key, f"--{key}") for key in settings if known.get(key) != settings[key])
    if changed:
        raise UsageError(
            f"{request.work}: holds tries with another {', '.join(changed)}; give another folder with --work, or "
            "remove it"
        )
    write_json(place, settings)


def _shapes(request: Request) -> list[dict[str, Any]]:
    """The shapes' figures, from disk where they were measured before."""
    place = request.work / "shapes.json"
    if place.exists():
        known = read_json(place, "shapes")
        same = known.get("threads", request.fps_threads) == request.fps_threads
        if same and [shape["keep"] for shape in known["shapes"]] == list(request.keeps):
            return known["shapes"]
    run = open_run(request.run)
    train = load_split(dataset_of(run, request.data), "train", run.face_input)
    chosen = calibration.choose(train.labels, calibration.SMALLEST, request.seed)
    shapes = measure_shapes(
        run, load_model(run), train, request.keeps,
        calibration=calibration.samples(train.images[chosen], run.face_input),
        align=request.align, fps=request.fps, stem=request.stem or default_stem(run), seed=request.seed,
        say=request.say,
    )  # fmt: skip
    write_json(place, {"shapes": shapes, "threads": request.fps_threads})
    return shapes


def _blank(request: Request, shape: dict[str, Any], mode: str) -> dict[str, Any]:
    """A try that has not been made: the figures of its shape."""
    return {
        "try": try_name(shape["keep"], mode),
        "mode": mode,
        **shape,
        "accuracy": None,
        "drop": None,
        "cosine": None,
        "verdict": "",
    }


def _decide(request: Request, tries: list[dict[str, Any]]) -> None:
    """Make the tries in order of promise, the mildest first, and write a verdict on each."""
    reference = outcome_of(request, tries[0])["float_accuracy"]  # of the run, that drops are counted from
    most = _largest_drop(request.budget, reference) + HOPE
    stop, lost = "", dict[float, float]()
    for row in tries:
        far = row["keep"] < 1.0 and lost.get(row["keep"], -math.inf) > most
        row["verdict"] = "" if row is tries[0] else _unwanted(request, row, stop, lost[row["keep"]] if far else None)
        if not row["verdict"]:
            try:
                row |= made(request, row, reference)
            except QuantizationError as error:  # training for int8 would end there, too
                for other in tries:
                    if other["keep"] == row["keep"]:
                        other["problem"] = str(error)
                row["verdict"] = f"cannot be made: {error}"
                continue
            missed = request.budget.broken(row)
            row["verdict"] = f"breaks {', '.join(clause.text for clause in missed)}" if missed else "fits"
            lost[row["keep"]] = min(lost.get(row["keep"], math.inf), row["drop"])
            if not missed and not request.everything:
                stop = f"{row['try']} fits"
        if row["keep"] < 1.0 and row["mode"] == request.modes[-1] and lost.get(row["keep"], -math.inf) > most:
            stop = stop or f"keep-{row['keep']:g} lost {lost[row['keep']]:.1f} points already"


def _largest_drop(budget: Budget, reference: float) -> float:
    """Points of accuracy that the budget lets a network lose of `reference`, 0..1; infinite without a limit on it."""
    drop, accuracy = budget.limit("drop"), budget.limit("accuracy")
    return min(
        math.inf if drop is None else drop,
        math.inf if accuracy is None else 100 * (reference - accuracy),
    )


def _unwanted(request: Request, row: dict[str, Any], stop: str, lost: float | None) -> str:
    """Why a try is not to be made, "" when it is. `lost` are the points that its shape lost in int8, where too many.

    One that was finished for an earlier budget is judged in any case.
    """
    if row["problem"]:
        return f"cannot be made: {row['problem']}"
    if is_made(request, row):
        return ""
    broken = request.budget.shape().broken(row, SLACK)
    if broken:
        return f"not trained: breaks {', '.join(clause.text for clause in broken)}"
    if stop:
        return f"not tried: {stop}"
    return "" if lost is None else f"not tried: int8 lost {lost:.1f} points"
