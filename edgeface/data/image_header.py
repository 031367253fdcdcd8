"""What an image file says about itself before it is decoded: format, size, frames, and whether its end is there.

Only the formats that `read_image` accepts. Nothing here decodes pixels, so a 200-megapixel file costs nothing.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

_START_OF_FRAME = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_CONVERT = "convert it to JPEG or PNG"


@dataclass(frozen=True)
class ImageHeader:
    """Format name and the stored size in pixels (before any EXIF rotation)."""

    format: str
    height: int
    width: int


class HeaderError(ValueError):
    """The reason why a file is not an image that can be used, to follow the file's name."""


def parse_header(data: bytes) -> ImageHeader:
    """Read the header of a whole image file. Raises HeaderError when it is not a complete still image."""
    try:
        header = _parse(data)
    except (struct.error, IndexError):
        raise HeaderError("is cut short; copy it again or remove it") from None
    if header.height <= 0 or header.width <= 0:
        raise HeaderError("is damaged (its header gives no size); remove it")
    return header


def _parse(data: bytes) -> ImageHeader:
    if data[:3] == b"\xff\xd8\xff":
        return _jpeg(data)
    if data[:8] == b"\x89PNG\r\n\x1a\n":
        return _png(data)
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return _webp(data)
    if data[:2] == b"BM":
        return _bmp(data)
    if data[:4] in (b"II*\0", b"MM\0*"):
        return _tiff(data)
    if data[:4] == b"GIF8":
        raise HeaderError("is a GIF, which may be animated; save the frame you want as JPEG or PNG")
    if data[4:8] == b"ftyp":
        raise HeaderError(f"is a HEIC, AVIF or video file; {_CONVERT}")
    raise HeaderError("is not a JPEG, PNG, WebP, BMP or TIFF image; remove it or " + _CONVERT)


def _jpeg(data: bytes) -> ImageHeader:
    """Walk the segments to the frame header, then look for the end-of-image marker after the scan begins.

    An EXIF thumbnail has an end marker of its own, but lies before the scan; inside a scan a 0xFF byte of
    data is always followed by 0x00, so the first 0xFFD9 there is the real one.
    """
    position, size = 2, None
    while True:
        while data[position] == 0xFF and data[position + 1] == 0xFF:
            position += 1
        if data[position] != 0xFF:
            raise HeaderError("is a damaged JPEG; remove it")
        marker = data[position + 1]
        if marker == 0xD9:
            raise HeaderError("is a JPEG without a picture; remove it")
        if marker == 0x01 or 0xD0 <= marker <= 0xD7:
            position += 2
            continue
        (length,) = struct.unpack_from(">H", data, position + 2)
        if marker in _START_OF_FRAME:
            size = struct.unpack_from(">HH", data, position + 5)
        position += 2 + length
        if marker == 0xDA:
            break
    if size is None:
        raise HeaderError("is a damaged JPEG; remove it")
    if data.find(b"\xff\xd9", position) < 0:
        raise HeaderError("is cut short (no end of image); copy it again or remove it")
    return ImageHeader("JPEG", *size)


def _png(data: bytes) -> ImageHeader:
    width, height = struct.unpack_from(">II", data, 16)
    if b"acTL" in data[: max(data.find(b"IDAT"), 0)]:
        raise HeaderError("is an animated PNG; save the frame you want as JPEG or PNG")
    if data.rfind(b"IEND\xaeB`\x82") < 0:
        raise HeaderError("is cut short (no end of image); copy it again or remove it")
    return ImageHeader("PNG", height, width)


def _webp(data: bytes) -> ImageHeader:
    (length,) = struct.unpack_from("<I", data, 4)
    kind = data[12:16]
    if kind == b"VP8X":
        if data[20] & 0x02:
            raise HeaderError("is an animated WebP; save the frame you want as JPEG or PNG")
        width = 1 + int.from_bytes(data[24:27], "little")
        height = 1 + int.from_bytes(data[27:30], "little")
    elif kind == b"VP8L":
        (bits,) = struct.unpack_from("<I", data, 21)
        width, height = 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    elif kind == b"VP8 ":
        width, height = (value & 0x3FFF for value in struct.unpack_from("<HH", data, 26))
    else:
        raise HeaderError("is a damaged WebP; remove it")
    if len(data) < length + 8:
        raise HeaderError("is cut short; copy it again or remove it")
    return ImageHeader("WebP", height, width)


def _bmp(data: bytes) -> ImageHeader:
    (header_size,) = struct.unpack_from("<I", data, 14)
    width, height = struct.unpack_from("<HH" if header_size == 12 else "<ii", data, 18)
    return ImageHeader("BMP", abs(height), width)


def _tiff(data: bytes) -> ImageHeader:
    order = "<" if data[:2] == b"II" else ">"
    (position,) = struct.unpack_from(order + "I", data, 4)
    (count,) = struct.unpack_from(order + "H", data, position)
    size = {256: 0, 257: 0}
    for entry in range(position + 2, position + 2 + 12 * count, 12):
        tag, kind = struct.unpack_from(order + "HH", data, entry)
        if tag in size:
            (size[tag],) = struct.unpack_from(order + ("H" if kind == 3 else "I"), data, entry + 8)
    return ImageHeader("TIFF", size[257], size[256])
