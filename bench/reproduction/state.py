"""How far the runs of a plan are, and writing a plan so that what is finished stays in it."""

from __future__ import annotations

import contextlib
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from edgeface.bench.reproduction.plan import FORMAT, VERSION, Plan, PlannedRun, read_plan, read_recipe
from edgeface.bench.reproduction.reading import read_object
from edgeface.bench.reproduction.recipes import differences
from edgeface.errors import RecipeError, RunError
from edgeface.files import write_json
from edgeface.recipe import load_recipe
from edgeface.run import can_resume, read_metrics


@dataclass(frozen=True)
class State:
    """How far a run is: "finished", "cut short" or "new"; `epochs` done; what an adopted run does otherwise."""

    name: str
    epochs: int = 0
    differences: tuple[str, ...] = ()


def state_of(out: Path, plan: Plan, run: PlannedRun) -> State:
    """How far a run is. Raises RunError when its folder holds a run of other data, network, seed or teacher."""
    folder = out / "runs" / run.key
    info = run_info(folder)
    if info is None:
        return State("new")
    same = {
        "data": info["dataset"].get("hash") == plan.data_hash,
        "network": info.get("network") == run.architecture
        and info["build"].get("width") == run.width
        and "widths" not in info["build"],
        "seed": info.get("seed") == run.seed,
        "teaching": (info.get("teacher") is None) == (run.teacher is None),
        "teacher's weights": _of_teacher(out, run, info),
    }
    wrong = [name for name, holds in same.items() if not holds]
    if wrong:
        raise RunError(f"{folder}: is a run of other {' and '.join(wrong)}; move it away to train this one")
    planned = read_recipe(out, run.key)
    found = load_recipe(folder / "recipe.toml", "student", trains=False)  # it may be one that --init made
    changed = differences(planned, found, run.teacher is not None)
    epochs = len(read_metrics(folder))
    if info["figures"].get("finished"):
        return State("finished", epochs, changed)
    if can_resume(folder):
        return State("cut short", epochs, changed)
    return State("new")


def run_info(folder: Path) -> dict[str, Any] | None:
    """The `run.json` of a run, None when there is none. Raises RunError when it is damaged."""
    fields = dict.fromkeys(("dataset", "build", "figures"), dict)
    return read_object(folder / "run.json", fields, "move the folder away to train the run again")


def write_plan(out: Path, plan: Plan) -> None:
    """Make this the plan of its table in `out`. Finished seeds that the plan before had besides stay in their rows."""
    path = out / "plans" / f"{plan.table}.json"
    with contextlib.suppress(RunError):  # there is none before, or a damaged one, which this replaces
        plan = _with_finished(out, plan, read_plan(path))
    write_json(path, {"format": FORMAT, "version": VERSION, **asdict(plan)})


def _of_teacher(out: Path, run: PlannedRun, info: dict[str, Any]) -> bool:
    """Whether a taught run learnt from the planned teacher's weights, as far as both are known."""
    named = info.get("teacher")
    weights = named.get("weights_sha256") if isinstance(named, dict) else None
    teacher = run_info(out / "runs" / run.teacher) if run.teacher and weights else None
    return teacher is None or not teacher["figures"].get("finished") or teacher.get("weights_sha256") == weights


def _with_finished(out: Path, plan: Plan, before: Plan) -> Plan:
    """The plan, and in rows that begin with the same run as in the plan before that one's further finished runs."""
    if before.data_hash != plan.data_hash:
        return plan
    known = {run.key: run for run in before.runs}
    earlier = {row["name"]: row["runs"] for row in before.rows}
    rows, runs = [], {run.key: run for run in plan.runs}
    for row in plan.rows:
        keys = earlier.get(row["name"], [])
        more = [key for key in keys if key in known and key not in row["runs"]] if keys[:1] == row["runs"][:1] else []
        more = [key for key in more if _is_finished(out, plan, known[key])]
        for key in more:
            runs.setdefault(key, known[key])
        rows.append({**row, "runs": [*row["runs"], *more]})
    return replace(plan, rows=tuple(rows), runs=tuple(runs.values()))


def _is_finished(out: Path, plan: Plan, run: PlannedRun) -> bool:
    try:
        return state_of(out, plan, run).name == "finished"
    except (RunError, RecipeError):
        # Damaged, or of something else: no run of this table.
        return False
