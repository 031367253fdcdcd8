"""`edgeface watch`: names for the faces in front of a camera, as they come."""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edgeface.cli.common import Quiet, command, note
from edgeface.cli.device_options import (
    Average,
    BundlePath,
    DetectorModel,
    Fmr,
    GalleryDetector,
    GalleryPath,
    KeyFile,
    Quality,
    Runtime,
    Threads,
    ThresholdOption,
    compared_with,
    detector_for,
    gallery_bundle,
    open_reader,
    threshold_in_force,
    told,
)
from edgeface.errors import UsageError

if TYPE_CHECKING:
    import numpy as np

    from edgeface.camera import Frame
    from edgeface.identification import Identified

TITLE = "EdgeFace (q ends)"
SHOWN = (640, 1280)
"""Pixels of a shown frame's longer side, at least and at most."""


@command
def watch(
    gallery: GalleryPath,
    camera: Annotated[
        str, typer.Option(help="A camera's number, a video, a photo, or a folder.", metavar="N|FILE|FOLDER")
    ] = "0",
    bundle: BundlePath = None,
    fmr: Fmr = 1e-3,
    threshold: ThresholdOption = None,
    max_fps: Annotated[float, typer.Option("--max-fps", min=0.01, help="Look at no more frames a second.")] = 10.0,
    window: Annotated[
        bool | None,
        typer.Option("--window/--no-window", help="A window, or JSON lines; a window where there is a screen."),
    ] = None,
    average: Average = False,
    detector: GalleryDetector = None,
    detector_model: DetectorModel = None,
    quality: Quality = "low",
    key_file: KeyFile = None,
    threads: Threads = 1,
    runtime: Runtime = None,
    quiet: Quiet = False,
) -> None:
    """Name every face that a camera sees: boxes in a window, or one JSON line a frame on standard output.

    Frames that come while one is being looked at are dropped, so that the answer is never late. People enrolled
    meanwhile are known at once. Ctrl-C, `q` in the window, or the end of the video ends it.

    Examples:

        edgeface watch door.gallery

        edgeface watch door.gallery --camera door.mp4 --no-window --max-fps 5

        edgeface watch door.gallery --camera photos/ --fmr 1e-4
    """
    from edgeface.gallery import Gallery
    from edgeface.identification import watch_faces

    with Gallery(gallery, key_file) as opened:
        chosen = gallery_bundle(opened, bundle)
        detector = detector_for(opened, detector, detector_model, live=True)
        limit, line = threshold_in_force(chosen, fmr, threshold, detector, flip=opened.info.flip, average=average)
        reader = open_reader(chosen, detector, detector_model, quality, threads, runtime, opened.info.flip)
        note(told(line, compared_with(opened, average, detector, rated=threshold is None)), quiet=quiet)
        looked = last = 0
        with (
            contextlib.closing(watch_faces(reader, opened, camera, limit, max_fps=max_fps, average=average)) as stream,
            contextlib.suppress(KeyboardInterrupt, BrokenPipeError),
        ):
            show = _window() if _open_window(window) else _print
            for frame, faces in stream:
                looked, last = looked + 1, frame.number
                if not show(frame, faces):
                    break
        note(f"looked at {looked} frames, dropped {max(0, last + 1 - looked)}", quiet=quiet)
    _leave()


def _open_window(wanted: bool | None) -> bool:
    """Whether there is a window now. Raises UsageError when it is wanted and there is no screen."""
    if wanted is False:
        return False
    screen = sys.platform != "linux" or os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    if screen:
        import cv2

        with contextlib.suppress(cv2.error):  # an OpenCV without windows
            cv2.namedWindow(TITLE, cv2.WINDOW_NORMAL | cv2.WINDOW_KEEPRATIO | cv2.WINDOW_GUI_NORMAL)
            return True
    if wanted:
        raise UsageError("no window can be opened here; leave --window out for JSON lines")
    return False


def _window() -> Callable[[Frame, list[Identified]], bool]:
    """What shows a frame in the open window, and says False when the user has had enough."""
    import cv2

    sizes: list[tuple[int, ...]] = []

    def show(frame: Frame, faces: list[Identified]) -> bool:
        if frame.image is not None:
            picture = draw(frame.image, faces)
            if picture.shape not in sizes:  # as large as the picture at first; then as the user likes it
                sizes.append(picture.shape)
                cv2.resizeWindow(TITLE, *picture.shape[1::-1])
            cv2.imshow(TITLE, picture)
        return cv2.waitKey(1) & 0xFF not in (ord("q"), 27) and cv2.getWindowProperty(TITLE, cv2.WND_PROP_VISIBLE) > 0

    return show


def draw(image: np.ndarray, faces: list[Identified]) -> np.ndarray:
    """The frame as BGR uint8 with a box and a name for each face: green known, orange unknown, gray refused.

    Shown with its longer side at 640 to 1280 pixels, so that the names can be read.
    """
    import cv2

    longer = max(image.shape[:2])
    scale = min(max(longer, SHOWN[0]), SHOWN[1]) / longer
    size = [max(1, round(side * scale)) for side in image.shape[1::-1]]
    picture = cv2.cvtColor(cv2.resize(image, size), cv2.COLOR_RGB2BGR)
    for face in faces:
        left, top, width, height = (round(value * scale) for value in face.box)
        colour = (160, 160, 160) if face.refused else (0, 160, 255) if face.name is None else (0, 200, 0)
        cv2.rectangle(picture, (left, top), (left + width, top + height), colour, 2)
        cosine = f" {face.matches[0].similarity:.2f}" if face.matches else ""  # none: everybody was removed meanwhile
        text = "refused" if face.refused else f"{face.name or 'unknown'}{cosine}"
        _label(picture, text, left, top, colour)
    return picture


def _label(picture: np.ndarray, text: str, left: int, top: int, colour: tuple[int, int, int]) -> None:
    """Black text on a bar over the box, or at the picture's edge where there is no room."""
    import cv2

    plain = text.encode("ascii", "replace").decode()  # OpenCV's fonts know ASCII only
    font = (cv2.FONT_HERSHEY_SIMPLEX, 0.6)
    (width, height), below = cv2.getTextSize(plain, *font, 1)
    x, y = max(0, min(left, picture.shape[1] - width - 8)), max(height + below + 4, top)
    cv2.rectangle(picture, (x, y - height - below - 4), (x + width + 8, y), colour, -1)
    cv2.putText(picture, plain, (x + 4, y - below), *font, (0, 0, 0), 1, cv2.LINE_AA)


def _print(frame: Frame, faces: list[Identified]) -> bool:
    document: dict[str, Any] = {"frame": frame.number, "seconds": round(frame.seconds, 3), "source": frame.name}
    if frame.error is not None:
        document["error"] = frame.error
    document["faces"] = [face.to_dict() for face in faces]
    sys.stdout.write(json.dumps(document) + "\n")
    sys.stdout.flush()
    return True


def _leave() -> None:
    """Close the window, and a standard output whose reader has gone, quietly."""
    if "cv2" in sys.modules:
        import cv2

        with contextlib.suppress(cv2.error):
            cv2.destroyAllWindows()
    with contextlib.suppress(BrokenPipeError, ValueError, OSError):
        sys.stdout.flush()


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(watch)
