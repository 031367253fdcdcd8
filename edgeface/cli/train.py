"""`edgeface train teacher|student`."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated, Any

import typer

from edgeface.cli.common import Json, Quiet, command, command_group, note, print_json
from edgeface.errors import UsageError

app = command_group(
    "Train the teacher or a student. Ctrl-C once saves; --resume goes on to the same result.",
    "edgeface train teacher faces",
    "edgeface train student faces --width 1.0 --teacher runs/teacher",
)

Data = Annotated[Path, typer.Argument(help="The dataset's folder; 'edgeface data check' says whether it will do.")]
Out = Annotated[Path | None, typer.Option(help="The run's folder. Default: runs/teacher or runs/student-WIDTH.")]
RecipeFile = Annotated[
    str | None,
    typer.Option(
        "--recipe",
        help="A shipped recipe (cpu, longer, demo, reference) or a TOML file; see 'edgeface recipes'. Default: cpu.",
    ),
]
Set = Annotated[
    list[str] | None, typer.Option("--set", help="Override a field: --set stage1.epochs=20. May be given many times.")
]
Seed = Annotated[
    int | None,
    typer.Option(
        help="Seed of weights, order, dropout and, but for cached teacher views, augmentation. Default: 0.",
        min=0,
        max=2**31 - 1,
    ),
]
Resume = Annotated[
    bool, typer.Option("--resume", help="Go on where the run in --out was stopped, with all that it began with.")
]
Init = Annotated[
    Path | None,
    typer.Option(
        help="Begin with the weights of this run, or a student's bundle (same network, same people); with 0 epochs in "
        "all stages they become a run as they are."
    ),
]
Precision = Annotated[str | None, typer.Option(help="float32 or bf16; overrides the recipe.")]
Strategy = Annotated[
    str | None, typer.Option(help="auto (the default), mirrored (all local GPUs) or multiworker (TF_CONFIG).")
]
Strict = Annotated[bool, typer.Option("--strict", help="Refuse the dataset when one image of it cannot be used.")]


@app.command()
@command
def teacher(
    data: Data,
    out: Out = None,
    recipe: RecipeFile = None,
    overrides: Set = None,
    seed: Seed = None,
    resume: Resume = False,
    init: Init = None,
    precision: Precision = None,
    strategy: Strategy = None,
    strict: Strict = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Train the Inception-ResNet v1 teacher.

    Examples:

        edgeface train teacher photos/

        edgeface train teacher photos/ --recipe cpu --set stage1.epochs=30 --out runs/big

        edgeface train teacher photos/ --out runs/big --resume
    """
    options = {"recipe": recipe, "overrides": overrides, "precision": precision}
    request: dict[str, Any] = {"seed": seed, "resume": resume, "strategy": strategy, "strict": strict, "quiet": quiet}
    _train("teacher", data, _place(out, init, "teacher"), init, options, request, as_json)


@app.command()
@command
def student(
    data: Data,
    network: Annotated[
        str | None,
        typer.Option(help="squeezenext_23v5, mobilefacenet or mobilefacenet_prelu. Default: squeezenext_23v5."),
    ] = None,
    width: Annotated[
        float | None, typer.Option(help="Width of SqueezeNext-23v5, 0.125 to 8; published: 1.0, 2.0. Default: 1.0.")
    ] = None,
    teacher: Annotated[
        Path | None, typer.Option(help="A trained teacher's run; the student learns from it too.")
    ] = None,
    out: Out = None,
    recipe: RecipeFile = None,
    overrides: Set = None,
    seed: Seed = None,
    resume: Resume = False,
    init: Init = None,
    precision: Precision = None,
    strategy: Strategy = None,
    strict: Strict = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Train a student, SqueezeNext-23v5 or MobileFaceNet, by itself or taught by a teacher.

    What the teacher says of augmented views of the photos is stored in its run (`views/`, about 4 KB a photo and view)
    and shared by all students; it may be removed, and is made again when it is needed.

    Examples:

        edgeface train student photos/ --width 1.0 --teacher runs/teacher

        edgeface train student photos/ --width 2.0 --out runs/plain-2.0

        edgeface train student photos/ --network mobilefacenet --set size=112

        edgeface train student photos/ --teacher runs/teacher --set distillation.views=0

        edgeface train student photos/ --init runs/student-1.0 --teacher runs/teacher --recipe longer --out runs/more

        edgeface train student photos/ --init phone-int8 --out runs/more
    """
    if recipe == "longer" and teacher is None and not resume:
        note("warning: the recipe longer is made for a teacher; give one with --teacher")
    if init and (width is not None or network is not None):
        raise UsageError("--init: the network is that of the run or bundle; leave out --width and --network")
    name = f"student-{float(width or 1)}" if network in (None, "squeezenext_23v5") else network
    options = {"recipe": recipe, "overrides": overrides, "precision": precision}
    request: dict[str, Any] = {"seed": seed, "resume": resume, "strategy": strategy, "strict": strict, "quiet": quiet}
    request |= {"network": network, "width": width, "teacher": teacher}
    _train("student", data, _place(out, init, name), init, options, request, as_json)


@app.command()
@command
def speed(
    data: Data,
    width: Annotated[float | None, typer.Option(help="Width of the student; left out, the teacher network.")] = None,
    teacher: Annotated[Path | None, typer.Option(help="Compare a live teacher with cached outputs, too.")] = None,
    recipe: RecipeFile = None,
    overrides: Set = None,
    steps: Annotated[int, typer.Option(help="Steps a round.", min=1)] = 30,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """How many images a second a training step takes here: bare, with the input pipeline, with a teacher.

    Examples:

        edgeface train speed photos/ --width 1.0

        edgeface train speed photos/ --width 1.0 --teacher runs/teacher --json
    """
    from edgeface.recipe import load_recipe
    from edgeface.tensorflow_setup import quiet_tensorflow
    from edgeface.train.recipes import recipe_path

    chosen = load_recipe(recipe_path(recipe or "cpu")[0], "teacher" if width is None else "student", overrides)
    quiet_tensorflow()
    from edgeface.train.speed import measure_speed

    result = measure_speed(data, chosen, width, teacher, steps=steps)
    if as_json:
        print_json(result)
        return
    for name, rate in result["images_per_second"].items():
        print(f"{name:<16}{rate:8.1f} images/s")
    if quiet:
        return
    print(f"the pipeline keeps {100 * result['pipeline_share']:.1f} % of the bare step's images/s")
    if "cached_over_live" in result:
        print(f"cached teacher outputs make a step {result['cached_over_live']:.2f} times as fast as a live teacher")


def _warn_of_unfit(network: str, size: int) -> None:
    """Name the first layer of a student that cannot be trained for int8 later on, before time goes into training it.

    Blocks repeat their kinds of layers, so a network of one block shows them all, in a tenth of the time.
    """
    import tf_keras

    from edgeface.compress.preflight import unfit_layers
    from edgeface.models import build_network
    from edgeface.train.session import STUDENTS

    if network not in STUDENTS:  # training refuses it
        return
    one_block = {"blocks": (1, 0, 0, 0)} if network == STUDENTS[0] else {"bottlenecks": ((2, 64, 1, 2),)}
    for unfit in unfit_layers(build_network(network, {"classes": 2, "size": size, **one_block}))[:1]:
        note(f"warning: {unfit}")
    tf_keras.backend.clear_session()


def _place(out: Path | None, init: Path | None, name: str) -> Path:
    """The run's folder. A run that begins with another's weights is not called as that one by default."""
    if out is None and init is not None:
        raise UsageError("--init: say with --out where the new run goes")
    return out or Path("runs") / name


def _fields(given: dict[str, Any], begun: dict[str, Any]) -> dict[str, Any]:
    """Fields of a training request: what is given now, else what the run began with, else the default."""
    if given.get("network") not in (None, begun.get("network")):
        begun = {name: value for name, value in begun.items() if name != "width"}  # it is that of the other network
    return {
        "seed": 0,
        "strategy": "auto",
        **begun,
        **{name: value for name, value in given.items() if value is not None},
    }


def _train(
    role: str, data: Path, out: Path, init: Path | None, options: dict[str, Any], request: dict[str, Any], as_json: bool
) -> None:
    from edgeface.recipe import load_recipe
    from edgeface.tensorflow_setup import quiet_tensorflow
    from edgeface.train.recipes import read_resumed, recipe_path

    if init and request["resume"]:
        raise UsageError("--resume goes on with all that the run began with; leave out --init")
    sets = list(options["overrides"] or [])
    if options["precision"]:
        sets.append(f"precision={options['precision']}")
    if request["resume"]:
        recipe, name = read_resumed(out, role, sets, options["recipe"])
    else:
        path, name = recipe_path(options["recipe"] or "cpu")
        recipe = load_recipe(path, role, sets, trains=init is None)
    quiet_tensorflow()
    from edgeface.train.resuming import begun_with
    from edgeface.train.session import STUDENTS, Request, train
    from edgeface.train.warm_start import warm_start

    request = _fields(request, begun_with(out, role) if request["resume"] else {})
    if init:
        request["start"] = warm_start(init, data, teacher=role == "teacher")
    elif role == "student":
        request.setdefault("network", STUDENTS[0])
    # With several workers, nothing may be built before they have found each other.
    if role == "student" and request["strategy"] != "multiworker":
        _warn_of_unfit(request["start"].network if init else request["network"], recipe.size)
    outcome = train(Request(data=data, out=out, recipe=recipe, recipe_name=name, **request))
    if as_json:
        print_json({"run": str(outcome.run), "stopped": outcome.stopped, **outcome.figures})
    elif outcome.stopped:
        note(f"stopped; go on with: edgeface train {role} {shlex.join([str(data), '--out', str(out)])} --resume")
    elif outcome.figures:  # a worker that is not the chief has none of its own
        accuracy, images = outcome.figures["val_accuracy"], outcome.figures["validation_images"]
        print(f"{outcome.run}: {100 * accuracy:.2f} % top-1 on {images} validation images")
    if outcome.stopped:
        raise typer.Exit(130)


def register(parent: typer.Typer) -> None:
    """Add the group of commands."""
    parent.add_typer(app, name="train")
