"""Frames from a camera, a video or a folder of photos, the newest first: what comes while nobody looks is dropped."""

from __future__ import annotations

import math
import os
import threading
import time
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from edgeface.data.images import read_image
from edgeface.data.layouts import IMAGE_SUFFIXES
from edgeface.errors import CameraError, ImageError
from edgeface.stderr import captured_stderr

PATIENCE_SECONDS = 5.0
"""How long a camera may give no frame before it counts as gone."""
_LAST_CAMERA = 2**31 - 1  # OpenCV's int
_PHOTO_STARTS = (b"\xff\xd8\xff", b"\x89PNG\r\n", b"BM", b"II*\0", b"MM\0*")
_TEXT = int.from_bytes(b"ansi", "little")
"""The codec of FFmpeg that draws a text file's letters."""


@dataclass(frozen=True)
class Frame:
    """One picture: RGB uint8 `image` (height, width, 3), its number in the source, its time in seconds, and its name.

    `image` is None, with `error`, for a photo of a folder that cannot be read.
    """

    number: int
    seconds: float
    name: str
    image: np.ndarray | None
    error: str | None = None


def frames(source: str, max_fps: float = 10.0) -> Generator[Frame, None, None]:
    """Frames of a camera ("0", "1", ...), a video file, a photo, or a folder of photos, at most `max_fps` a second.

    A camera gives its newest frame whenever one is asked for. A video plays at its own speed; frames that are late are
    dropped; it ends with its last frame. A folder gives each photo once, without hurry. Close the generator to let the
    camera go. Raises CameraError for a source that cannot be opened, is no video, or a camera that disappears.
    """
    path = Path(source)
    if path.is_dir():
        return _photos(_inside(path), max_fps)
    if source.isdecimal() and not path.exists():
        if int(source) > _LAST_CAMERA:
            raise CameraError(f"{source}: no camera has such a number; the first is 0")
        return _camera(int(source), max_fps)
    if not path.is_file():
        raise CameraError(f"{source}: no such camera, video or folder; give a camera's number, or a path")
    return _photos([path], max_fps) if _is_photo(path) else _video(path, max_fps)


def _is_photo(path: Path) -> bool:
    """Whether a file is one picture, by its name or its first bytes. A raw stream of JPEGs begins as one does."""
    if path.suffix.lower() in IMAGE_SUFFIXES:
        return True
    try:
        with path.open("rb") as file:
            start = file.read(12)
    except OSError as error:
        raise CameraError(f"{path}: cannot be read ({error.strerror}); check its permissions") from None
    photo = start.startswith(_PHOTO_STARTS) or (start[:4], start[8:]) == (b"RIFF", b"WEBP")
    return photo and path.suffix.lower() not in (".mjpeg", ".mjpg")


def _inside(folder: Path) -> list[Path]:
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in IMAGE_SUFFIXES and path.is_file())
    if not paths:
        raise CameraError(f"{folder}: holds no photos; name a folder of JPEG, PNG, WebP, BMP or TIFF files")
    return paths


def _photos(paths: list[Path], max_fps: float) -> Generator[Frame, None, None]:
    start = time.monotonic()
    for number, path in enumerate(paths):
        _wait_until(start + number / max_fps)
        try:
            yield Frame(number, time.monotonic() - start, str(path), read_image(path))
        except ImageError as error:
            yield Frame(number, time.monotonic() - start, str(path), None, str(error))


def _video(path: Path, max_fps: float) -> Generator[Frame, None, None]:
    capture = _open(str(path))
    try:
        rate = capture.get(cv2.CAP_PROP_FPS)
        rate = rate if 0.1 < rate < 1000 else 25.0
        start, number, due = time.monotonic(), -1, 0.0
        while True:
            # The next frame to show: not before its time, not behind the clock, not more often than asked.
            # A hair less than `due`: of 30 fps at most 10 a second is every third, whatever the binary fractions.
            wanted = max(number + 1, math.ceil(due * rate - 1e-6), int((time.monotonic() - start) * rate))
            while number < wanted:
                if not capture.grab():
                    if number < 0:
                        raise CameraError(f"{path}: holds no picture that can be decoded; convert it to MP4 (H.264)")
                    return
                number += 1
            done, picture = capture.retrieve()
            if done and picture is not None:
                _wait_until(start + number / rate)
                yield Frame(number, number / rate, str(path), cv2.cvtColor(picture, cv2.COLOR_BGR2RGB))
            due = number / rate + 1 / max_fps
    finally:
        capture.release()


def _camera(index: int, max_fps: float) -> Generator[Frame, None, None]:
    newest = _Newest(_open(index), f"camera {index}")
    try:
        start = time.monotonic()
        due = start
        while True:
            _wait_until(due)
            due = max(due + 1 / max_fps, time.monotonic())
            number, picture = newest.get()
            seconds = time.monotonic() - start
            yield Frame(number, seconds, f"camera {index}", cv2.cvtColor(picture, cv2.COLOR_BGR2RGB))
    finally:
        newest.close()


class _Newest:
    """Reads a camera in the background, so that its buffer never fills with old frames, and keeps the last one."""

    def __init__(self, capture: cv2.VideoCapture, name: str) -> None:
        self._capture, self._name = capture, name
        self._changed = threading.Condition()
        self._number = self._given = -1
        self._picture: np.ndarray = np.empty(0, np.uint8)
        self._gone = self._closing = False
        self._thread = threading.Thread(target=self._read, daemon=True, name=name)
        self._thread.start()

    def _read(self) -> None:
        while not self._closing:
            done, picture = self._capture.read()
            with self._changed:
                if not done or picture is None:
                    self._gone = True
                else:
                    self._picture, self._number = picture, self._number + 1
                self._changed.notify_all()
                if self._gone:
                    return

    def get(self) -> tuple[int, np.ndarray]:
        """The newest frame that was not given yet. Raises CameraError when none comes any more."""
        with self._changed:
            came = self._changed.wait_for(lambda: self._number > self._given or self._gone, PATIENCE_SECONDS)
            if not came or self._number <= self._given:
                raise CameraError(f"{self._name}: gives no more frames; plug it in again and start anew")
            self._given = self._number
            return self._number, self._picture

    def close(self) -> None:
        self._closing = True
        self._thread.join(PATIENCE_SECONDS)
        if not self._thread.is_alive():  # a driver that hangs would hang release too
            self._capture.release()


def _open(source: int | str) -> cv2.VideoCapture:
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")  # quiet about damaged frames, now and later
    with captured_stderr():
        capture = cv2.VideoCapture(source)
        opened = capture.isOpened()
        if opened and isinstance(source, str) and int(capture.get(cv2.CAP_PROP_FOURCC)) == _TEXT:
            capture.release()
            opened = False
    if not opened:
        if isinstance(source, int):
            raise CameraError(
                f"camera {source}: cannot be opened; see that it is plugged in, not in use elsewhere, and that you may "
                "use it (on Linux, the group 'video')"
            )
        raise CameraError(f"{source}: is not a video that can be read; convert it to MP4 (H.264)")
    return capture


def _wait_until(moment: float) -> None:
    left = moment - time.monotonic()
    if left > 0:
        time.sleep(left)
