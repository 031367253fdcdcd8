"""`edgeface bench`: how fast, how big and how accurate bundles and runs are."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from edgeface.cli.common import Json, Quiet, command, note, print_json


@command
def bench(
    targets: Annotated[list[Path], typer.Argument(help="Bundles and runs (Keras).", metavar="BUNDLE_OR_RUN...")],
    device: Annotated[str, typer.Option(help="Where: cpu is this machine.")] = "cpu",
    threads: Annotated[int, typer.Option(min=1, help="CPU threads, each pinned to a core.")] = 1,
    data: Annotated[Path | None, typer.Option(help="Dataset to measure the accuracy on.")] = None,
    split: Annotated[str, typer.Option(help="Split of the dataset.")] = "val",
    runs: Annotated[int, typer.Option(min=1, help="Inferences a target.")] = 200,
    seconds: Annotated[float, typer.Option(help="Seconds a target.")] = 10.0,
    runtime: Annotated[str, typer.Option(help="litert, tflite, tf, or several with commas: one row each.")] = "",
    out: Annotated[Path | None, typer.Option(help="Write the result as JSON to this file.")] = None,
    markdown: Annotated[Path | None, typer.Option(help="Write the tables as Markdown to this file.")] = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Measure speed, size, memory and, with `--data`, accuracy.

    Each target runs in a process of its own, warmed up and pinned to its cores, until it has `--runs` inferences (and a
    second of them) or `--seconds`, whichever comes first, but never under 30 inferences. Several targets take turns in
    20 rounds, so that their ratios hold on a busy machine too; ratios are to the first, with a 95 % interval.

    Examples:

        edgeface bench bundles/door

        edgeface bench runs/teacher bundles/door bundles/door-fp32 --data photos --out result.json
    """
    from edgeface.bench import report
    from edgeface.bench.latency import Plan
    from edgeface.bench.runner import Settings, measure
    from edgeface.files import write_json, write_text

    runtimes = tuple(name.strip() for name in runtime.split(",") if name.strip())
    settings = Settings(device, threads, runtimes, data, split, Plan(runs, seconds))
    result = measure(targets, settings, None if quiet else _progress())
    if out is not None:
        write_json(out, result)
    if markdown is not None:
        write_text(markdown, report.markdown(result))
    if as_json:
        print_json(result)
    else:
        sys.stdout.write(report.text(result))
    for path in (out, markdown):
        if path is not None:
            note(f"wrote {path}", quiet=quiet)


def _progress() -> Callable[[str, int, int], None] | None:
    """A line with the part of the work, what is done and the time left, where a person is looking."""
    if not sys.stderr.isatty():
        return None
    starts: dict[str, float] = {}

    def show(what: str, done: int, total: int) -> None:
        passed = time.monotonic() - starts.setdefault(what, time.monotonic())
        left = f", {passed / (done - 1) * (total - done):.0f} s left" if done > 1 else ""
        end = "\r\033[K" if done == total else ""
        sys.stderr.write(f"\r{what}: {done} of {total}{left}\033[K{end}")
        sys.stderr.flush()

    return show


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(bench)
