"""Reading one photo from disk, safely: every file is either an RGB uint8 image or an ImageError in one line."""

from __future__ import annotations

import os
import re
import stat
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

import cv2
import numpy as np

from edgeface.data.image_header import HeaderError, ImageHeader, parse_header
from edgeface.errors import ImageError

MAX_PIXELS = 50_000_000
MIN_SIDE = 16
_MAX_BYTES = 400_000_000  # 50 megapixels of 16-bit RGBA
# Sloppy webcams leave a few stray bytes before a marker; the picture is whole all the same.
_HARMLESS_EXTRA_BYTES = 16
_FLAGS = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
"""OpenCV turns neither a WebP nor a JPEG whose first APP1 segment is not EXIF's, so photos are turned here."""
_UPRIGHT: dict[int, Callable[[np.ndarray], np.ndarray]] = {
    1: lambda image: image,
    2: lambda image: cv2.flip(image, 1),
    3: lambda image: cv2.rotate(image, cv2.ROTATE_180),
    4: lambda image: cv2.flip(image, 0),
    5: cv2.transpose,
    6: lambda image: cv2.rotate(image, cv2.ROTATE_90_CLOCKWISE),
    7: lambda image: cv2.flip(cv2.transpose(image), -1),
    8: lambda image: cv2.rotate(image, cv2.ROTATE_90_COUNTERCLOCKWISE),
}
"""What makes a stored picture of each EXIF orientation upright."""


def read_image(path: Path | str) -> np.ndarray:
    """Read a photo as RGB uint8 of shape (height, width, 3), turned upright by its EXIF orientation.

    Gray, palette, CMYK and 16-bit images are converted, transparency is dropped, a TIFF gives its first page.
    Raises ImageError for anything else: empty, cut short, damaged, not an image, animated, over 50 megapixels
    (found in the header, before any memory is taken), or under 16 pixels a side.
    """
    return decode_image(read_bytes(path), path)


def read_bytes(path: Path | str) -> bytes:
    """The content of an image file. Raises ImageError when it is missing, empty, not a plain file or absurdly large."""
    try:
        status = os.stat(path)
        if not stat.S_ISREG(status.st_mode):
            raise ImageError(f"{path}: is not a file; name a photo")
        if status.st_size == 0:
            raise ImageError(f"{path}: is empty (0 bytes); copy it again or remove it")
        if status.st_size > _MAX_BYTES:
            raise ImageError(f"{path}: is {status.st_size >> 20} MB; make it smaller")
        with open(path, "rb") as file:
            return file.read()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise ImageError(f"{path}: cannot be read: {reason}") from None


def decode_image(data: bytes, name: Path | str = "image") -> np.ndarray:
    """Decode the content of an image file as `read_image` does; `name` is for the error message."""
    header = _checked_header(data, name)
    image, complaint = _decoder_output.watch(
        lambda: cv2.imdecode(np.frombuffer(data, np.uint8), _FLAGS)  # type: ignore[arg-type]
    )
    if image is None or _is_damage(complaint):
        raise ImageError(f"{name}: is damaged ({header.format} data cannot be decoded); copy it again or remove it")
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise ImageError(f"{name}: has an unusual pixel format; convert it to JPEG or PNG")
    if sorted(image.shape[:2]) != sorted((header.height, header.width)):  # in any order: a TIFF comes turned
        raise ImageError(f"{name}: is damaged (its size is not the one in its header); remove it")
    return cv2.cvtColor(_UPRIGHT[header.orientation](image), cv2.COLOR_BGR2RGB)


def image_size(path: Path | str) -> tuple[int, int]:
    """(height, width) of a photo as stored, from its header alone. Raises ImageError as `read_image` does."""
    header = _checked_header(read_bytes(path), path)
    return header.height, header.width


def encode_image(image: np.ndarray, suffix: str = ".jpg", quality: int = 95) -> bytes:
    """Encode an RGB uint8 image (height, width, 3) in the format of `suffix`. Raises ImageError for unknown formats."""
    options = [cv2.IMWRITE_JPEG_QUALITY, quality] if suffix.lower() in (".jpg", ".jpeg") else []
    try:
        done, data = cv2.imencode(suffix.lower(), cv2.cvtColor(image, cv2.COLOR_RGB2BGR), options)
    except cv2.error:
        done = False
    if not done:
        raise ImageError(f"cannot write a {suffix or 'nameless'} image; use .png or .jpg")
    return data.tobytes()


def _checked_header(data: bytes, name: Path | str) -> ImageHeader:
    try:
        header = parse_header(data)
    except HeaderError as error:
        raise ImageError(f"{name}: {error}") from None
    size = f"{header.width}x{header.height}"
    if header.height * header.width > MAX_PIXELS:
        raise ImageError(f"{name}: is {size}, over {MAX_PIXELS // 1_000_000} megapixels; make it smaller")
    if min(header.height, header.width) < MIN_SIDE:
        raise ImageError(f"{name}: is {size}, under {MIN_SIDE} pixels a side; use a larger photo")
    return header


def _is_damage(complaint: str) -> bool:
    """Whether what libjpeg wrote means lost picture data (the decoder fills it with gray and reports success)."""
    for line in complaint.splitlines():
        if not line.startswith(("Corrupt JPEG data", "Premature end", "Inconsistent progression")):
            continue
        extra = re.search(r": (\d+) extraneous bytes", line)
        if extra is None or int(extra[1]) > _HARMLESS_EXTRA_BYTES:
            return True
    return False


class _DecoderOutput:
    """Catches what the C decoders write to standard error, which no option of OpenCV silences.

    libjpeg reports lost data nowhere else, so this is also how damage is found. The redirect lasts for one
    decode and is serialised by a lock.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._file: BinaryIO | None = None
        self._process = 0

    def watch(self, decode: Callable[[], np.ndarray | None]) -> tuple[np.ndarray | None, str]:
        """Run `decode`; return its image (None when it failed) and the text it wrote."""
        with self._lock:
            try:
                sink = self._sink().fileno()
                saved = os.dup(2)
            except OSError:  # no standard error, or nowhere for a temporary file
                return self._run(decode), ""
            try:
                os.dup2(sink, 2)
                image = self._run(decode)
            finally:
                os.dup2(saved, 2)
                os.close(saved)
            return image, self._drain(sink)

    @staticmethod
    def _run(decode: Callable[[], np.ndarray | None]) -> np.ndarray | None:
        try:
            return decode()
        except (cv2.error, MemoryError):
            return None

    def _sink(self) -> BinaryIO:
        if self._file is None or self._process != os.getpid():  # a forked child needs a file of its own
            self._file = tempfile.TemporaryFile(buffering=0)  # type: ignore[assignment]  # noqa: SIM115
            self._process = os.getpid()
        return self._file  # type: ignore[return-value]

    @staticmethod
    def _drain(sink: int) -> str:
        length = os.lseek(sink, 0, os.SEEK_CUR)
        if length == 0:
            return ""
        os.lseek(sink, 0, os.SEEK_SET)
        text = os.read(sink, min(length, 1 << 16)).decode("utf-8", "replace")
        os.ftruncate(sink, 0)
        os.lseek(sink, 0, os.SEEK_SET)
        return text


_decoder_output = _DecoderOutput()
