"""`edgeface compress`: pruning amounts and quantization modes tried in order of promise until a budget is met."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from edgeface.bundle import open_bundle, store_thresholds, write_bundle
from edgeface.compress import calibration
from edgeface.compress.budget import Budget
from edgeface.compress.goal import Goal, MeasureFps
from edgeface.compress.pareto import draw, pareto_front
from edgeface.compress.preflight import unfit_layers
from edgeface.compress.prune import Request as PruneRequest
from edgeface.compress.prune import prune
from edgeface.compress.qat import Plan
from edgeface.compress.quantize import Request as QuantizeRequest
from edgeface.compress.quantize import check_out, dataset_of, quantize
from edgeface.compress.shapes import measure_shapes
from edgeface.errors import GateFailed, UsageError
from edgeface.files import write_json
from edgeface.models import load_model
from edgeface.recipe import load_recipe
from edgeface.run import open_run
from edgeface.train.recipes import recipe_path
from edgeface.train.session import load_split

FORMAT, VERSION = "edgeface-compress", 1
KEEPS = (1.0, 0.8, 0.6, 0.4, 0.25)
MODES = ("int8", "qat")
HOPE = 3.0
"""Points of accuracy over the budget's drop beyond which neither training for int8 nor harder pruning is tried."""


@dataclass(frozen=True)
class Request:
    """What the user asked for. `work` is the folder of the tries, `keeps` shares of the MACs, the first 1.0; pruning
    takes `rounds` of `epochs` of fine-tuning, `plan` is that of training for int8. `everything` tries what is left
    after the first fit. `fps` measures bundles side by side with `fps_threads`; `threads` run the validation images."""

    run: Path
    budget: Budget
    out: Path
    work: Path
    fps: MeasureFps
    teacher: Path | None = None
    data: Path | None = None
    keeps: tuple[float, ...] = KEEPS
    modes: tuple[str, ...] = MODES
    epochs: int = 6
    rounds: int = 4
    plan: Plan = field(default_factory=Plan)
    calibration: int = calibration.DEFAULT
    align: int = 8
    everything: bool = False
    seed: int = 0
    threads: int = 2
    fps_threads: int = 1
    note: str = ""
    device: str = "cpu"
    quiet: bool = False

    def say(self, text: str) -> None:
        """A line of progress for people."""
        if not self.quiet:
            sys.stderr.write(f"{text}\n")


def search(request: Request) -> dict[str, Any]:
    """Search and return the result document (JSON-serialisable): `tries` (with `verdict`), `front`, `chosen` or None,
    and `nearest`. The chosen bundle is written to `out`. Stopped, it goes on where it was when it is asked again.

    Raises UsageError, RunError or DataError; see their messages. See `check_fits` for the exit code.
    """
    _check(request)
    check_out(request.out)
    _check_qat(request)
    _claim(request)
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
        "tries": tries,
        "front": [tries[place]["try"] for place in pareto_front(tries)],
        "chosen": None if chosen is None else chosen["try"],
        "nearest": nearest["try"],
        "bundle": None if chosen is None else str(request.out),
    }
    if chosen is not None:
        _write_chosen(request, chosen)
    write_json(request.work / "search.json", result)
    draw(tries, result["chosen"], request.work / "front.png", request.device)
    return result


def check_fits(result: dict[str, Any], budget: Budget) -> None:
    """Raise GateFailed, naming what came nearest, when nothing fitted."""
    if result["chosen"] is None:
        nearest = next(row for row in result["tries"] if row["try"] == result["nearest"])
        untrained = nearest["accuracy"] is None
        broken = ", ".join(clause.text for clause in (budget.shape() if untrained else budget).broken(nearest))
        left = "; it was not trained, so its accuracy is not known" if untrained else ""
        raise GateFailed(f"nothing fits the budget; {nearest['try']} came nearest and breaks {broken}{left}")


def _nearest(tries: list[dict[str, Any]], budget: Budget) -> dict[str, Any]:
    """The try that breaks the budget least: of those that were trained, or of all by shape when no shape holds it."""
    shape = budget.shape()
    trained = [row for row in tries if row["accuracy"] is not None and not shape.broken(row)]
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
    calibration.check_count(request.calibration)


def _check_qat(request: Request) -> None:
    """Refuse, before anything is measured, a network that cannot be trained for int8 when that is to be tried."""
    unfit = unfit_layers(load_model(open_run(request.run))) if "qat" in request.modes else []
    if unfit:
        raise UsageError(f"{unfit[0]}; or leave training for int8 out with --modes int8")


def _claim(request: Request) -> None:
    """Remember in the folder of the tries what they are of; refuse the folder of another search."""
    run = open_run(request.run)
    dataset = dataset_of(run, request.data)
    teacher = None if request.teacher is None else open_run(request.teacher).info["weights_sha256"]
    # Not the budget: other limits may use the same tries.
    settings = {
        "weights": run.info["weights_sha256"], "data": dataset.content_hash(), "teacher": teacher,
        "epochs": request.epochs, "rounds": request.rounds, "plan": asdict(request.plan),
        "calibration": request.calibration, "align": request.align, "seed": request.seed, "device": request.device,
    }  # fmt: skip
    place = request.work / "settings.json"
    if not place.exists():
        write_json(place, settings)
        return
    known = _read(place)
    changed = sorted(key for key in settings if known.get(key) != settings[key])
    if changed:
        raise UsageError(
            f"{request.work}: holds tries with another {', '.join(changed)}; give another folder with --work, or "
            "remove it"
        )


def _shapes(request: Request) -> list[dict[str, Any]]:
    """The shapes' figures, from disk where they were measured before."""
    place = request.work / "shapes.json"
    if place.exists():
        known = _read(place)
        same = known.get("threads", request.fps_threads) == request.fps_threads
        if same and [shape["keep"] for shape in known["shapes"]] == list(request.keeps):
            return known["shapes"]
    run = open_run(request.run)
    train = load_split(dataset_of(run, request.data), "train", run.face_input)
    chosen = calibration.choose(train.labels, calibration.SMALLEST, request.seed)
    shapes = measure_shapes(
        run, load_model(run), train, request.keeps,
        calibration=calibration.samples(train.images[chosen], run.face_input),
        align=request.align, fps=request.fps, say=request.say,
    )  # fmt: skip
    write_json(place, {"shapes": shapes, "threads": request.fps_threads})
    return shapes


def _blank(request: Request, shape: dict[str, Any], mode: str) -> dict[str, Any]:
    """A try that has not been made: the figures of its shape."""
    name = f"keep-{shape['keep']:g}-{mode}"
    return {"try": name, "mode": mode, **shape, "accuracy": None, "drop": None, "cosine": None, "verdict": ""}


def _decide(request: Request, tries: list[dict[str, Any]]) -> None:
    """Make the tries in order of promise, the mildest first, and write a verdict on each."""
    limit = request.budget.limit("drop")
    floor = request.budget.limit("accuracy")
    reference = _reference(request, tries[0])
    if floor is not None:
        limit = min(limit if limit is not None else 100.0, 100 * (reference - floor))
    stop, lost = "", dict[float, float]()
    for row in tries:
        broken = request.budget.shape().broken(row)
        if row["problem"]:
            row["verdict"] = f"cannot be made: {row['problem']}"
        elif row is not tries[0] and broken:
            row["verdict"] = f"not trained: breaks {', '.join(clause.text for clause in broken)}"
        elif row is not tries[0] and stop:
            row["verdict"] = f"not tried: {stop}"
        elif limit is not None and lost.get(row["keep"], 0.0) > limit + HOPE:
            row["verdict"] = f"not tried: int8 lost {lost[row['keep']]:.1f} points"
            stop = f"keep-{row['keep']:g}-int8 lost {lost[row['keep']]:.1f} points already"
        else:
            row |= _made(request, row, reference)
            missed = request.budget.broken(row)
            row["verdict"] = f"breaks {', '.join(clause.text for clause in missed)}" if missed else "fits"
            lost[row["keep"]] = min(lost.get(row["keep"], 100.0), row["drop"])
            if not missed and not request.everything:
                stop = f"{row['try']} fits"
            elif limit is not None and row["mode"] == request.modes[-1] and lost[row["keep"]] > limit + HOPE:
                stop = f"{row['try']} lost {lost[row['keep']]:.1f} points already"


def _reference(request: Request, first: dict[str, Any]) -> float:
    """The accuracy of the run in float, that drops are counted from. The first try measures it."""
    return _outcome(request, first)["float_accuracy"]


def _made(request: Request, row: dict[str, Any], reference: float) -> dict[str, Any]:
    """The figures that only the finished try has."""
    outcome = _outcome(request, row)
    figures = {name: outcome[name] for name in ("accuracy", "cosine", "macs")}
    return {**figures, "size": outcome["bytes"], "drop": 100 * (reference - outcome["accuracy"])}


def _outcome(request: Request, row: dict[str, Any]) -> dict[str, Any]:
    """What `quantize` gave for a try, from disk where it was made before."""
    place = request.work / f"{row['try']}.json"
    if place.exists():
        return _read(place)
    run = request.run if row["keep"] == 1.0 else _pruned(request, row["keep"])
    request.say(f"{row['try']}: quantizing and measuring")
    qat = row["mode"] == "qat"
    outcome = quantize(
        QuantizeRequest(
            run, row["mode"], data=request.data, teacher=request.teacher if qat else None,
            out=request.work / row["try"], calibration=request.calibration, plan=request.plan, seed=request.seed,
            threads=request.threads, note=request.note, quiet=request.quiet,
        )
    )  # fmt: skip
    found = {**outcome.to_dict(), "macs": outcome.chain[-1]["macs"]}
    write_json(place, found)
    return found


def _pruned(request: Request, keep: float) -> Path:
    """The run pruned to this share of its MACs, finished or gone on with. Ctrl-C stops the search, too."""
    request.say(f"keep-{keep:g}: pruning and fine-tuning")
    base = load_recipe(open_run(request.run).recipe, "student")
    recipe = load_recipe(recipe_path("prune")[0], "student", [f"stage1.epochs={request.epochs}"], base)
    outcome = prune(
        PruneRequest(
            request.run, request.work / f"keep-{keep:g}", recipe, "prune", Goal("macs", keep), data=request.data,
            teacher=request.teacher, rounds=request.rounds, align=request.align, seed=request.seed,
            quiet=request.quiet,
        )
    )  # fmt: skip
    if outcome.stopped:
        raise KeyboardInterrupt
    return outcome.run


def _write_chosen(request: Request, row: dict[str, Any]) -> None:
    """The chosen try's bundle at the place asked for, with the measured fps in its chain and card."""
    tried = open_bundle(request.work / row["try"])
    chain = [*tried.chain[:-1], {**tried.chain[-1], "name": request.out.name, "fps": row["fps"]}]
    budget = ", ".join(clause.text for clause in request.budget.clauses)
    write_bundle(
        request.out, tried.read_model(), tried.labels, tried.face_input, tried.mode,
        accuracy=tried.accuracy, source={**tried.source, "budget": budget}, note=request.note or tried.note,
        chain=chain,
    )  # fmt: skip
    store_thresholds(request.out, tried.thresholds)


def _read(path: Path) -> dict[str, Any]:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError(f"{path}: cannot be read ({error}); remove it and start again") from None
