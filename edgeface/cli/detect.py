"""`edgeface detect`: where the faces are in photos, and how often one is found."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edgeface.cli.common import Json, Quiet, command, note, print_json
from edgeface.cli.device_options import DetectorModel, DetectorName, Photos, photo_paths
from edgeface.errors import FaceError, GateFailed, ImageError

if TYPE_CHECKING:
    import numpy as np

    from edgeface.detector import Face


@command
def detect(
    photos: Photos,
    detector: DetectorName = "cascade",
    detector_model: DetectorModel = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Write each photo's largest face here, aligned, as PNG; never one over another of this run."),
    ] = None,
    size: Annotated[int, typer.Option(min=32, max=1024, help="Side of those pictures in pixels.")] = 112,
    fail_under: Annotated[
        float | None, typer.Option(min=0, max=1, help="Exit 1 when a smaller share has its central face found.")
    ] = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Find the faces in photos. Ends with the share of photos in which one was found.

    'central' counts the photos whose largest face covers their middle and has its own middle within a quarter of its
    width of it: the right face, where photos are framed on one (as LFW's). With --out, makes aligned faces of loose
    photos, in the frame that whole-image bundles are trained in, keeping the folders: those inside the folder that is
    named, or, when several are named (or photos out of several), each folder's own name too. Where two photos would
    get one name (1.jpg and 1.png), the second is numbered (1-2.png).

    Examples:

        edgeface detect photo.jpg

        edgeface detect lfw/ --json --fail-under 0.97

        edgeface detect holiday/ --out faces/

        edgeface detect photos/ann photos/bob --out faces/
    """
    from edgeface.data.images import read_image
    from edgeface.detector import find_faces, open_detector

    opened = open_detector(detector, detector_model)
    results: list[dict[str, Any]] = []
    written = 0
    places = face_places(photos)
    for path, place in places:
        try:
            image = read_image(path)
        except ImageError as error:
            if len(places) == 1:
                raise
            note(f"warning: {error}", quiet=quiet)
            results.append({"image": str(path), "error": str(error), "faces": [], "central": False})
            continue
        faces = find_faces(image, opened)
        results.append({"image": str(path), "faces": [_face(f) for f in faces], "central": is_central(faces, image)})
        if out is not None and faces:
            _write_face(out / place, image, faces[0], size)
            written += 1
        if not as_json and not quiet:
            typer.echo(_line(path, faces))
    if out is not None:
        note(f"{written} face{'s' * (written != 1)} written to {out}", quiet=quiet)
    _report(results, as_json, detector, fail_under)


def is_central(faces: list[Face], image: np.ndarray) -> bool:
    """Whether the largest face lies in the middle of the photo."""
    if not faces:
        return False
    left, top, width, height = faces[0].box
    across, down = left + width / 2 - image.shape[1] / 2, top + height / 2 - image.shape[0] / 2
    return abs(across) <= width / 4 and abs(down) <= height / 4


def _face(face: Face) -> dict[str, Any]:
    landmarks = None if face.landmarks is None else [[round(float(v), 1) for v in point] for point in face.landmarks]
    return {"box": [round(v, 1) for v in face.box], "score": round(face.score, 3), "landmarks": landmarks}


def _line(path: Path, faces: list[Face]) -> str:
    boxes = ", ".join(
        "x".join(f"{v:.0f}" for v in face.box[2:]) + f" at {face.box[0]:.0f}+{face.box[1]:.0f}" for face in faces
    )
    return f"{path}: {boxes or 'no face found'}"


def face_places(photos: list[Path]) -> list[tuple[Path, Path]]:
    """Every photo of the arguments, once, and where its face goes inside the folder of faces.

    That is the photo's place in its folder (the one that was named, or that the named photo lies in), under the
    folder's name when there are several folders. A place that another photo has is numbered: `1-2.png`.
    """
    folders = {photo: Path(os.path.abspath(photo if photo.is_dir() else photo.parent)) for photo in photos}
    several = len(set(folders.values())) > 1
    places: dict[Path, tuple[Path, Path]] = {}
    taken: set[str] = set()
    for photo, folder in folders.items():
        for path in photo_paths([photo]):
            whole = Path(os.path.abspath(path))
            if whole in places:
                continue
            place = (folder.name / whole.relative_to(folder) if several else whole.relative_to(folder)).with_suffix("")
            number, free = 1, f"{place}.png"
            while free.lower() in taken:  # lower: on some disks A.png is a.png
                number += 1
                free = f"{place}-{number}.png"
            taken.add(free.lower())
            places[whole] = (path, Path(free))
    return list(places.values())


def _write_face(file: Path, image: np.ndarray, face: Face, size: int) -> None:
    from edgeface.data.images import encode_image
    from edgeface.detector import align
    from edgeface.face_input import FaceInput
    from edgeface.files import atomic_path

    with atomic_path(file) as temporary:
        temporary.write_bytes(encode_image(align(image, face, FaceInput(size)), ".png"))


def _report(results: list[dict[str, Any]], as_json: bool, detector: str, fail_under: float | None) -> None:
    photos = len(results)
    found = sum(bool(entry["faces"]) for entry in results)
    central = sum(entry["central"] for entry in results)
    if as_json:
        summary = {"detector": detector, "photos": photos, "found": found, "central": central}
        print_json({**summary, "results": results})
    else:
        share = f"{central} ({100 * central / photos:.2f} %)"
        typer.echo(f"{found} of {photos} photos with a face, {share} with the largest in the middle")
    unread = sum("error" in entry for entry in results)
    if unread == photos:
        raise ImageError(f"none of the {unread} photos could be read; give JPEG or PNG photos")
    if not found:
        seen = photos - unread
        raise FaceError(f"no face found in {seen} photo{'s' * (seen != 1)}; give larger faces, from the front")
    if fail_under is not None and central < fail_under * photos:
        raise GateFailed(f"{100 * central / photos:.2f} % is under --fail-under {100 * fail_under:g} %")


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(detect)
