"""Damage, drawn from a seed: to bytes, to bundles, and pictures that no camera takes."""

from __future__ import annotations

import io
import random
import shutil
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

BUNDLE_FILES = ("model.tflite", "labels.txt", "MODEL_CARD.md", "self_test.json", "bundle.json")


def damaged(content: bytes, rng: random.Random) -> bytes:
    """Other bytes than `content`: bits flipped, cut, doubled, blanked, filled with noise, or pieces exchanged."""
    while True:
        data = bytearray(content)
        start = rng.randrange(len(data) + 1)
        length = rng.choice([1, 2, 4, 16, 64, 1024])
        kind = rng.randrange(7)
        if kind == 0:
            for _ in range(rng.choice([1, 1, 2, 8, 64])):
                data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        elif kind == 1:
            del data[start:]
        elif kind == 2:
            del data[start : start + length]
        elif kind == 3:
            data[start:start] = data[start : start + length]
        elif kind == 4:
            data[start : start + length] = bytes(min(length, len(data) - start))
        elif kind == 5:
            data[start : start + length] = rng.randbytes(length)
        else:
            other = rng.randrange(len(data) + 1)
            data[start : start + length], data[other : other + length] = (
                data[other : other + length],
                data[start : start + length],
            )
        if bytes(data) != content:
            return bytes(data)


def damage_bundle(bundle: Path, other: Path, target: Path, rng: random.Random) -> str:
    """Put a damaged copy of `bundle` at `target`; `other` is a sound bundle to swap with. Returns what was done."""
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(bundle, target)
    name = rng.choice(BUNDLE_FILES)
    kind = rng.choice(["bytes", "bytes", "bytes", "swap between bundles", "swap within", "missing", "twice"])
    if kind == "swap between bundles":
        shutil.copy(other / name, target / name)
        if (other / name).read_bytes() == (bundle / name).read_bytes():
            kind = "bytes"
    elif kind == "swap within":
        second = rng.choice([file for file in BUNDLE_FILES if file != name])
        shutil.copy(bundle / second, target / name)
        shutil.copy(bundle / name, target / second)
    elif kind == "missing":
        (target / name).unlink()
    elif kind == "twice":
        (target / name).write_bytes((bundle / name).read_bytes() * 2)
    if kind == "bytes":
        (target / name).write_bytes(damaged((bundle / name).read_bytes(), rng))
    return f"{name}: {kind}"


def hostile_images(count: int, rng: random.Random) -> Iterator[tuple[str, bytes]]:
    """`count` files as (name, content): first the special ones, then damaged copies of sound pictures."""
    sound = list(_sound(rng))
    special = [*_wrong_types(), *_bombs(), *_odd_sizes(), *sound]
    yield from special[:count]
    for number in range(count - len(special)):
        name, content = rng.choice(sound)
        yield f"damaged-{number}-{name}", damaged(content, rng)


def _sound(rng: random.Random) -> Iterator[tuple[str, bytes]]:
    """One picture in every format and pixel type that the decoders may meet."""
    noise = np.random.default_rng(rng.randrange(1 << 32)).integers(0, 256, (8, 7, 3), dtype=np.uint8)
    picture = cv2.resize(noise, (70, 80), interpolation=cv2.INTER_CUBIC)
    image = Image.fromarray(picture)
    modes = {"rgb": "RGB", "gray": "L", "bit": "1", "palette": "P", "rgba": "RGBA", "gray-alpha": "LA"}
    for name, mode in modes.items():
        yield f"{name}.png", _saved(image.convert(mode), "PNG")
    for name, mode in (("rgb", "RGB"), ("gray", "L"), ("cmyk", "CMYK")):
        yield f"{name}.jpg", _saved(image.convert(mode), "JPEG")
    yield "progressive.jpg", _saved(image, "JPEG", progressive=True)
    exif = Image.Exif()
    exif[0x0112] = 6
    yield "turned.jpg", _saved(image, "JPEG", exif=exif)
    exif[0x0112] = 77
    yield "turned-nowhere.jpg", _saved(image, "JPEG", exif=exif)
    yield "plain.webp", _saved(image, "WEBP")
    yield "lossless-alpha.webp", _saved(image.convert("RGBA"), "WEBP", lossless=True)
    yield "plain.bmp", _saved(image, "BMP")
    yield "palette.bmp", _saved(image.convert("P"), "BMP")
    yield "cmyk.tif", _saved(image.convert("CMYK"), "TIFF")
    yield "float.tif", _saved(Image.fromarray(picture[..., 0].astype(np.float32)), "TIFF")
    yield "pages.tif", _saved(image, "TIFF", save_all=True, append_images=[image, image])
    yield "deep.png", cv2.imencode(".png", picture.astype(np.uint16) * 257)[1].tobytes()
    yield "animated.png", _saved(image, "PNG", save_all=True, append_images=[image])
    yield "animated.webp", _saved(image, "WEBP", save_all=True, append_images=[Image.fromarray(255 - picture)])
    yield "animated.gif", _saved(image, "GIF", save_all=True, append_images=[image])


def _wrong_types() -> Iterator[tuple[str, bytes]]:
    yield "empty.jpg", b""
    yield "one.jpg", b"\xff"
    yield "text.jpg", b"This is not a photo.\n" * 20
    yield "page.png", b"<html><body>404</body></html>"
    yield "archive.jpg", b"PK\x03\x04" + bytes(200)
    yield "program.png", b"\x7fELF" + bytes(200)
    yield "document.jpg", b"%PDF-1.7\n" + bytes(200)
    yield "film.jpg", b"\0\0\0\x18ftypmp42" + bytes(200)
    yield "phone.heic", b"\0\0\0\x18ftypheic" + bytes(200)
    yield "drawing.png", b'<?xml version="1.0"?><svg xmlns="x" width="99999999" height="99999999"/>'
    yield "zeros.png", bytes(5000)
    for start in (
        b"\xff\xd8\xff",
        b"\x89PNG\r\n\x1a\n",
        b"RIFF\xff\xff\xff\xffWEBP",
        b"BM",
        b"II*\0",
        b"MM\0*",
        b"GIF89a",
    ):
        yield f"only-{start[:2].hex()}.jpg", start
        yield f"filled-{start[:2].hex()}.jpg", start + b"\xff" * 3000


def _bombs() -> Iterator[tuple[str, bytes]]:
    """Small files that say, or are, hundreds of megapixels."""
    yield "claims-big.png", _png(60_000, 60_000, 2, b"\0" * 100)
    yield "claims-most.png", _png(0x7FFFFFFF, 0x7FFFFFFF, 6, b"\0" * 100)
    yield "is-big.png", _png(20_000, 20_000, 0, bytes(20_001) * 20_000)
    yield "under-the-limit-cut.png", _png(7_000, 7_000, 2, b"\0" * 1000)
    yield "is-49-megapixels.png", _png(7_000, 7_000, 0, bytes(7_001) * 7_000)
    yield (
        "claims-big.bmp",
        b"BM" + struct.pack("<IHHIIiiHHIIiiII", 1000, 0, 0, 54, 40, 99_999, 99_999, 1, 24, 0, 0, 0, 0, 0, 0),
    )
    yield "negative.bmp", b"BM" + struct.pack("<IHHIIiiHHIIiiII", 1000, 0, 0, 54, 40, -64, -64, 1, 24, 0, 0, 0, 0, 0, 0)
    picture = Image.new("RGB", (64, 64))
    jpeg = bytearray(_saved(picture, "JPEG"))
    place = jpeg.index(b"\xff\xc0")
    jpeg[place + 5 : place + 9] = b"\xff\xff\xff\xff"
    yield "claims-big.jpg", bytes(jpeg)
    jpeg[place + 5 : place + 9] = b"\x1b\x58\x1b\x58"
    yield "claims-49-megapixels.jpg", bytes(jpeg)


def _odd_sizes() -> Iterator[tuple[str, bytes]]:
    for width, height in ((1, 1), (2, 300), (300, 2), (15, 15), (16, 16), (16, 30_000), (30_000, 16), (17, 4000)):
        yield f"{width}x{height}.png", _saved(Image.new("RGB", (width, height), (90, 80, 70)), "PNG")
        yield f"{width}x{height}.jpg", _saved(Image.new("L", (width, height), 90), "JPEG")


def _saved(image: Image.Image, kind: str, **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def _png(width: int, height: int, color: int, rows: bytes) -> bytes:
    """A PNG whose header says width x height, over these rows, compressed."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", width, height, 8, color, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows, 9)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body
