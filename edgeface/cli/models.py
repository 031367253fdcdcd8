"""`edgeface models` and `edgeface recipes`: what can be trained, and how."""

from __future__ import annotations

from typing import Annotated

import typer

from edgeface.cli.common import Json, Quiet, command, note, print_json


def register(app: typer.Typer) -> None:
    """Add the commands to the application."""
    app.command("models")(models)
    app.command("recipes")(recipes)


@command
def models(
    classes: Annotated[int, typer.Option(help="Number of identities.", min=2)] = 2360,
    size: Annotated[int, typer.Option(help="Side of the input, pixels.", min=32)] = 224,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """The networks with trainable parameters, multiply-adds and file sizes.

    Examples:

        edgeface models

        edgeface models --classes 51 --size 96 --json
    """
    from edgeface.tensorflow_setup import quiet_tensorflow

    quiet_tensorflow()
    from edgeface.models.inception_resnet import SMALLEST_SIZE
    from edgeface.models.summary import summaries

    rows = summaries(classes, size)
    if size < SMALLEST_SIZE:
        note(f"the teacher, inception_resnet_v1, needs {SMALLEST_SIZE} px or more and is left out", quiet=quiet)
    if as_json:
        print_json(rows)
        return
    print(f"{classes} identities, {size}x{size} px; sizes are those of the weights alone")
    print(f"{'network':<24}{'trainable':>12}{'million MACs':>14}{'fp32 MB':>10}{'int8 MB':>10}")
    for row in rows:
        print(
            f"{row['network']:<24}{row['trainable']:>12,}{row['macs'] / 1e6:>14,.1f}"
            f"{row['float32_bytes'] / 1e6:>10.2f}{row['int8_bytes'] / 1e6:>10.2f}"
        )


@command
def recipes(
    fields: Annotated[bool, typer.Option("--fields", help="Explain every field of a recipe.")] = False,
    show: Annotated[str | None, typer.Option(help="Print this recipe, ready to be copied and edited.")] = None,
    as_json: Json = False,
) -> None:
    """The shipped recipes; what every field of a recipe means.

    Examples:

        edgeface recipes

        edgeface recipes --fields

        edgeface recipes --show cpu > mine.toml
    """
    from edgeface.errors import UsageError
    from edgeface.recipe import explain
    from edgeface.train.recipes import recipe_path, shipped_recipes

    if as_json:
        if show or fields:
            raise UsageError("--json lists the recipes; leave out --show and --fields")
        print_json(shipped_recipes())
    elif show:
        print(recipe_path(show)[0].read_text(encoding="utf-8"), end="")
    elif fields:
        print(explain(), end="")
    else:
        for name, description in shipped_recipes().items():
            print(f"{name:<12}{description}")
