"""`edgeface enroll`: put a person into a gallery."""

from __future__ import annotations

import contextlib
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edgeface.cli.common import Json, Quiet, command, note, print_json
from edgeface.cli.device_options import (
    BundlePath,
    DetectorModel,
    GalleryDetector,
    GalleryPath,
    NewKeyFile,
    Photos,
    Quality,
    Runtime,
    Threads,
    detector_for,
    gallery_bundle,
    make_missing_key,
    note_repeats,
    open_reader,
    photo_paths,
)
from edgeface.errors import FaceError, GalleryError, ImageError, UsageError

if TYPE_CHECKING:
    import numpy as np

    from edgeface.bundle import Bundle
    from edgeface.face_reader import FaceReader
    from edgeface.gallery import Gallery, Match

WARN_FMR = 1e-3
KeepPhotos = Annotated[bool, typer.Option("--keep-photos", help="New gallery: keep the photos, for rebuild.")]


@command
def enroll(
    gallery: GalleryPath,
    photos: Photos,
    name: Annotated[str, typer.Option(help="Who it is.")],
    bundle: BundlePath = None,
    add: Annotated[bool, typer.Option("--add", help="Add to a person who is enrolled already.")] = False,
    flip: Annotated[bool, typer.Option("--flip", help="New gallery: average each face with its mirror image.")] = False,
    keep_photos: KeepPhotos = False,
    key_file: NewKeyFile = None,
    detector: GalleryDetector = None,
    detector_model: DetectorModel = None,
    quality: Quality = "normal",
    strict: Annotated[bool, typer.Option("--strict", help="Stop at the first photo that cannot be used.")] = False,
    threads: Threads = 1,
    runtime: Runtime = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Enrol a person: one template from the largest face of each photo, none twice.

    The first call makes the gallery, for one bundle's model; templates of another model cannot be compared. Warns when
    somebody else in the gallery looks the same. Names and dates are stored as they are, even with a key file.

    Examples:

        edgeface enroll door.gallery ann1.jpg ann2.jpg --name ann --bundle bundles/door

        edgeface enroll door.gallery more/ --name ann --add

        edgeface enroll safe.gallery ann.jpg --name ann --bundle bundles/door --key-file door.key --keep-photos
    """
    from edgeface.gallery import Gallery
    from edgeface.gallery_info import checked_name

    checked_name(name)
    paths = photo_paths(photos)
    with contextlib.ExitStack() as files:
        opened = files.enter_context(Gallery(gallery, key_file)) if gallery.exists() else None
        detector = detector_for(opened, detector, detector_model)
        if opened is not None:
            _refuse_new_options(opened, flip, keep_photos, detector)
            chosen: Bundle | Path = gallery_bundle(opened, bundle)
            add, flip = _may_add(opened, name, add), opened.info.flip
        else:
            chosen = _bundle_of_a_new(gallery, bundle)
        reader = open_reader(chosen, detector, detector_model, quality, threads, runtime, flip)
        vectors, used, skipped = _read(reader, paths, strict, quiet)
        if opened is None:
            opened = files.enter_context(_new_gallery(gallery, reader, keep_photos, key_file, quiet))
        similar = _alike(opened, reader.bundle, name, vectors, quiet)
        contents = [path.read_bytes() for path in used] if opened.info.keep_photos else []
        before = opened.count(name)
        total = opened.enroll(name, vectors, [path.name for path in used], contents, add=add)
    added = total - before
    result = {"name": name, "added": added, "templates": total, "repeats": len(used) - added, "skipped": skipped}
    _report(result, similar, as_json, quiet)


def _report(result: dict[str, Any], similar: list[Match], as_json: bool, quiet: bool) -> None:
    name, added = result["name"], result["added"]
    note_repeats(result["repeats"], quiet)
    for match in similar:
        note(f"warning: {name} looks like {match.name}, enrolled already (cosine {match.similarity:.4f}); the same?")
    if as_json:
        print_json({**result, "looks_like": [asdict(match) for match in similar]})
    else:
        typer.echo(f"{name}: {added} template{'s' * (added != 1)} enrolled, {result['templates']} in all")


def _bundle_of_a_new(gallery: Path, bundle: Path | None) -> Path:
    if bundle is None:
        raise UsageError(f"{gallery}: is new; say which model with --bundle FOLDER")
    return bundle


def _new_gallery(path: Path, reader: FaceReader, keep_photos: bool, key_file: Path | None, quiet: bool) -> Gallery:
    from edgeface.gallery import create_gallery

    make_missing_key(key_file)
    flip, detector = reader.reading.flip, reader.reading.detector
    gallery = create_gallery(path, reader.bundle, flip=flip, keep_photos=keep_photos, key=key_file, detector=detector)
    note(f"{path}: new gallery for {reader.bundle.path}", quiet=quiet)
    return gallery


def _refuse_new_options(gallery: Gallery, flip: bool, keep_photos: bool, detector: str) -> None:
    if (flip and not gallery.info.flip) or (keep_photos and not gallery.info.keep_photos):
        raise UsageError(f"{gallery.path}: --flip and --keep-photos are chosen when a gallery is made; make a new one")
    if gallery.info.keep_photos and gallery.info.detector not in ("", detector):
        raise UsageError(
            f"{gallery.path}: keeps photos that were read with --detector {gallery.info.detector}; 'gallery rebuild' "
            "needs the same for all"
        )


def _may_add(gallery: Gallery, name: str, add: bool) -> bool:
    """Whether to add to a person who is there already: asked where somebody can answer, else as the option says."""
    if add or name not in {person.name for person in gallery.people()}:
        return add
    if sys.stdin.isatty() and typer.confirm(f"{name} is enrolled already. Add to them?", err=True):
        return True
    raise GalleryError(f"{gallery.path}: {name} is enrolled already; add to them with --add, or use another name")


def _read(
    reader: FaceReader, paths: list[Path], strict: bool, quiet: bool
) -> tuple[np.ndarray, list[Path], list[dict[str, str]]]:
    """Vectors (N, E), the photos they are of, and the photos that could not be used."""
    import numpy as np

    vectors: list[np.ndarray] = []
    used: list[Path] = []
    skipped: list[dict[str, str]] = []
    for path in paths:
        try:
            vectors.append(reader.vector(path))
            used.append(path)
        except ImageError as error:
            if strict or len(paths) == 1:
                raise
            skipped.append({"image": str(path), "error": str(error)})
            note(f"warning: {error}", quiet=quiet)
    if not used:
        raise FaceError(f"none of the {len(paths)} photos can be used; give photos that show the face from the front")
    return np.stack(vectors), used, skipped


def _alike(gallery: Gallery, bundle: Bundle, name: str, vectors: np.ndarray, quiet: bool) -> list[Match]:
    """Other people of the gallery whom the new templates match, each once with the largest cosine."""
    entry = next((entry for entry in bundle.thresholds if entry.fmr == WARN_FMR), None)
    if entry is None:
        note(f"{bundle.path}: has no threshold for FMR {WARN_FMR:g}, so look-alikes are not warned of", quiet=quiet)
        gallery.templates()  # a damaged gallery takes nobody
        return []
    best: dict[str, Match] = {}
    for match in (match for row in gallery.nearest(vectors, 2) for match in row):
        if match.name != name and match.similarity >= max(
            entry.threshold, getattr(best.get(match.name), "similarity", -2)
        ):
            best[match.name] = match
    return sorted(best.values(), key=lambda match: -match.similarity)


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(enroll)
