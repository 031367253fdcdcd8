"""What an image file says about itself before it is decoded: format, size, orientation, frames, and whether it ends.

Only the formats that `read_image` accepts. Nothing here decodes pixels, so a 200-megapixel file costs nothing.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

_START_OF_FRAME = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_CONVERT = "convert it to JPEG or PNG"
_EXIF = b"Exif\0\0"
_TIFF_STARTS = (b"II*\0", b"MM\0*")
_WIDTH, _HEIGHT, _ORIENTATION, _TILE_WIDTH, _TILE_HEIGHT = 256, 257, 274, 322, 323  # TIFF's tags; EXIF's are the same
_SHORT, _LONG = 3, 4
_PLAIN_TILE = 1024 * 1024  # pixels; a small picture may lie in one tile of this size


@dataclass(frozen=True)
class ImageHeader:
    """Format name and the stored size in pixels (before any EXIF rotation).

    `orientation` is EXIF's, 1 to 8, where the decoder leaves the picture as it is stored: always 1 for a TIFF, which
    OpenCV turns itself.
    """

    format: str
    height: int
    width: int
    orientation: int = 1


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
    if data[:4] in _TIFF_STARTS:
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
    position, size, exif = 2, None, b""
    while True:
        while data[position] == 0xFF and data[position + 1] == 0xFF:
            position += 1
        if data[position] != 0xFF:
            raise HeaderError("is a damaged JPEG; remove it")
        marker = data[position + 1]
        if marker == 0xD9:
            raise HeaderError("is a JPEG without a picture; remove it")
        if marker == 0x00:  # no marker: libjpeg looks for the next one inside of what would be skipped here
            raise HeaderError("is a damaged JPEG; remove it")
        if marker == 0x01 or 0xD0 <= marker <= 0xD7:
            position += 2
            continue
        (length,) = struct.unpack_from(">H", data, position + 2)
        if marker == 0xE1 and not exif and data[position + 4 : position + 10] == _EXIF:
            exif = data[position + 4 : position + 2 + length]
        if marker in _START_OF_FRAME:
            size = struct.unpack_from(">HH", data, position + 5)
        position += 2 + length
        if marker == 0xDA:
            break
    if size is None:
        raise HeaderError("is a damaged JPEG; remove it")
    if data.find(b"\xff\xd9", position) < 0:
        raise HeaderError("is cut short (no end of image); copy it again or remove it")
    height, width = size
    return ImageHeader("JPEG", height, width, _orientation(exif))


def _png(data: bytes) -> ImageHeader:
    first, width, height = struct.unpack_from(">4sII", data, 12)
    if first != b"IHDR":
        raise HeaderError("is a damaged PNG; remove it")
    if b"acTL" in data[: max(data.find(b"IDAT"), 0)]:
        raise HeaderError("is an animated PNG; save the frame you want as JPEG or PNG")
    if data.rfind(b"IEND\xaeB`\x82") < 0:
        raise HeaderError("is cut short (no end of image); copy it again or remove it")
    return ImageHeader("PNG", height, width, _orientation(_png_chunk(data, b"eXIf")))


def _png_chunk(data: bytes, wanted: bytes) -> bytes:
    position = 8
    while position + 8 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, position)
        if kind == wanted:
            return data[position + 8 : position + 8 + length]
        position += 12 + length
    return b""


def _webp(data: bytes) -> ImageHeader:
    (length,) = struct.unpack_from("<I", data, 4)
    kind, exif = data[12:16], b""
    if kind == b"VP8X":
        if data[20] & 0x02:
            raise HeaderError("is an animated WebP; save the frame you want as JPEG or PNG")
        width = 1 + int.from_bytes(data[24:27], "little")
        height = 1 + int.from_bytes(data[27:30], "little")
        if data[20] & 0x08:
            exif = _riff_chunk(data, b"EXIF")
    elif kind == b"VP8L":
        (bits,) = struct.unpack_from("<I", data, 21)
        width, height = 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    elif kind == b"VP8 ":
        width, height = (value & 0x3FFF for value in struct.unpack_from("<HH", data, 26))
    else:
        raise HeaderError("is a damaged WebP; remove it")
    if len(data) < length + 8:
        raise HeaderError("is cut short; copy it again or remove it")
    return ImageHeader("WebP", height, width, _orientation(exif))


def _riff_chunk(data: bytes, wanted: bytes) -> bytes:
    position = 12
    while position + 8 <= len(data):
        kind, length = struct.unpack_from("<4sI", data, position)
        if kind == wanted:
            return data[position + 8 : position + 8 + length]
        position += 8 + length + length % 2
    return b""


def _bmp(data: bytes) -> ImageHeader:
    (header_size,) = struct.unpack_from("<I", data, 14)
    width, height = struct.unpack_from("<HH" if header_size == 12 else "<ii", data, 18)
    return ImageHeader("BMP", abs(height), width)


def _tiff(data: bytes) -> ImageHeader:
    """The size, said once and in the plain way: of two sizes libtiff would take the other, which may be a bomb's.

    A whole tile is decoded even where the picture is a corner of it, so that its size counts too.
    """
    size = {_WIDTH: 0, _HEIGHT: 0, _TILE_WIDTH: 0, _TILE_HEIGHT: 0}
    for tag, kind, value in _directory(data):
        if tag not in size:
            continue
        if size[tag] or kind not in (_SHORT, _LONG):
            raise HeaderError("is a damaged TIFF (its size is not clear); remove it")
        size[tag] = value
    width, height = size[_WIDTH], size[_HEIGHT]
    if size[_TILE_WIDTH] * size[_TILE_HEIGHT] > max(_PLAIN_TILE, (width + 15) * (height + 15)):
        raise HeaderError("is a damaged TIFF (its tiles are larger than the picture); remove it")
    return ImageHeader("TIFF", height, width)


def _directory(tiff: bytes) -> Iterator[tuple[int, int, int]]:
    """Tag, type and value of each entry of the first directory; a value of any type but SHORT is read as a LONG."""
    order = "<" if tiff[:2] == b"II" else ">"
    (position,) = struct.unpack_from(order + "I", tiff, 4)
    (count,) = struct.unpack_from(order + "H", tiff, position)
    for entry in range(position + 2, position + 2 + 12 * count, 12):
        tag, kind = struct.unpack_from(order + "HH", tiff, entry)
        (value,) = struct.unpack_from(order + ("H" if kind == _SHORT else "I"), tiff, entry + 8)
        yield tag, kind, value


def _orientation(exif: bytes) -> int:
    """What EXIF data says of the orientation, 1 to 8; 1 where it says nothing, or nonsense."""
    exif = exif.removeprefix(_EXIF)
    if exif[:4] not in _TIFF_STARTS:
        return 1
    try:
        for tag, kind, value in _directory(exif):
            if tag == _ORIENTATION and kind in (_SHORT, _LONG):
                return value if 1 <= value <= 8 else 1
    except struct.error:  # damaged EXIF data; the picture may be whole all the same
        pass
    return 1
