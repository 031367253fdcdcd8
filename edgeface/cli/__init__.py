"""The command line. One function per command, each a few lines that call one room."""

from __future__ import annotations

import io
import sys
from typing import Annotated

import typer

from edgeface.cli import (
    bench,
    calibrate,
    compress,
    data,
    demo,
    detect,
    devices,
    doctor,
    enroll,
    evaluate,
    gallery,
    identify,
    inspect,
    models,
    predict,
    prune,
    quantize,
    report,
    reproduce,
    sensitivity,
    sign,
    train,
    watch,
)

PARTS = {
    "Faces and training": (data, train, models, demo),
    "Compression": (quantize, prune, compress, sensitivity, inspect),
    "Measurement": (evaluate, bench, devices, report, reproduce),
    "On the device": (predict, detect, enroll, identify, gallery, watch, calibrate, sign, doctor),
}

app = typer.Typer(
    name="edgeface",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
)


def _version(asked: bool) -> None:
    if asked:
        from edgeface import __version__

        typer.echo(f"edgeface {__version__}")
        raise typer.Exit


@app.callback()
def edgeface(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Train a face recogniser on your own people, compress it, and run it on phones and boards."""


for title, modules in PARTS.items():
    for module in modules:
        part = typer.Typer()  # One each, for Typer lists a Typer's groups after all of its commands.
        module.register(part)
        for entry in part.registered_commands:
            entry.rich_help_panel = title
        for group in part.registered_groups:
            group.rich_help_panel = title
        app.add_typer(part)


def main() -> None:
    """Entry point of the `edgeface` command."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a name that the terminal's charset lacks is no reason to stop
            stream.reconfigure(errors="backslashreplace")
    app()
