"""`edgeface predict`: who is in these photos, from the TFLite file. Needs the base install only."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from edgeface.cli.common import Json, Quiet, command, note, print_json


@command
def predict(
    bundle: Annotated[Path, typer.Argument(help="The bundle: the folder that `edgeface quantize` wrote.")],
    images: Annotated[
        list[Path], typer.Argument(help="Photos of one aligned face each, or folders of them.", metavar="IMAGE...")
    ],
    top: Annotated[int, typer.Option(min=1, help="How many of the likeliest identities to show.")] = 5,
    threads: Annotated[int, typer.Option(min=1, help="CPU threads of one inference.")] = 1,
    runtime: Annotated[str | None, typer.Option(help="litert, tflite or tf; the first installed by default.")] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Stop at the first photo that cannot be read.")] = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Name the person in each photo, with the network's confidence.

    Runs the TFLite file as a device would. A photo that cannot be read is warned of and counted, unless it is the only
    one or `--strict` is given. The network knows only its own people: a stranger is given one of their names too.
    Photos must be cropped as those it was trained on; `edgeface detect` cuts faces out of others.

    Examples:

        edgeface predict bundles/door photo.jpg

        edgeface predict bundles/door photos/ --top 1 --json
    """
    from edgeface.cli.device_options import photo_paths
    from edgeface.embedder import Recognizer
    from edgeface.errors import ImageError

    images = photo_paths(images)
    recognizer = Recognizer(bundle, threads, runtime)
    results: list[dict[str, Any]] = []
    bad = 0
    for path in images:
        try:
            (prediction,) = recognizer.predict(path, top)
        except ImageError as error:
            if strict or len(images) == 1:
                raise
            bad += 1
            note(f"warning: {error}", quiet=quiet)
            results.append({"image": str(path), "error": str(error)})
            continue
        results.append(_result(path, prediction))
        if not as_json:
            typer.echo(_line(path, prediction))
    if as_json:
        print_json({"bundle": str(bundle), "runtime": recognizer.runtime, "bad_images": bad, "results": results})
    if bad == len(images):
        raise ImageError(f"none of the {bad} photos could be read; give JPEG or PNG photos of faces")
    if bad:
        note(f"warning: {bad} of {len(images)} photos could not be read and were left out")


def _result(path: Path, prediction: Any) -> dict[str, Any]:
    top = [{"identity": identity, "confidence": confidence} for identity, confidence in prediction.top]
    return {
        "image": str(path),
        "identity": prediction.identity,
        "confidence": prediction.confidence,
        "top": top,
    }


def _line(path: Path, prediction: Any) -> str:
    """`photo.jpg: ann 97.1 %, then bob 1.2 %, cid 0.4 %`"""
    first, *others = (f"{identity} {100 * confidence:.1f} %" for identity, confidence in prediction.top)
    return f"{path}: {first}" + (f", then {', '.join(others)}" if others else "")


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(predict)
