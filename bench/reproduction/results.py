"""All that is known of the tables of a folder, as one JSON document. Tables, figures and page are views of it."""

from __future__ import annotations

import datetime
import math
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import edgeface
from edgeface import machine
from edgeface.bench.reproduction.plan import KINDS, Plan, PlannedRun, bundle_name, read_plans
from edgeface.bench.reproduction.reading import check_fields
from edgeface.bench.reproduction.score import is_as_planned, read_score
from edgeface.bench.reproduction.speed import read_speed, speed_of
from edgeface.bench.reproduction.state import run_info, state_of
from edgeface.run import read_metrics

FORMAT = "edgeface-reproduction"
VERSION = 1
COMPARISON = "comparison"


def collect(out: Path) -> dict[str, Any]:
    """The results of all tables planned in `out`, JSON-serialisable; what has not run yet has None in its place.

    Accuracies are top-1, 0..1; times seconds; sizes bytes. Nothing in it names a folder of this machine.
    Raises RunError when a file is damaged.
    """
    plans = sorted(read_plans(out), key=lambda plan: plan.table != COMPARISON)
    tables = [_table(out, plan) for plan in plans]
    finished = [run for table in tables for row in table["rows"] for run in row["runs"] if run["state"] == "finished"]
    return {
        "format": FORMAT,
        "version": VERSION,
        "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "edgeface": edgeface.__version__,
        "machine": {**machine.describe(), "load_average": None},
        "versions": finished[0]["versions"] if finished else {},
        "git_revisions": sorted({run["git_revision"] for run in finished if run["git_revision"]}),
        "tables": tables,
    }


def bench_file(out: Path, table: str) -> Path:
    """Where the speed of a table's bundles stands."""
    return out / "bench" / f"{table}.json"


def _table(out: Path, plan: Plan) -> dict[str, Any]:
    speed = read_speed(bench_file(out, plan.table))
    rows = [_row(out, plan, row, speed) for row in plan.rows]
    return {
        "table": plan.table,
        "recipe": plan.recipe,
        "overrides": list(plan.overrides),
        "data": plan.data_name,
        "data_hash": plan.data_hash,
        "note": plan.note,
        "qat_epochs": plan.qat_epochs,
        "rows": rows,
        "alike": plan.alike(),
        "gaps": taught_gaps(rows),
        "speed": None if speed is None else {name: speed[name] for name in ("date", "machine", "settings", "warnings")},
    }


def _row(out: Path, plan: Plan, row: dict[str, Any], speed: dict[str, Any] | None) -> dict[str, Any]:
    runs = [_run(out, plan, plan.run(key)) for key in row["runs"]]
    figures = {
        f"{kind}_{split}": summary([_accuracy(run, kind, split) for run in runs])
        for kind in KINDS
        for split in ("val", "test")
    }
    scored = [run["score"] for run in runs if run["score"]]
    sizes = {kind: next((score[kind]["bytes"] for score in scored if score.get(kind)), None) for kind in KINDS}
    return {
        "name": row["name"],
        "title": row["title"] or row["name"],
        "group": row["group"],
        "network": row["network"],
        "taught": row["taught"],
        "overrides": row["overrides"],
        "reference": {"val": row["reference"][0], "test": row["reference"][1]},
        "parameters": scored[0]["parameters"] if scored else None,
        "macs": scored[0]["macs"] if scored else None,
        "bytes": sizes,
        "figures": figures,
        "speed": {kind: speed_of(speed, bundle_name(plan.run(row["runs"][0]), kind)) for kind in KINDS},
        "int8_mode": plan.run(row["runs"][0]).quantize,
        "runs": runs,
    }


def _run(out: Path, plan: Plan, run: PlannedRun) -> dict[str, Any]:
    state = state_of(out, plan, run)
    folder = out / "runs" / run.key
    info = _described(folder) if state.name != "new" else {}
    curve = _curve(folder) if state.name != "new" else []
    score = read_score(out, run.key) if state.name == "finished" else None
    if score is not None and score["weights_sha256"] != info.get("weights_sha256"):
        score = None
    left_out = [] if score is None else [kind for kind in KINDS if _is_other(plan, run, kind, score)]
    return {
        "key": run.key,
        "seed": run.seed,
        "teacher": run.teacher,
        "state": state.name,
        "differences": list(state.differences),
        "epochs": state.epochs,
        "steps": curve[-1]["global_step"] if curve else 0,
        "seconds": info.get("figures", {}).get("seconds"),
        "versions": info.get("versions", {}),
        "git_revision": info.get("git_revision"),
        "chain": info.get("chain", []),
        "curve": curve,
        "score": score and {name: part for name, part in score.items() if name not in left_out},
        "left_out": left_out,
    }


def _is_other(plan: Plan, run: PlannedRun, kind: str, score: dict[str, Any]) -> bool:
    """Whether what was scored is a bundle that the plan would make otherwise: no mean may be taken over both."""
    return kind in score and not is_as_planned(plan, run, kind, score[kind]["chain"].get("source", {}))


def _described(folder: Path) -> dict[str, Any]:
    """A run's `run.json` with what it need not have. Raises RunError when any of it is damaged."""
    path, mend = folder / "run.json", "move the folder away to train the run again"
    info = {"chain": [], "versions": {}} | (run_info(folder) or {})
    check_fields(path, info, {"chain": list, "versions": dict}, mend)
    for step in info["chain"]:
        check_fields(path, step, {}, mend)
    return info


def _curve(folder: Path) -> list[dict[str, Any]]:
    """Of every epoch: stage, global_step, loss, training accuracy and validation accuracy."""
    wanted = ("stage", "epoch", "global_step", "loss", "accuracy", "val_accuracy")
    rows = [row for row in read_metrics(folder) if {"global_step", "val_accuracy"} <= row.keys()]
    return [{name: row[name] for name in wanted if name in row} for row in rows]


def _accuracy(run: dict[str, Any], kind: str, split: str) -> float | None:
    part = ((run["score"] or {}).get(kind) or {}).get(split)
    return None if part is None else part["top1"]


def summary(values: Sequence[float | None]) -> dict[str, Any] | None:
    """Mean and spread over seeds: `mean`, `std` (sample standard deviation, None for one seed), `n`. None for none."""
    known = [value for value in values if value is not None]
    if not known:
        return None
    std = statistics.stdev(known) if len(known) > 1 else None
    return {"mean": statistics.fmean(known), "std": std, "n": len(known)}


def difference(first: dict[str, Any] | None, other: dict[str, Any] | None) -> dict[str, Any] | None:
    """`first` minus `other`, two summaries, in points: `points`, its `standard_error` (None with one seed in either)
    and `over_spread`, the points over that error. None when either is unknown."""
    if first is None or other is None:
        return None
    points = 100 * (first["mean"] - other["mean"])
    if first["std"] is None or other["std"] is None:
        return {"points": points, "standard_error": None, "over_spread": None}
    error = 100 * math.sqrt(first["std"] ** 2 / first["n"] + other["std"] ** 2 / other["n"])
    return {"points": points, "standard_error": error, "over_spread": points / error if error else None}


def taught_gaps(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """For each width with a plain and a taught row of the comparison: teacher-student minus plain on validation."""
    by_name = {row["name"]: row["figures"] for row in rows}
    gaps = []
    for width in ("2.0", "1.0"):
        taught, plain = by_name.get(f"{width}-taught"), by_name.get(f"{width}-plain")
        if taught is None or plain is None:
            continue
        for kind in KINDS:
            found = difference(taught[f"{kind}_val"], plain[f"{kind}_val"])
            if found is not None:
                gaps.append({"network": width, "kind": kind, **found})
    return gaps
