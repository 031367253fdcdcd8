"""`edgeface compress`: the smallest loss that fits a budget of size, speed and accuracy."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from edgeface.cli.common import Json, LastEpochs, Quiet, Seed, command, note, print_json

Teacher = Annotated[Path | None, typer.Option(help="Run of the teacher; it teaches every try.", metavar="RUN")]

CompressStem = Annotated[
    str | None,
    typer.Option(
        "--stem",
        help="As of quantize: rows, pairs or plain. Default: plain for a microcontroller, else quantize's.",
    ),
]


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command("compress")(compress)


@command
def compress(
    run: Annotated[Path, typer.Argument(help="A student's run.", metavar="RUN")],
    budget: Annotated[str, typer.Option(help="Limits on size, drop, accuracy, macs, fps; commas between.")],
    teacher: Teacher = None,
    data: Annotated[Path | None, typer.Option(help="Dataset; by default the one the run was trained on.")] = None,
    out: Annotated[Path | None, typer.Option(help="The bundle; by default bundles/RUN-compressed.")] = None,
    work: Annotated[Path | None, typer.Option(help="Folder of the tries; by default RUN-compress beside RUN.")] = None,
    device: Annotated[str, typer.Option(help="Where fps counts; cpu is this machine. See 'edgeface bench'.")] = "cpu",
    keep: Annotated[str, typer.Option(help="Shares of the MACs to try, falling from 1.")] = "1,0.8,0.6,0.4,0.25",
    modes: Annotated[str, typer.Option(help="int8, or int8,qat.")] = "int8,qat",
    rounds: Annotated[int, typer.Option(help="Rounds of pruning and fine-tuning.")] = 4,
    epochs: Annotated[int, typer.Option(help="Epochs of fine-tuning in a round.")] = 6,
    last_epochs: LastEpochs = None,
    qat_epochs: Annotated[int | None, typer.Option(help="Epochs of training for int8. Default: 5.")] = None,
    stem: CompressStem = None,
    align: Annotated[int, typer.Option(help="Widths that shrink do so to multiples of this.", min=1)] = 8,
    everything: Annotated[bool, typer.Option("--all", help="Go on after the first fit, for the whole front.")] = False,
    about: Annotated[str, typer.Option("--note", help="Text for the model card, such as limits of the data.")] = "",
    seed: Seed = 0,
    threads: Annotated[int, typer.Option(help="Threads that fps is measured with.", min=1)] = 1,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Prune and quantize until a budget is met, measuring every try; write the best bundle that fits.

    Limits: size<=600KB (the .tflite file), drop<=1.0 (points of accuracy lost to RUN), accuracy>=85, macs<=40M,
    fps>=30, fps>=1.5x (times RUN's own int8 model). Size and speed are estimated before anything is trained, and what
    breaks them by more than 5 % is not trained; every finished try is measured and judged exactly. Stopped, it goes
    on when it is started again (a training for int8 from its beginning). Exit 1 when nothing fits.

    Examples:

        edgeface compress runs/student-1.0 --teacher runs/teacher --budget "size<=600KB, drop<=1.0, fps>=1.5x"

        edgeface compress runs/student-1.0 --teacher runs/teacher --budget "drop<=0, fps>=1.3x" --last-epochs 60

        edgeface compress runs/student-1.0 --budget "drop<=2" --keep 1,0.5 --all --json
    """
    from edgeface.cli.measuring import fps_on, stem_for
    from edgeface.compress.budget import parse_budget
    from edgeface.signing import own_bundles
    from edgeface.tensorflow_setup import quiet_tensorflow

    limits, keeps, tried = parse_budget(budget), _shares(keep), _modes(modes, qat_epochs)
    fps, stem = fps_on(device, threads, needed=limits.needs_fps), stem or stem_for(device)
    quiet_tensorflow()
    from edgeface.compress.qat import Plan
    from edgeface.compress.search import Request, check_fits, search

    request = Request(
        run, limits, out or Path("bundles") / f"{run.resolve().name}-compressed",
        work or run.resolve().parent / f"{run.resolve().name}-compress", fps,
        teacher=teacher, data=data, keeps=keeps, modes=tried, epochs=epochs, rounds=rounds, last_epochs=last_epochs,
        plan=Plan() if qat_epochs is None else Plan(epochs=qat_epochs), align=align, everything=everything, seed=seed,
        fps_threads=threads, note=about, device=device, stem=stem, quiet=quiet or as_json,
    )  # fmt: skip
    with own_bundles():
        result = search(request)
    print_json(result) if as_json else _print(result, request.work, quiet)
    check_fits(result, limits, request.out)


def _modes(modes: str, qat_epochs: int | None) -> tuple[str, ...]:
    """The modes to try. Refuses epochs of one that is not among them."""
    from edgeface.errors import UsageError

    tried = tuple(part.strip() for part in modes.split(","))
    if qat_epochs is not None and "qat" not in tried:
        raise UsageError(f"--qat-epochs is for mode qat, which --modes {modes} leaves out")
    return tried


def _shares(keep: str) -> tuple[float, ...]:
    from edgeface.errors import UsageError

    try:
        return tuple(float(part) for part in keep.split(",") if part.strip())
    except ValueError:
        raise UsageError(f"--keep {keep}: give shares of the MACs with commas between, such as 1,0.6") from None


def _print(result: dict[str, Any], work: Path, quiet: bool) -> None:
    from edgeface.compress.pareto import table

    print(f"{result['run']}, budget {', '.join(result['budget'])} ({result['device']}); * is on the Pareto front")
    print(table(result["tries"]))
    if result["chosen"]:
        print(f"{result['bundle']}: {result['chosen']}")
    note(f"tries, search.json and front.png are in {work}", quiet=quiet)
