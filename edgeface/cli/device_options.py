"""Options and openings that the commands of the device side share."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgeface.cli.common import note
from edgeface.errors import GalleryError, UsageError

if TYPE_CHECKING:
    from edgeface.bundle import Bundle
    from edgeface.face_reader import FaceReader
    from edgeface.gallery import Gallery

GalleryPath = Annotated[Path, typer.Argument(help="The gallery's file.", metavar="GALLERY")]
Photos = Annotated[list[Path], typer.Argument(help="Photos, or folders of photos.", metavar="PHOTO...")]
BundlePath = Annotated[
    Path | None,
    typer.Option("--bundle", "-b", help="The bundle; by default where it was when the gallery was made or rebuilt."),
]
DetectorName = Annotated[str, typer.Option("--detector", help="cascade, yunet, or none for photos already cropped.")]
GalleryDetector = Annotated[
    str | None,
    typer.Option(
        "--detector", help="cascade, yunet, or none for photos already cropped; by default as the gallery was enrolled."
    ),
]
DetectorModel = Annotated[Path | None, typer.Option("--detector-model", help="YuNet's .onnx file, for yunet.")]
Quality = Annotated[
    str, typer.Option("--quality", help="Refuse small or blurred faces: off, low, normal or high.", metavar="LEVEL")
]
KeyFile = Annotated[Path | None, typer.Option("--key-file", help="The key of an encrypted gallery.")]
NewKeyFile = Annotated[
    Path | None,
    typer.Option("--key-file", help="New gallery: encrypt it with this key file (made if missing). Later: its key."),
]
Fmr = Annotated[
    float, typer.Option("--fmr", help="False match rate of one comparison: use the bundle's threshold for it.")
]
ThresholdOption = Annotated[
    float | None, typer.Option("--threshold", min=-1, max=1, help="A cosine of your own in place of --fmr.")
]
Average = Annotated[
    bool, typer.Option("--average", help="Compare with the mean of a person's templates, not with the best of them.")
]
Threads = Annotated[int, typer.Option(min=1, help="CPU threads of one inference.")]
Runtime = Annotated[str | None, typer.Option(help="litert, tflite or tf; the first installed by default.")]


def photo_paths(photos: list[Path]) -> list[Path]:
    """The photos named, and those in the folders named (all levels), sorted. Raises UsageError for an empty folder."""
    from edgeface.data.layouts import IMAGE_SUFFIXES

    paths: list[Path] = []
    for photo in photos:
        if not photo.is_dir():
            paths.append(photo)
            continue
        inside = sorted(path for path in photo.rglob("*") if path.suffix.lower() in IMAGE_SUFFIXES and path.is_file())
        if not inside:
            raise UsageError(f"{photo}: holds no photos; name photos or a folder of them")
        paths += inside
    return paths


def detector_for(gallery: Gallery | None, given: str | None, model: Path | None, *, live: bool = False) -> str:
    """The detector asked for, else the one that the gallery was enrolled with, or the cascade where that cannot be:
    whole frames of a camera (`live`) are no cropped faces, and YuNet needs its model. A new gallery (None) has none."""
    enrolled = "" if gallery is None else gallery.info.detector
    if (
        given is not None
        or not enrolled
        or (enrolled == "none" and live)
        or (enrolled == "yunet") != (model is not None)
    ):
        return given or ("cascade" if model is None else "yunet")
    return enrolled


def told(line: str, comparison: str) -> str:
    """Where a threshold comes from and what it is compared with, a line for each thing to know."""
    return "\n  ".join(re.split(r"; (?![^(]*\))", f"{line}; {comparison}"))  # not within brackets


def open_reader(
    bundle: Path | Bundle,
    detector: str,
    detector_model: Path | None,
    quality: str,
    threads: int,
    runtime: str | None,
    flip: bool = False,
) -> FaceReader:
    """A FaceReader from a command's options."""
    from edgeface.face_reader import FaceReader, Reading

    return FaceReader(bundle, Reading(detector, detector_model, quality, flip, threads, runtime))


def gallery_bundle(gallery: Gallery, bundle: Path | None) -> Bundle:
    """The gallery's bundle, opened, and refused when it is another. Raises GalleryError when it has moved."""
    from edgeface.bundle import is_bundle, open_bundle

    if bundle is None and not is_bundle(gallery.info.bundle):
        raise GalleryError(f"{gallery.path}: its bundle is not at {gallery.info.bundle} any more; give --bundle FOLDER")
    opened = open_bundle(bundle if bundle is not None else gallery.info.bundle)
    gallery.accept(opened)
    return opened


def make_missing_key(key_file: Path | None) -> None:
    """Make the key file of a new gallery unless it is there. Raises MissingDependencyError where it would be no use."""
    if key_file is not None and not key_file.exists():
        from edgeface.template_key import make_key

        make_key(key_file)
        note(f"{key_file}: new key; without it the gallery cannot be read, so keep a copy elsewhere")


def note_repeats(repeats: int, quiet: bool) -> None:
    """Say that templates were left out because the person has them already."""
    if repeats:
        what = "1 template that is" if repeats == 1 else f"{repeats} templates that are"
        note(f"left out {what} there already", quiet=quiet)


def threshold_in_force(
    bundle: Bundle,
    fmr: float,
    threshold: float | None,
    detector: str,
    *,
    flip: bool = False,
    average: bool = False,
) -> tuple[float, str]:
    """The cosine from which two faces are one person, and a line that says where it comes from, and what to doubt.

    Raises UsageError when the bundle has no threshold for that FMR and none is given.
    """
    if threshold is not None:
        return threshold, f"threshold {threshold:g}, given by hand: its error rates are not known"
    if not bundle.thresholds:
        raise UsageError(
            f"{bundle.path}: has no thresholds yet; measure them with: edgeface calibrate {bundle.path} DATA, "
            "or give --threshold COSINE"
        )
    measured = bundle.threshold(fmr)
    doubts = measured.doubts(detector, flip=flip, average=average)
    return measured.threshold, "; ".join([f"threshold {measured.line()}", *doubts])


def compared_with(gallery: Gallery, average: bool, detector: str, *, rated: bool) -> str:
    """The templates that a face is compared with and, where the threshold is `rated`, what their number makes of it.

    The rate is of one comparison, and a stranger may match any template. Raises UsageError when there is none.
    """
    templates, path = gallery.templates(average=average), gallery.path
    count, people = len(templates), len(templates.people)
    if not count:
        raise UsageError(f"{path}: is empty; enrol somebody with: edgeface enroll {path} --name NAME PHOTO...")
    kind = "averaged template" if average else "template"
    text = f"{count} {kind}{'s' * (count != 1)} of {people} {'person' if people == 1 else 'people'} in {path}"
    enrolled = gallery.info.detector
    if enrolled not in ("", detector):
        text += f", enrolled with --detector {enrolled}, not {detector}, which makes faces less alike"
    return text + (f": up to about {count} times that FMR for a stranger" if rated and count > 1 else "")
