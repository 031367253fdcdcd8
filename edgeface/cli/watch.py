"""`edgeface watch`: names for the faces in front of a camera, as they come."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edgeface.cli.common import Quiet, command, note
from edgeface.cli.device_options import (
    Average,
    BundlePath,
    DetectorModel,
    DetectorName,
    Fmr,
    GalleryPath,
    KeyFile,
    Quality,
    Runtime,
    Threads,
    ThresholdOption,
    gallery_bundle,
    open_reader,
    threshold_in_force,
)
from edgeface.errors import GalleryError, UsageError

if TYPE_CHECKING:
    import numpy as np

    from edgeface.camera import Frame
    from edgeface.identification import Identified

TITLE = "EdgeFace (q ends)"


@command
def watch(
    gallery: GalleryPath,
    camera: Annotated[
        str, typer.Option(help="A camera's number, a video, or a folder.", metavar="N|VIDEO|FOLDER")
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
    detector: DetectorName = "cascade",
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
    from edgeface.camera import frames
    from edgeface.gallery import Gallery
    from edgeface.identification import identify_faces

    with Gallery(gallery, key_file) as opened, _stoppable(), contextlib.closing(frames(camera, max_fps)) as stream:  # type: ignore[type-var]
        chosen = gallery_bundle(opened, bundle)
        limit, line = threshold_in_force(chosen, fmr, threshold)
        reader = open_reader(chosen, detector, detector_model, quality, threads, runtime, opened.info.flip)
        if not len(opened.templates(average=average)):
            raise GalleryError(
                f"{gallery}: is empty; enrol somebody with: edgeface enroll {gallery} --name NAME PHOTO..."
            )
        note(line, quiet=quiet)
        show = _show if _open_window(window) else _print
        looked = last = 0
        with contextlib.suppress(KeyboardInterrupt, BrokenPipeError):
            for frame in stream:
                faces: list[Identified] = []
                if frame.image is not None:
                    faces = identify_faces(reader, opened, frame.image, limit, every=True, average=average)
                looked, last = looked + 1, frame.number
                if not show(frame, faces):
                    break
        note(f"looked at {looked} frames, dropped {max(0, last + 1 - looked)}", quiet=quiet)
    _leave()


@contextlib.contextmanager
def _stoppable() -> Iterator[None]:
    """SIGTERM, which service managers send, ends as Ctrl-C does."""

    def stop(*_: Any) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _open_window(wanted: bool | None) -> bool:
    """Whether there is a window now. Raises UsageError when it is wanted and there is no screen."""
    if wanted is False:
        return False
    screen = sys.platform != "linux" or os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    if screen:
        import cv2

        with contextlib.suppress(cv2.error):  # an OpenCV without windows
            cv2.namedWindow(TITLE, cv2.WINDOW_NORMAL)
            return True
    if wanted:
        raise UsageError("no window can be opened here; leave --window out for JSON lines")
    return False


def _show(frame: Frame, faces: list[Identified]) -> bool:
    """Draw a frame; False when the user has had enough."""
    import cv2

    if frame.image is not None:
        cv2.imshow(TITLE, draw(frame.image, faces))
    return cv2.waitKey(1) & 0xFF not in (ord("q"), 27) and cv2.getWindowProperty(TITLE, cv2.WND_PROP_VISIBLE) > 0


def draw(image: np.ndarray, faces: list[Identified]) -> np.ndarray:
    """The frame as BGR uint8 with a box and a name for each face: green known, orange unknown, gray refused."""
    import cv2

    picture = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    for face in faces:
        left, top, width, height = (round(value) for value in face.box)
        colour = (160, 160, 160) if face.refused else (0, 160, 255) if face.name is None else (0, 200, 0)
        cv2.rectangle(picture, (left, top), (left + width, top + height), colour, 2)
        text = "?" if face.refused else f"{face.name or 'unknown'} {face.matches[0].similarity:.2f}"
        # OpenCV's fonts know ASCII only.
        plain = text.encode("ascii", "replace").decode()
        cv2.putText(picture, plain, (left, max(top - 6, 12)), cv2.FONT_HERSHEY_SIMPLEX, 0.5, colour, 1, cv2.LINE_AA)
    return picture


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
