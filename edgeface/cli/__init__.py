"""The command line. One function per command, each a few lines that call one room."""

from __future__ import annotations

import typer

from edgeface.cli import (
    bench,
    data,
    demo,
    detect,
    enroll,
    evaluate,
    gallery,
    identify,
    models,
    predict,
    quantize,
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
for module in (quantize, evaluate, bench, predict, detect, enroll, identify, gallery, watch, models, demo):
    module.register(app)


def main() -> None:
    """Entry point of the `edgeface` command."""
    app()
