"""The tries of `edgeface compress`: a run pruned, quantized and measured, each of them kept on disk."""

from __future__ import annotations

import json
import shutil
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edgeface.bundle import Bundle, open_bundle, store_thresholds, write_bundle
from edgeface.compress import calibration
from edgeface.compress.budget import Budget
from edgeface.compress.chain_speed import with_speed
from edgeface.compress.goal import Goal, MeasureFps
from edgeface.compress.last_round import last_round_recipe
from edgeface.compress.prune import Request as PruneRequest
from edgeface.compress.prune import prune
from edgeface.compress.qat import Plan
from edgeface.compress.quantize import Request as QuantizeRequest
from edgeface.compress.quantize import quantize
from edgeface.errors import UsageError
from edgeface.files import write_json
from edgeface.recipe import load_recipe
from edgeface.run import open_run
from edgeface.train.recipes import recipe_path

KEEPS = (1.0, 0.8, 0.6, 0.4, 0.25)
MODES = ("int8", "qat")
FIGURES = ("float_accuracy", "accuracy", "cosine", "macs", "bytes", "chain")
"""What of a finished try is read again."""


@dataclass(frozen=True)
class Request:
    """What the user asked for. `work` is the folder of the tries, `keeps` shares of the MACs, the first 1.0; pruning
    takes `rounds` of `epochs` of fine-tuning, the last of `last_epochs` where given, `plan` is that of training for
    int8. `everything` tries what is left after the first fit. `fps` measures bundles side by side with `fps_threads`;
    `threads` run the validation images, `stem` is that of every try; None leaves it to the run."""

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
    last_epochs: int | None = None
    plan: Plan = field(default_factory=Plan)
    calibration: int = calibration.DEFAULT
    align: int = 8
    everything: bool = False
    seed: int = 0
    threads: int = 2
    fps_threads: int = 1
    note: str = ""
    device: str = "cpu"
    stem: str | None = None
    quiet: bool = False

    def say(self, text: str) -> None:
        """A line of progress for people."""
        if not self.quiet:
            sys.stderr.write(f"{text}\n")


def try_name(keep: float, mode: str) -> str:
    """The name of a try, and of its bundle in the folder of the tries; a network trained for int8 is NAME-run there."""
    return f"keep-{keep:g}-{mode}"


def is_made(request: Request, row: dict[str, Any]) -> bool:
    """Whether a try has been made and measured, for this budget or another."""
    return (request.work / f"{row['try']}.json").exists()


def outcome_of(request: Request, row: dict[str, Any]) -> dict[str, Any]:
    """What `quantize` gave for a try, with its `macs`, `fps` and `speedup`; from disk where it was made before. Its
    speed is measured again with other threads."""
    place = request.work / f"{row['try']}.json"
    found = read_json(place, *FIGURES) if place.exists() else _quantized(request, row)
    if "fps" not in found or found["fps_threads"] != request.fps_threads:
        found |= {**_speed(request, row), "fps_threads": request.fps_threads}
        write_json(place, found)
    return found


def made(request: Request, row: dict[str, Any], reference: float) -> dict[str, Any]:
    """The figures of the finished try in place of those of its shape; `reference` is the accuracy it is compared to."""
    outcome = outcome_of(request, row)
    figures = {name: outcome[name] for name in ("accuracy", "cosine", "macs", "fps", "speedup")}
    return {**figures, "size": outcome["bytes"], "drop": 100 * (reference - outcome["accuracy"])}


def _quantized(request: Request, row: dict[str, Any]) -> dict[str, Any]:
    """Make a try, and keep what it gave: measuring its speed may be stopped."""
    run = request.run if row["keep"] == 1.0 else _pruned(request, row["keep"])
    request.say(f"{row['try']}: quantizing and measuring")
    qat = row["mode"] == "qat"
    kept = request.work / f"{row['try']}-run" if qat else None
    if kept is not None and kept.exists():
        shutil.rmtree(kept)  # of a try that was stopped before its figures were written
    outcome = quantize(
        QuantizeRequest(
            run, row["mode"], data=request.data, teacher=request.teacher if qat else None,
            out=request.work / row["try"], calibration=request.calibration, plan=request.plan, seed=request.seed,
            threads=request.threads, note=request.note, quiet=request.quiet,
            save_run=kept, stem=request.stem,
        )
    )  # fmt: skip
    for warning in outcome.warnings:
        request.say(f"warning: {row['try']}: {warning}")
    found = {**outcome.to_dict(), "macs": outcome.chain[-1]["macs"]}
    write_json(request.work / f"{row['try']}.json", found)
    return found


def _speed(request: Request, row: dict[str, Any]) -> dict[str, Any]:
    """The try's own speed, beside that of the run in int8; the latter is its shape's."""
    first = try_name(1.0, MODES[0])
    if row["try"] == first:
        return {"fps": row["fps"], "speedup": row["speedup"]}
    request.say(f"{row['try']}: measuring its speed")
    before, own = request.fps([request.work / first, request.work / row["try"]])
    return {"fps": own, "speedup": own / before if own and before else None}


def _pruned(request: Request, keep: float) -> Path:
    """The run pruned to this share of its MACs, finished or gone on with. Ctrl-C stops the search, too."""
    request.say(f"keep-{keep:g}: pruning and fine-tuning")
    base = load_recipe(open_run(request.run).recipe, "student", trains=False)
    path = recipe_path("prune")[0]
    recipe = load_recipe(path, "student", [f"stage1.epochs={request.epochs}"], base)
    last = None if request.last_epochs is None else last_round_recipe(path, request.last_epochs, None, base)
    outcome = prune(
        PruneRequest(
            request.run, request.work / f"keep-{keep:g}", recipe, "prune", Goal("macs", keep), data=request.data,
            teacher=request.teacher, rounds=request.rounds, last_recipe=last, align=request.align, seed=request.seed,
            quiet=request.quiet,
        )
    )  # fmt: skip
    if outcome.stopped:
        raise KeyboardInterrupt
    return outcome.run


def write_chosen(request: Request, row: dict[str, Any]) -> None:
    """The chosen try's bundle at the place asked for, with the fps of every step in its chain and card."""
    tried = open_bundle(request.work / row["try"])
    chain = _timed_chain(request, row, tried)
    chain[-1]["name"] = request.out.name
    budget = ", ".join(clause.text for clause in request.budget.clauses)
    threads = f"{request.fps_threads} thread{'s' if request.fps_threads > 1 else ''}"
    fps = f"{'measured' if request.device == 'cpu' else 'estimated'} on {request.device}, {threads}"
    write_bundle(
        request.out, tried.read_model(), tried.labels, tried.face_input, tried.mode,
        accuracy=tried.accuracy, source={**tried.source, "budget": budget, "fps": fps}, note=request.note or tried.note,
        chain=chain,
    )  # fmt: skip
    store_thresholds(request.out, tried.thresholds)


def _timed_chain(request: Request, row: dict[str, Any], tried: Bundle) -> list[dict[str, Any]]:
    """The chain of a try with the fps of its steps, from disk where they were measured before."""
    place = request.work / f"{row['try']}.json"
    found = read_json(place)
    if found.get("chain_threads") != request.fps_threads:
        request.say(f"{row['try']}: chosen; measuring the speed of the steps that led to it")
        chain = with_speed(tried.chain, tried.read_model(), tried.mode, tried.labels, tried.face_input, request.fps)
        found |= {"chain": chain, "chain_threads": request.fps_threads}
        write_json(place, found)
    return found["chain"]


def read_json(path: Path, *names: str) -> dict[str, Any]:
    """A file that an earlier search left. Raises UsageError when it cannot be read or lacks one of these entries."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        missing = [name for name in names if name not in dict(found)]
    except (OSError, ValueError, TypeError) as error:
        raise UsageError(f"{path}: cannot be read ({error}); remove it and start again") from None
    if missing:
        raise UsageError(
            f"{path}: is damaged or of another version ({missing[0]} is missing); remove it and start again"
        )
    return found
