"""`edgeface sensitivity`: which layers mind being quantized or pruned."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edgeface.cli.common import Json, Quiet, command, note, print_json


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command("sensitivity")(sensitivity)


@command
def sensitivity(
    run: Annotated[Path, typer.Argument(help="A training run.", metavar="RUN")],
    data: Annotated[Path | None, typer.Option(help="Dataset; by default the one the run was trained on.")] = None,
    by: Annotated[str, typer.Option(help="A row for every block or for every layer: block or layer.")] = "block",
    images: Annotated[int, typer.Option(help="Validation images, 32 or more, spread over the people.")] = 256,
    shares: Annotated[str, typer.Option(help="Shares of channels to take away, commas between.")] = "0.25,0.5,0.75",
    out: Annotated[
        Path | None,
        typer.Option(help="Write the JSON here, the heat map beside it as PNG. Default: RUN/sensitivity.json"),
    ] = None,
    seed: Annotated[int, typer.Option(help="Chooses the images.", min=0, max=2**31 - 1)] = 0,
    strict: Annotated[bool, typer.Option("--strict", help="Refuse when one image cannot be used.")] = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Quantize or prune each layer or block alone, and show the change of accuracy and of the embeddings.

    int8 is simulated and pruned channels are zeroed, without training afterwards: the order of the rows is what
    counts. Channels that can only go together (a stage's residual width) are pruned with the first layer that has them.

    Examples:

        edgeface sensitivity runs/student-1.0

        edgeface sensitivity runs/student-1.0 --by layer --images 512 --out audit.json
    """
    from edgeface.errors import UsageError
    from edgeface.files import check_writable, write_json
    from edgeface.tensorflow_setup import quiet_tensorflow

    try:
        wanted = tuple(float(part) for part in shares.split(",") if part.strip())
    except ValueError:
        raise UsageError(f"--shares {shares}: give numbers between 0 and 1 with commas between") from None
    place = out or run / "sensitivity.json"
    if place.suffix.lower() == ".png" or place.is_dir():
        raise UsageError(f"--out {place}: name the JSON file; the heat map is written beside it as PNG")
    check_writable(place.parent)
    quiet_tensorflow()
    from edgeface.compress.heatmap import draw, table
    from edgeface.compress.sensitivity import Request, measure_sensitivity

    audit = measure_sensitivity(Request(run, data, by, images, wanted, seed, strict, quiet or as_json))
    write_json(place, audit)
    draw(audit, place.with_suffix(".png"))
    if as_json:
        print_json(audit)
        return
    print(f"{audit['run']}: top-1 {100 * audit['accuracy']:.2f} % of {audit['images']} images ({audit['data']})")
    print("change of accuracy in points (1st percentile of the embedding cosine), each unit alone:")
    print(table(audit))
    note(f"wrote {place} and {place.with_suffix('.png')}, {audit['seconds']:.0f} s", quiet=quiet)
