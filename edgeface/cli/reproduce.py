"""`edgeface reproduce comparison|ablation`: the reference system's tables on the user's own data."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated, Any

import typer

from edgeface.cli.common import Json, Quiet, command, command_group, note, print_json

if TYPE_CHECKING:
    from edgeface.bench.reproduction.execute import Workshop
    from edgeface.bench.reproduction.plan import Plan, PlannedRun
    from edgeface.bench.reproduction.rows import Row

app = command_group(
    "The reference system's tables on your own data. Stop them with Ctrl-C and start them again over days.",
    "edgeface reproduce comparison faces --plan",
    "edgeface reproduce ablation faces --network 1.0 --only reference",
)

Data = Annotated[Path, typer.Argument(help="The dataset's folder, with train and val; test is scored where labelled.")]
Out = Annotated[Path, typer.Option(help="Folder for everything; tables in one folder share their runs.")]
RecipeFile = Annotated[str, typer.Option("--recipe", help="A shipped recipe (see edgeface recipes) or a TOML file.")]
Set = Annotated[list[str] | None, typer.Option("--set", help="Override a field in every row: --set size=80.")]
Seeds = Annotated[int, typer.Option(help="Seeds a student's row.", min=1)]
TeacherSeeds = Annotated[int, typer.Option(help="Seeds of the teacher's own rows; students learn from seed 0.", min=1)]
Only = Annotated[list[str] | None, typer.Option(help="Run this row (or group of rows) alone. May be given many times.")]
Jobs = Annotated[int, typer.Option(help="Runs at once.", min=1)]
PlanOnly = Annotated[bool, typer.Option("--plan", help="Print the runs and the time they take here; run none.")]
About = Annotated[str, typer.Option("--note", help="Text for the model cards, such as limits of the data.")]
Bench = Annotated[bool, typer.Option("--bench/--no-bench", help="Measure the speed of the bundles at the end.")]
Device = Annotated[list[str] | None, typer.Option(help="Where speed is measured; by default cpu and every simulated.")]


@app.command()
@command
def comparison(
    data: Data,
    recipe: RecipeFile = "cpu",
    seeds: Seeds = 3,
    teacher_seeds: TeacherSeeds = 1,
    out: Out = Path("reproduction"),
    only: Only = None,
    jobs: Jobs = 1,
    plan_only: PlanOnly = False,
    qat_epochs: Annotated[int, typer.Option(help="Passes over the training images in int8 training.", min=1)] = 5,
    about: About = "",
    bench: Bench = True,
    device: Device = None,
    overrides: Set = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Teacher, 2.0 and 1.0 students, plain and taught, each in float32 and trained for int8: accuracy, size and speed.

    A run that exists is not made again: put a finished one at DIR/runs/KEY (the keys are in --plan) to adopt it.

    Examples:

        edgeface reproduce comparison photos/ --seeds 3 --out reproduction --plan

        edgeface reproduce comparison photos/ --seeds 3 --out reproduction

        edgeface reproduce comparison photos/ --only 1.0-taught --seeds 1 --no-bench
    """
    from edgeface.bench.reproduction import rows
    from edgeface.bench.reproduction.speed import checked_devices, known_devices
    from edgeface.errors import UsageError

    if device and not bench:
        raise UsageError("--device says where speed is measured; leave it or --no-bench out")
    devices = () if not bench else checked_devices(device) if device else known_devices()
    options = {"recipe": recipe, "overrides": overrides, "seeds": seeds, "teacher_seeds": teacher_seeds, "note": about}
    options |= {"quantize": True, "qat_epochs": qat_epochs}
    names = {row.name for row in rows.chosen(rows.comparison(), only or [])}
    plan = _plan("comparison", rows.comparison(), data, out, options)
    todo = plan.of_rows(names)
    if plan_only:
        _print_plan(plan, out, todo, as_json)
    else:
        _reproduce(plan, todo, out, jobs, devices, as_json, quiet)


@app.command()
@command
def ablation(
    data: Data,
    network: Annotated[str, typer.Option(help="teacher, 1.0 or 2.0.")] = "1.0",
    recipe: RecipeFile = "cpu",
    seeds: Annotated[int, typer.Option(help="Seeds a row.", min=1)] = 1,
    out: Out = Path("reproduction"),
    only: Only = None,
    jobs: Jobs = 1,
    plan_only: PlanOnly = False,
    about: About = "",
    overrides: Set = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """What each part of the recipe gives: the reference's seven rows, then groups head, training and distillation.

    Every row has as many steps: it takes parts out of the recipe, or changes one, and leaves the epochs alone.
    Seaweed, mining and triplet are parts of stage 2, which recipe cpu leaves out: give it epochs to try them.

    Examples:

        edgeface reproduce ablation photos/ --network 1.0 --only reference --set stage2.epochs=10

        edgeface reproduce ablation photos/ --network 1.0 --only arcface --only taught --plan
    """
    from edgeface.bench.reproduction import rows, tables

    options = {"recipe": recipe, "overrides": overrides, "seeds": seeds, "teacher_seeds": seeds, "note": about}
    table = rows.ablation(network)
    names = {row.name for row in rows.chosen(table, only or [])}
    plan = _plan(f"ablation-{network}", table, data, out, options)
    todo = plan.of_rows(names)
    for alike in plan.alike():
        note(f"note: {tables.same_training(alike, plan.recipe)}", quiet=quiet)
    if plan_only:
        _print_plan(plan, out, todo, as_json)
    else:
        _reproduce(plan, todo, out, jobs, (), as_json, quiet)


@app.command(hidden=True)
@command
def step(
    out: Annotated[Path, typer.Argument(help="The reproduction's folder.")],
    table: Annotated[str, typer.Argument(help="The table.")],
    key: Annotated[str, typer.Argument(help="The run's key.")],
    quiet: Quiet = False,
) -> None:
    """Do what one run still lacks: training, bundles, scores. The other commands call this in processes of their own.

    Examples:

        edgeface reproduce step reproduction comparison teacher-seed0-0123abcd
    """
    from edgeface.bench.reproduction.plan import read_plans
    from edgeface.cli.reproduce_step import finish_run
    from edgeface.errors import UsageError

    plans = [plan for plan in read_plans(out) if plan.table == table]
    if not plans:
        raise UsageError(f"{out}: plans no table {table!r}")
    if not finish_run(out, plans[0], plans[0].run(key), quiet):
        raise typer.Exit(130)


def _plan(table: str, rows: Sequence[Row], data: Path, out: Path, options: dict[str, Any]) -> Plan:
    from edgeface.bench.reproduction.plan import Settings, make_plan
    from edgeface.compress.calibration import SMALLEST
    from edgeface.data.layouts import load_dataset
    from edgeface.errors import DataError
    from edgeface.train.recipes import recipe_path

    path, name = recipe_path(options.pop("recipe"))
    overrides = tuple(options.pop("overrides") or ())
    dataset = load_dataset(data)
    dataset.of("val")
    images = len(dataset.of("train"))
    if options.get("quantize") and images < SMALLEST:
        raise DataError(f"{data}: {images} training images; int8 ranges need at least {SMALLEST}, add photos")
    return make_plan(Settings(table, path, name, overrides, **options), rows, dataset, out)


def _print_plan(plan: Plan, out: Path, runs: Sequence[PlannedRun], as_json: bool) -> None:
    from edgeface.bench.reproduction.plan import read_recipe
    from edgeface.bench.reproduction.remaining import hours
    from edgeface.bench.reproduction.score import is_complete
    from edgeface.bench.reproduction.state import state_of
    from edgeface.cli.reproduce_step import time_left

    left = time_left(out, plan, runs)
    rows = []
    for run in runs:
        state = state_of(out, plan, run)
        name = "trained" if state.name == "finished" and not is_complete(out, plan, run) else state.name
        epochs = read_recipe(out, run.key).epochs
        rows.append(
            {"key": run.key, "row": run.row, "seed": run.seed, "state": name, "epochs_done": state.epochs,
             "epochs": epochs, "seconds_left": left.get(run.key, 0.0), "differences": list(state.differences)}
        )  # fmt: skip
    total = sum(left.values())
    if as_json:
        print_json({"table": plan.table, "runs": rows, "seconds_left": total})
        return
    for row in rows:
        print(
            f"{row['key']:<36}{row['row']:<26}{row['state']:<10}{row['epochs_done']:>4}/{row['epochs']:<4}"
            f"{hours(row['seconds_left']):>8}"
        )
        for text in row["differences"]:
            print(f"    adopted: {text}")
    todo = sum(row["state"] != "finished" for row in rows)
    print(f"{todo} of {len(rows)} runs to do, about {hours(total)} one after another at the speed measured now")


def _reproduce(
    plan: Plan, runs: Sequence[PlannedRun], out: Path, jobs: int, devices: Sequence[str], as_json: bool, quiet: bool
) -> None:
    """Run what is left, measure speed unless `devices` is empty, and write the results whatever measuring does."""
    from edgeface.bench.reproduction import tables
    from edgeface.bench.reproduction.execute import execute
    from edgeface.bench.reproduction.score import is_complete
    from edgeface.bench.reproduction.state import state_of, write_plan
    from edgeface.errors import RunError
    from edgeface.files import locked
    from edgeface.signing import own_bundles

    def say(message: str) -> None:
        note(message, quiet=quiet)

    for run in runs:
        state_of(out, plan, run)
    with locked(out, "edgeface reproduce") as lock, own_bundles():
        write_plan(out, plan)
        todo = [run for run in runs if not is_complete(out, plan, run)]
        ended = execute(todo, _workshop(plan, out, jobs, lock, quiet), say)
        try:
            if devices and not ended.stopped and not ended.failed:
                _measure(plan, out, devices, say)
        finally:
            document = _write(out)
    if as_json:
        print_json(document)
    else:
        sys.stdout.write(tables.markdown(document))
    say(f"wrote {out / 'results.json'}, {out / 'results.md'}, {out / 'report.html'}")
    if ended.stopped:
        note("stopped; the same command goes on")
        raise typer.Exit(130)
    if ended.failed:
        failed = "; ".join(f"{key} ({why})" for key, why in ended.failed.items())
        raise RunError(f"{len(ended.failed)} runs failed: {failed}; the same command tries them again")


def _workshop(plan: Plan, out: Path, jobs: int, lock: IO[str] | None, quiet: bool) -> Workshop:
    """How the runs are started: each by `edgeface reproduce step`."""
    from edgeface.bench.reproduction.execute import Workshop
    from edgeface.bench.workers import module_command

    edgeface = module_command("edgeface.cli")
    begun: list[PlannedRun] = []

    def arguments(run: PlannedRun) -> list[str]:
        begun.append(run)
        return [*edgeface, "reproduce", "step", str(out), plan.table, run.key, *(["--quiet"] if quiet else [])]

    def ready(run: PlannedRun) -> bool:
        # Two students that begin at once would both store the outputs of their teacher; run.json comes after that.
        fellows = [other for other in begun if other.teacher and other.teacher == run.teacher]
        return all((out / "runs" / other.key / "run.json").is_file() for other in fellows)

    return Workshop(arguments, ready, out / "logs", jobs, lock)


def _measure(plan: Plan, out: Path, devices: Sequence[str], say: Any) -> None:
    """The speed of the bundles of each row's first seed."""
    from edgeface.bench.reproduction.plan import KINDS, bundle_name
    from edgeface.bench.reproduction.results import bench_file
    from edgeface.bench.reproduction.speed import measure_speed
    from edgeface.bench.workers import module_command

    firsts = [plan.run(row["runs"][0]) for row in plan.rows]
    bundles = [out / "bundles" / bundle_name(run, kind) for run in firsts for kind in KINDS]
    bundles = [bundle for bundle in bundles if (bundle / "bundle.json").is_file()]
    if bundles:
        say(f"measuring the speed of {len(bundles)} bundles")
        path = bench_file(out, plan.table)
        path.parent.mkdir(parents=True, exist_ok=True)
        measure_speed(module_command("edgeface.cli"), bundles, devices, path)


def _write(out: Path) -> dict[str, Any]:
    """results.json, results.md, figures/ and report.html from what is there now. Returns the document."""
    from edgeface.bench.reproduction import page, tables
    from edgeface.bench.reproduction.results import collect
    from edgeface.files import write_json, write_text

    document = collect(out)
    write_json(out / "results.json", document)
    write_text(out / "results.md", tables.markdown(document))
    page.write_figures(out, document)
    write_text(out / "report.html", page.render(out, document))
    return document


def register(parent: typer.Typer) -> None:
    """Add the group of commands."""
    parent.add_typer(app, name="reproduce")
