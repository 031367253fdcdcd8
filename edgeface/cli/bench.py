"""`edgeface bench`: how fast, how big and how accurate bundles and runs are, here and on devices that are not here."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from edgeface.cli.common import Json, Quiet, command, note, print_json
from edgeface.progress import progress_line

Device = Annotated[
    list[str] | None, typer.Option(help="cpu (default) is this machine, measured; others: `edgeface devices`.")
]
ResultFile = Annotated[Path | None, typer.Option("--from", help="Show this result again instead of measuring.")]
FailIf = Annotated[
    list[str] | None, typer.Option(help="Exit 1 when a row changed so: 'fps<0.95x' (new / old), 'accuracy<-0.5'.")
]

_MEASURING = ("targets", "device", "threads", "data", "split", "runs", "seconds", "batch", "runtime", "per_op")


@command
def bench(
    context: typer.Context,
    targets: Annotated[list[Path] | None, typer.Argument(help="Bundles and runs.", metavar="BUNDLE_OR_RUN...")] = None,
    device: Device = None,
    threads: Annotated[str, typer.Option(help="CPU threads, each pinned to a core; with commas: one row each.")] = "1",
    data: Annotated[Path | None, typer.Option(help="Dataset to measure the accuracy on.")] = None,
    split: Annotated[str | None, typer.Option(help="Split of the dataset; val by default.")] = None,
    runs: Annotated[int, typer.Option(min=1, help="Inferences a target.")] = 200,
    seconds: Annotated[float, typer.Option(help="Seconds a target.")] = 10.0,
    batch: Annotated[int, typer.Option(min=0, help="Images of the batch figure; 0: none.")] = 32,
    runtime: Annotated[str, typer.Option(help="litert, tflite, tf, or several with commas: one row each.")] = "",
    per_op: Annotated[bool, typer.Option("--per-op", help="Time by type of operator and by block.")] = False,
    result_file: ResultFile = None,
    compare: Annotated[Path | None, typer.Option(help="An older result, to compare with.")] = None,
    fail_if: FailIf = None,
    out: Annotated[Path | None, typer.Option(help="Write the result as JSON to this file.")] = None,
    markdown: Annotated[Path | None, typer.Option(help="Write the tables as Markdown to this file.")] = None,
    csv: Annotated[Path | None, typer.Option(help="Write the rows as CSV to this file.")] = None,
    html: Annotated[Path | None, typer.Option(help="Write charts and tables as one HTML page to this file.")] = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Measure speed, size, memory and, with `--data`, accuracy; estimate them for devices that are not here.

    On `cpu` each target runs in a process of its own, warmed up and pinned to its cores, until it has `--runs`
    inferences (and two seconds of them) or `--seconds`, whichever comes first. Several targets take turns in 40 rounds,
    in new processes after every fifth, so that their ratios hold on a busy machine too; ratios are to the first, with
    a 99 % interval. Estimates carry their kind and error band.

    Examples:

        edgeface bench bundles/door

        edgeface bench bundles/door --device cpu --device rpi4 --device rpi5 --html door.html

        edgeface bench runs/teacher bundles/door bundles/door-fp32 --data photos --out result.json

        edgeface bench bundles/door --data photos --compare old.json --fail-if 'fps<0.95x' --fail-if 'accuracy<-0.5'
    """
    from edgeface.bench import compare as comparing
    from edgeface.bench import document

    conditions = _conditions(fail_if, compare)
    _check_files(out, markdown, csv, html)
    old = None if compare is None else document.read(compare)
    if result_file is not None:
        _refuse_measuring(context)
        result = document.read(result_file)
    else:
        options = (_devices(device), _numbers(threads), runtime, data, split, runs, seconds, batch, per_op)
        result = _measure(targets or [], options, quiet=quiet)
    found = None
    try:
        found = None if old is None else comparing.compare(old, result, conditions)
    finally:  # what was measured is not lost to a comparison that cannot be made
        _show(result, found, as_json=as_json)
        _write(result, out, markdown, csv, html, quiet=quiet)
    _check_gate(found, compare)


def _conditions(fail_if: list[str] | None, compare: Path | None) -> list[Any]:
    """What --fail-if asks for. Raises UsageError without an old result to compare with."""
    from edgeface.bench.compare import parse_conditions
    from edgeface.errors import UsageError

    conditions = parse_conditions(fail_if or [])
    if conditions and compare is None:
        raise UsageError("--fail-if needs --compare OLD.json")
    return conditions


def _check_gate(found: Any, compare: Path | None) -> None:
    """Raise GateFailed, naming the rows, when a condition of --fail-if failed."""
    from edgeface.errors import GateFailed

    if found is not None and found.failed:
        raise GateFailed(f"worse than {compare}: {', '.join(f'{row.row} ({text.text})' for text, row in found.failed)}")


def _check_files(*places: Path | None) -> None:
    """Raise UsageError for a file to write that is a folder, StorageError where none can be written, before minutes are
    spent on what goes into it."""
    from edgeface.errors import UsageError
    from edgeface.files import check_writable

    for place in places:
        if place is not None and place.is_dir():
            raise UsageError(f"{place}: is a folder; give the name of a file to write")
        if place is not None:
            check_writable(place.parent)


def _refuse_measuring(context: typer.Context) -> None:
    """Raise UsageError for what is asked of a measurement beside --from, where nothing is measured."""
    from edgeface.errors import UsageError

    given = []
    for name in _MEASURING:
        source = context.get_parameter_source(name)
        if source is not None and source.name != "DEFAULT":
            given.append("bundles" if name == "targets" else f"--{name.replace('_', '-')}")
    if given:
        raise UsageError(f"--from shows a result again and measures nothing; give it without {', '.join(given)}")


def _measure(targets: list[Path], options: tuple[Any, ...], *, quiet: bool) -> dict[str, Any]:
    from edgeface.bench.latency import Plan
    from edgeface.bench.runner import measure
    from edgeface.bench.settings import Settings
    from edgeface.errors import UsageError

    devices, threads, runtime, data, split, runs, seconds, batch, per_op = options
    runtimes = tuple(name.strip() for name in runtime.split(",") if name.strip())
    if split is not None and data is None:
        raise UsageError("--split is of --data FOLDER; give both, or leave it out")
    settings = Settings(devices, threads, runtimes, data, split or "val", batch, per_op, Plan(runs, seconds))
    return measure(targets, settings, progress_line(quiet))


def _write(
    result: dict[str, Any], out: Path | None, markdown: Path | None, csv: Path | None, html: Path | None, *, quiet: bool
) -> None:
    """Write the views that were asked for."""
    from edgeface.bench import page, report
    from edgeface.files import write_json, write_text

    if out is not None:
        write_json(out, result)
    for path, view in ((markdown, report.markdown), (csv, report.csv_text), (html, page.html)):
        if path is not None:
            write_text(path, view(result))
    for path in (out, markdown, csv, html):
        if path is not None:
            note(f"wrote {path}", quiet=quiet)


def _show(result: dict[str, Any], found: Any, *, as_json: bool) -> None:
    from edgeface.bench import compare as comparing
    from edgeface.bench import report

    if as_json:
        print_json(result if found is None else {**result, "comparison": comparing.to_dict(found)})
    else:
        sys.stdout.write(report.text(result))
        if found is not None:
            sys.stdout.write("\nCompared with the old result\n" + comparing.text(found))


def _devices(names: list[str] | None) -> tuple[str, ...]:
    """Devices in the order given; commas are allowed as well."""
    return tuple(part.strip() for name in names or ["cpu"] for part in name.split(",") if part.strip())


def _numbers(text: str) -> tuple[int, ...]:
    from edgeface.errors import UsageError

    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise UsageError(f"--threads {text!r}: give numbers, for instance 1 or 1,2,4") from None


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(bench)
