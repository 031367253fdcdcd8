"""`edgeface prune`: a trained student with fewer channels, or with sparse weights."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edgeface.cli.common import Json, LastEpochs, Quiet, Seed, command, note, print_json

if TYPE_CHECKING:
    from edgeface.compress.goal import Goal, MeasureFps
    from edgeface.compress.prune import Outcome, Request
    from edgeface.compress.sparse import Sparsity
    from edgeface.recipe import Recipe

Set = Annotated[list[str] | None, typer.Option("--set", help="Override a field: --set stage1.epochs=10.")]


Importance = Annotated[
    str | None, typer.Option(help="taylor (the default), bn or magnitude: what tells which channels go.")
]
Align = Annotated[
    int | None, typer.Option(help="Widths that shrink do so to multiples of this; 1 is any. Default: 8.", min=1)
]


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command("prune")(prune)


@command
def prune(
    run: Annotated[Path, typer.Argument(help="A student's run.", metavar="RUN")],
    keep_macs: Annotated[float | None, typer.Option(help="Keep this share of the multiply-adds, such as 0.6.")] = None,
    keep_params: Annotated[float | None, typer.Option(help="Keep this share of the parameters.")] = None,
    speedup: Annotated[float | None, typer.Option(help="Be this many times as fast in int8, measured.")] = None,
    unstructured: Annotated[float | None, typer.Option(help="Make this share of the weights zero.")] = None,
    pattern: Annotated[str | None, typer.Option(help="Keep n of m neighbouring weights: 2:4.")] = None,
    teacher: Annotated[Path | None, typer.Option(help="Run of the teacher, for fine-tuning.", metavar="RUN")] = None,
    data: Annotated[Path | None, typer.Option(help="Dataset; by default the one the run was trained on.")] = None,
    out: Annotated[Path | None, typer.Option(help="New run; by default RUN-pruned or RUN-sparse beside RUN.")] = None,
    importance: Importance = None,
    rounds: Annotated[
        int | None, typer.Option(help="Rounds of pruning, each with fine-tuning. Default: 4; --pattern takes 1.", min=1)
    ] = None,
    last_epochs: LastEpochs = None,
    align: Align = None,
    recipe: Annotated[str, typer.Option(help="Recipe of one round: shipped, or a TOML file.")] = "prune",
    overrides: Set = None,
    device: Annotated[str, typer.Option(help="Where --speedup counts; cpu is this machine.")] = "cpu",
    threads: Annotated[
        int | None, typer.Option(help="Threads that --speedup is measured with. Default: 1.", min=1)
    ] = None,
    seed: Seed = 0,
    strict: Annotated[bool, typer.Option("--strict", help="Refuse when one image cannot be used.")] = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Remove the channels that a student needs least, in rounds with fine-tuning between them.

    The result is an ordinary, smaller run for every other command. Ctrl-C once saves; the same command goes on.
    --unstructured and --pattern make single weights zero instead: smaller downloads, but no more speed.

    Examples:

        edgeface prune runs/student-1.0 --keep-macs 0.6 --teacher runs/teacher --last-epochs 60

        edgeface prune runs/student-1.0 --speedup 1.5 --teacher runs/teacher --out runs/fast

        edgeface prune runs/student-1.0 --pattern 2:4 --set stage1.epochs=10
    """
    _check_used({"--importance": importance, "--align": align}, unstructured is not None or pattern is not None)
    chosen = _chosen(run, recipe, overrides, last_epochs)
    fps = _fps(device, threads, speedup)
    from edgeface.tensorflow_setup import quiet_tensorflow

    quiet_tensorflow()
    from edgeface.cli.measuring import stem_for
    from edgeface.compress.importance import IMPORTANCE
    from edgeface.compress.prune import Request
    from edgeface.compress.prune import prune as shrink

    goal, sparsity = _goal(keep_macs, keep_params, speedup), _sparsity(unstructured, pattern)
    place = out or run.resolve().parent / f"{run.resolve().name}-{'sparse' if sparsity else 'pruned'}"
    request = Request(
        run, place, chosen[0], chosen[1], goal=goal, sparsity=sparsity, data=data, teacher=teacher,
        importance=importance or IMPORTANCE, rounds=_rounds(rounds, pattern), last_recipe=chosen[2],
        align=align or 8, seed=seed, fps=fps, device=device, threads=threads or 1,
        stem=stem_for(device), strict=strict, quiet=quiet or as_json,
    )  # fmt: skip
    _report(request, shrink(request), as_json)


def _chosen(
    run: Path, recipe: str, overrides: list[str] | None, last_epochs: int | None
) -> tuple[Recipe, str, Recipe | None]:
    """The recipe of a round, which leaves to the run's own what it does not say; its name; that of the last round, if
    it is another."""
    from edgeface.compress.last_round import last_round_recipe
    from edgeface.recipe import load_recipe
    from edgeface.run import open_run
    from edgeface.train.recipes import recipe_path

    base = load_recipe(open_run(run).recipe, "student", trains=False)
    path, name = recipe_path(recipe)
    last = None if last_epochs is None else last_round_recipe(path, last_epochs, overrides, base)
    return load_recipe(path, "student", overrides, base), name, last


def _check_used(of_channels: dict[str, object], single_weights: bool) -> None:
    """Refuse options of channels where single weights are pruned."""
    from edgeface.errors import UsageError

    for option, value in of_channels.items():
        if single_weights and value is not None:
            raise UsageError(
                f"{option} is of channels; --unstructured and --pattern prune single weights: leave it out"
            )


def _rounds(rounds: int | None, pattern: str | None) -> int:
    from edgeface.errors import UsageError

    if pattern is not None and rounds not in (None, 1):
        raise UsageError(f"--rounds {rounds}: --pattern comes at once, in one round; leave it out")
    return rounds or 4


def _fps(device: str, threads: int | None, speedup: float | None) -> MeasureFps:
    """What measures `--speedup`; refuses a device and threads that nothing would be measured with."""
    from edgeface.cli.measuring import fps_on
    from edgeface.errors import UsageError

    given = {"--device": device if device != "cpu" else None, "--threads": threads}
    for option, value in given.items():
        if value is not None and speedup is None:
            raise UsageError(f"{option} {value}: is of what --speedup measures; give --speedup, or leave it out")
    return fps_on(device, threads or 1)


def _goal(keep_macs: float | None, keep_params: float | None, speedup: float | None) -> Goal | None:
    from edgeface.compress.goal import Goal
    from edgeface.errors import UsageError

    given = {"macs": keep_macs, "params": keep_params, "speed": speedup}
    goals = [Goal(unit, value) for unit, value in given.items() if value is not None]
    if len(goals) > 1:
        raise UsageError("give one of --keep-macs, --keep-params and --speedup")
    return goals[0] if goals else None


def _sparsity(unstructured: float | None, pattern: str | None) -> Sparsity | None:
    from edgeface.compress.sparse import Sparsity, parse_pattern
    from edgeface.errors import UsageError

    if unstructured is not None and pattern is not None:
        raise UsageError("give --unstructured or --pattern, not both")
    if unstructured is None and pattern is None:
        return None
    return Sparsity(unstructured, None if pattern is None else parse_pattern(pattern))


def _report(request: Request, outcome: Outcome, as_json: bool) -> None:
    """Show what came of it; of single weights also what the download saves."""
    from edgeface.compress.prune import download_report

    if outcome.stopped:
        note("stopped; the same command goes on")
        raise typer.Exit(130)
    figures = {**outcome.figures, **(download_report(request, outcome) if request.sparsity else {})}
    if as_json:
        print_json({"run": str(outcome.run), **figures})
    else:
        _print(outcome.run, figures, request.device)


def _print(run: Path, figures: dict[str, Any], device: str) -> None:
    before, after = figures["before"], figures["after"]
    accuracies = f"{100 * after['accuracy']:.2f} % top-1, before {100 * before['accuracy']:.2f} %"
    print(f"{run}: {accuracies}, on the same {figures['images']} validation images")
    for name, unit in (("macs", "MACs"), ("parameters", "parameters")):
        share = 100 * after[name] / before[name]
        print(f"  {unit:<11}{after[name] / 1e6:9.3f} million of {before[name] / 1e6:.3f} ({share:.1f} %)")
    if figures["speedup"] is not None:
        how = "measured here" if device == "cpu" else f"estimated for {device}"
        print(f"  speed      {figures['speedup']:9.2f} times, int8, {how} before the last round's fine-tuning")
    if "layers" in figures:
        for row in figures["layers"]:
            print(f"  {row['layer']:<32}{row['weights']:>10,} weights {100 * row['sparsity']:6.1f} % zero")
        old, new = figures["gzip_bytes"]
        print(f"  gzip of the int8 file: {old / 1e6:.3f} MB before, {new / 1e6:.3f} MB after")
        print(f"  {figures['no_faster']}")
