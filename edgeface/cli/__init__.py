"""The command line. One function per command, each a few lines that call one room."""

from __future__ import annotations

import io
import sys

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

app = typer.Typer(
    name="edgeface",
    help="Train a face recogniser on your own people, compress it, and run it on phones and boards.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
)
app.add_typer(data.app, name="data")
app.add_typer(train.app, name="train")
app.add_typer(reproduce.app, name="reproduce")
for module in (
    *(prune, quantize, compress, sensitivity, inspect),
    *(evaluate, bench, devices, report, models),
    *(predict, detect, enroll, identify, gallery, watch),
    *(calibrate, sign, doctor, demo),
):
    module.register(app)


def main() -> None:
    """Entry point of the `edgeface` command."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a name that the terminal's charset lacks is no reason to stop
            stream.reconfigure(errors="backslashreplace")
    app()
