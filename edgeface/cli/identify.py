"""`edgeface identify` and `edgeface verify`: from photos to names, or to yes and no."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edgeface.cli.common import Json, Quiet, command, note, print_json
from edgeface.cli.device_options import (
    Average,
    BundlePath,
    DetectorModel,
    DetectorName,
    Fmr,
    GalleryDetector,
    GalleryPath,
    KeyFile,
    Photos,
    Quality,
    Runtime,
    Threads,
    ThresholdOption,
    compared_with,
    detector_for,
    gallery_bundle,
    open_reader,
    photo_paths,
    threshold_in_force,
    told,
)
from edgeface.errors import FaceError, ImageError, UsageError

if TYPE_CHECKING:
    from edgeface.identification import Identified

UNKNOWN = "unknown"


@command
def identify(
    gallery: GalleryPath,
    photos: Photos,
    bundle: BundlePath = None,
    fmr: Fmr = 1e-3,
    threshold: ThresholdOption = None,
    every: Annotated[bool, typer.Option("--all", help="Every face of a photo, not only the largest.")] = False,
    top: Annotated[int, typer.Option(min=1, help="How many of the nearest people to show.")] = 1,
    average: Average = False,
    use_index: Annotated[bool, typer.Option("--index", help="Search by the index that `gallery index` made.")] = False,
    detector: GalleryDetector = None,
    detector_model: DetectorModel = None,
    quality: Quality = "low",
    key_file: KeyFile = None,
    strict: Annotated[bool, typer.Option("--strict", help="Stop at the first photo that cannot be used.")] = False,
    threads: Threads = 1,
    runtime: Runtime = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Name the people in photos, or say 'unknown' for whoever is not in the gallery.

    The threshold is the one that the bundle's calibration found for --fmr, the share of pairs of strangers that match.
    A stranger is compared with every template, so in a gallery of N templates about N times that share get a name.

    Examples:

        edgeface identify door.gallery photo.jpg

        edgeface identify door.gallery party/ --all --top 3 --fmr 1e-4 --json
    """
    from edgeface.approximate import load_index
    from edgeface.gallery import Gallery
    from edgeface.identification import identify_faces

    if use_index and average:
        raise UsageError("--index compares with single templates; leave --average or --index out")
    paths = photo_paths(photos)
    with Gallery(gallery, key_file) as opened:
        chosen = gallery_bundle(opened, bundle)
        detector = detector_for(opened, detector, detector_model)
        limit, line = threshold_in_force(chosen, fmr, threshold, detector, flip=opened.info.flip, average=average)
        reader = open_reader(chosen, detector, detector_model, quality, threads, runtime, opened.info.flip)
        note(told(line, compared_with(opened, average, detector, rated=threshold is None)), quiet=quiet)
        look = partial(
            identify_faces, reader, opened, threshold=limit, every=every, top=top, average=average,
            index=load_index(opened) if use_index else None,
        )  # fmt: skip
        results, bad = _identify_all(look, paths, every, strict, as_json, quiet)
    if as_json:
        print_json({"gallery": str(gallery), "threshold": limit, "threshold_source": line, "results": results})
    if bad == len(paths):
        raise FaceError(f"none of the {bad} photos could be used; see the reasons with --json or without --quiet")
    if bad:
        note(f"warning: {bad} of {len(paths)} photos could not be used")


def _identify_all(
    look: Callable[[Path], list[Identified]], paths: list[Path], every: bool, strict: bool, as_json: bool, quiet: bool
) -> tuple[list[dict[str, Any]], int]:
    """What `look` finds in each photo, printed as it comes, and how many photos could not be used."""
    results: list[dict[str, Any]] = []
    bad = 0
    for path in paths:
        try:
            faces = look(path)
            if not any(face.refused is None for face in faces):
                raise FaceError(f"{path}: {faces[0].refused if faces else 'no face found'}")
        except ImageError as error:
            if strict or len(paths) == 1:
                raise
            bad += 1
            note(f"warning: {error}", quiet=quiet)
            results.append({"image": str(path), "error": str(error), "faces": []})
            continue
        results.append({"image": str(path), "faces": [face.to_dict() for face in faces]})
        if not as_json:
            for face in faces:
                typer.echo(_line(path, face, every))
    return results, bad


def _line(path: Path, face: Identified, every: bool) -> str:
    """`photo.jpg: ann 0.8124, then bob 0.3102` with the box when a photo may show many."""
    where = f" at {'+'.join(f'{value:.0f}' for value in face.box[:2])}" if every else ""
    if face.refused is not None:
        return f"{path}{where}: refused, {face.refused}"
    nearest = [f"{match.name} {match.similarity:.4f}" for match in face.matches]
    if face.name is None:
        return f"{path}{where}: {UNKNOWN} (nearest: {', '.join(nearest)})"
    return f"{path}{where}: {nearest[0]}" + (f", then {', '.join(nearest[1:])}" if nearest[1:] else "")


@command
def verify(
    first: Annotated[Path, typer.Argument(help="A photo.", metavar="PHOTO")],
    second: Annotated[Path, typer.Argument(help="Another photo.", metavar="PHOTO")],
    bundle: Annotated[Path, typer.Option("--bundle", "-b", help="The bundle.")],
    fmr: Fmr = 1e-3,
    threshold: ThresholdOption = None,
    flip: Annotated[bool, typer.Option("--flip", help="Average each face with its mirror image.")] = False,
    detector: DetectorName = "cascade",
    detector_model: DetectorModel = None,
    quality: Quality = "low",
    threads: Threads = 1,
    runtime: Runtime = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Say whether two photos show one person (exit 0) or not (exit 1), by the largest face of each.

    Examples:

        edgeface verify passport.jpg door.jpg --bundle bundles/door

        edgeface verify a.jpg b.jpg --bundle bundles/door --fmr 1e-4 --json
    """
    from edgeface.errors import GateFailed

    reader = open_reader(bundle, detector, detector_model, quality, threads, runtime, flip)
    limit, line = threshold_in_force(reader.bundle, fmr, threshold, detector, flip=flip)
    note(line, quiet=quiet)
    similarity = reader.similarity(first, second)
    same = similarity >= limit
    if as_json:
        print_json({"same": same, "similarity": similarity, "threshold": limit, "threshold_source": line})
    else:
        typer.echo(f"{'same person' if same else 'different people'}: cosine {similarity:.4f}, threshold {limit:.4f}")
    if not same:
        raise typer.Exit(GateFailed.exit_code)


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(identify)
    app.command()(verify)
