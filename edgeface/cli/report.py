"""`edgeface report`: one HTML page of a reproduction."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edgeface.cli.common import Json, Quiet, command, note, print_json


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command("report")(report)


@command
def report(
    folder: Annotated[Path, typer.Argument(help="The folder of 'edgeface reproduce'.", metavar="DIR")],
    out: Annotated[Path | None, typer.Option(help="The page; by default DIR/report.html.")] = None,
    with_photos: Annotated[
        bool, typer.Option("--with-photos", help="Show the confused photographs: a page not to be passed on.")
    ] = False,
    data: Annotated[Path | None, typer.Option(help="Where the photographs are, if they have moved.")] = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Write one self-contained page: tables, learning curves, t-SNE, confusions, accuracy against speed and size.

    It opens from disk without a network. Runs that are still at work show what they have done so far.

    Examples:

        edgeface report reproduction

        edgeface report reproduction --with-photos --out private.html
    """
    from edgeface.bench.reproduction import page
    from edgeface.bench.reproduction.photos import open_photos
    from edgeface.bench.reproduction.results import collect
    from edgeface.errors import UsageError
    from edgeface.files import write_text

    if data is not None and not with_photos:
        raise UsageError("--data says where the photographs are; give it with --with-photos")
    document = collect(folder)
    photos = open_photos(folder, data) if with_photos else None
    path = out or folder / "report.html"
    write_text(path, page.render(folder, document, photos))
    if as_json:
        print_json({"page": str(path), **document})
    else:
        note(f"wrote {path}", quiet=quiet)
