"""Reading photos: what is converted, what is refused, and how the refusal reads."""

from __future__ import annotations

import os
import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest

from edgeface.data import images
from edgeface.data.images import decode_image, encode_image, image_size, read_image
from edgeface.errors import ImageError

SMOOTH = cv2.resize(np.random.default_rng(0).integers(0, 256, (5, 4, 3), dtype=np.uint8), (80, 100))


def saved(tmp_path: Path, data: bytes, name: str = "photo.jpg") -> Path:
    path = tmp_path / name
    path.write_bytes(data)
    return path


def pillow(image, **options: object) -> bytes:
    import io

    file = io.BytesIO()
    image.save(file, **options)
    return file.getvalue()


def tiff(*entries: tuple[int, int], pixels: bytes = b"") -> bytes:
    """A TIFF of those tags, each a LONG, in the order given, with the pixels at byte 8."""
    directory = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in entries)
    start = struct.pack("<4sI", b"II*\0", 8 + len(pixels))
    return start + pixels + struct.pack("<H", len(entries)) + directory + bytes(4)


def with_orientation(image: np.ndarray, orientation: int, kind: str) -> bytes:
    """The picture as stored, in a file whose EXIF data (or, in a TIFF, tag) gives the orientation."""
    if kind != "tiff":
        return with_exif(image, tiff((0x0112, orientation)), kind)
    height, width = image.shape[:2]
    layout = ((258, 8), (262, 2), (273, 8), (274, orientation), (277, 3), (278, height), (279, image.size))
    return tiff((256, width), (257, height), *layout, pixels=image.tobytes())


def with_exif(image: np.ndarray, exif: bytes, kind: str) -> bytes:
    if kind == "png":
        data = encode_image(image, ".png")
        chunk = struct.pack(">I", len(exif)) + b"eXIf" + exif + struct.pack(">I", zlib.crc32(b"eXIf" + exif))
        return data[:33] + chunk + data[33:]
    if kind == "webp":
        sides = b"".join((side - 1).to_bytes(3, "little") for side in image.shape[1::-1])
        canvas = b"VP8X" + struct.pack("<II", 10, 0x08) + sides
        body = b"WEBP" + canvas + encode_image(image, ".webp")[12:] + b"EXIF" + struct.pack("<I", len(exif)) + exif
        return b"RIFF" + struct.pack("<I", len(body)) + body
    segments = [b"Exif\0\0" + exif]
    if kind == "jpeg after xmp":
        segments.insert(0, b"http://ns.adobe.com/xap/1.0/\0<x:xmpmeta xmlns:x='adobe:ns:meta/'/>")
    data = encode_image(image, ".jpg", 100)
    inserted = b"".join(b"\xff\xe1" + struct.pack(">H", len(segment) + 2) + segment for segment in segments)
    return data[:2] + inserted + data[2:]


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".tiff"])
def test_lossless_formats_come_back_as_rgb(suffix: str, tmp_path: Path) -> None:
    path = saved(tmp_path, encode_image(SMOOTH, suffix), f"photo{suffix}")
    assert np.array_equal(read_image(path), SMOOTH)
    assert image_size(path) == (100, 80)


@pytest.mark.parametrize("suffix", [".jpg", ".webp"])
def test_lossy_formats_come_back_close(suffix: str) -> None:
    decoded = decode_image(encode_image(SMOOTH, suffix))
    assert decoded.shape == SMOOTH.shape
    assert np.abs(decoded.astype(int) - SMOOTH).mean() < 4


def test_gray_and_16_bit_and_transparency_become_rgb_uint8() -> None:
    gray = cv2.cvtColor(SMOOTH, cv2.COLOR_RGB2GRAY)
    assert np.array_equal(decode_image(cv2.imencode(".png", gray)[1].tobytes()), np.repeat(gray[..., None], 3, 2))
    deep = cv2.cvtColor(SMOOTH, cv2.COLOR_RGB2BGR).astype(np.uint16) * 257
    for suffix in (".png", ".tiff"):
        assert np.abs(decode_image(cv2.imencode(suffix, deep)[1].tobytes()).astype(int) - SMOOTH).max() <= 1
    four = np.dstack([cv2.cvtColor(SMOOTH, cv2.COLOR_RGB2BGR), np.full((100, 80), 128, np.uint8)])
    assert np.array_equal(decode_image(cv2.imencode(".png", four)[1].tobytes()), SMOOTH)


def test_cmyk_jpeg_keeps_its_colours() -> None:
    pil = pytest.importorskip("PIL.Image")
    data = pillow(pil.fromarray(SMOOTH).convert("CMYK"), format="JPEG", quality=95)
    assert np.abs(decode_image(data).astype(int) - SMOOTH).mean() < 6


def test_exif_orientation_turns_the_photo_upright() -> None:
    data = encode_image(SMOOTH, ".jpg", 100)
    tiff = b"MM\0*" + struct.pack(">IHHHIHHI", 8, 1, 0x0112, 3, 1, 6, 0, 0)
    segment = b"Exif\0\0" + tiff
    turned = data[:2] + b"\xff\xe1" + struct.pack(">H", len(segment) + 2) + segment + data[2:]
    upright = decode_image(turned)
    assert upright.shape == (80, 100, 3)
    assert np.abs(upright.astype(int) - np.rot90(SMOOTH, -1)).mean() < 3


@pytest.mark.parametrize("kind", ["jpeg", "jpeg after xmp", "png", "webp", "tiff"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_orientation_in_every_format_is_turned_upright(orientation: int, kind: str) -> None:
    # EXIF says at which sides of the upright picture the stored row 0 and column 0 are.
    stored = SMOOTH[::-1] if orientation in (3, 4, 7, 8) else SMOOTH  # bottom
    stored = stored[:, ::-1] if orientation in (2, 3, 6, 7) else stored  # right
    stored = stored.swapaxes(0, 1) if orientation >= 5 else stored  # row 0 is a column
    upright = decode_image(with_orientation(np.ascontiguousarray(stored), orientation, kind))
    assert upright.shape == SMOOTH.shape
    assert np.abs(upright.astype(int) - SMOOTH).mean() < 4


@pytest.mark.parametrize("kind", ["jpeg", "png", "webp"])
def test_orientations_that_are_nonsense_or_damaged_change_nothing(kind: str) -> None:
    for orientation in (0, 9, 2**32 - 1):
        assert decode_image(with_orientation(SMOOTH, orientation, kind)).shape == SMOOTH.shape
    for exif in (b"II*\0\xff\xff\0\0", tiff((0x0112, 6))[:15], b"dear diary"):
        assert decode_image(with_exif(SMOOTH, exif, kind)).shape == SMOOTH.shape


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP"])
def test_animations_are_refused(kind: str) -> None:
    pil = pytest.importorskip("PIL.Image")
    frames = [pil.fromarray(SMOOTH), pil.fromarray(255 - SMOOTH)]
    data = pillow(frames[0], format=kind, save_all=True, append_images=frames[1:])
    with pytest.raises(ImageError, match="animated"):
        decode_image(data)


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".bmp", ".tiff"])
@pytest.mark.parametrize("share", [0.02, 0.3, 0.9, 0.99])
def test_cut_short_files_are_refused(suffix: str, share: float, tmp_path: Path, capfd: pytest.CaptureFixture) -> None:
    data = encode_image(SMOOTH, suffix)
    path = saved(tmp_path, data[: max(1, int(len(data) * share))], f"photo{suffix}")
    with pytest.raises(ImageError, match="photo") as caught:
        read_image(path)
    assert str(path) in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1
    assert capfd.readouterr().err == ""


def test_damaged_jpeg_data_is_noticed_and_libjpeg_kept_quiet(capfd: pytest.CaptureFixture) -> None:
    data = bytearray(encode_image(SMOOTH, ".jpg"))
    data[len(data) // 2 : -2] = bytes(len(data) - 2 - len(data) // 2)
    with pytest.raises(ImageError, match="damaged"):
        decode_image(bytes(data))
    assert capfd.readouterr().err == ""


def test_bytes_after_the_end_of_a_jpeg_do_no_harm() -> None:
    assert decode_image(encode_image(SMOOTH, ".jpg") + bytes(1000)).shape == SMOOTH.shape


def test_thumbnail_in_exif_does_not_hide_a_cut() -> None:
    data = encode_image(SMOOTH, ".jpg")
    thumbnail = encode_image(SMOOTH[:20, :20], ".jpg")
    segment = b"Exif\0\0" + thumbnail
    whole = data[:2] + b"\xff\xe1" + struct.pack(">H", len(segment) + 2) + segment + data[2:]
    assert decode_image(whole).shape == SMOOTH.shape
    with pytest.raises(ImageError, match="cut short"):
        decode_image(whole[:-40])


def test_zero_bytes_tiny_images_text_and_folders_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="empty"):
        read_image(saved(tmp_path, b""))
    with pytest.raises(ImageError, match="1x1, under 16 pixels"):
        read_image(saved(tmp_path, encode_image(SMOOTH[:1, :1], ".png")))
    with pytest.raises(ImageError, match="is not a JPEG"):
        read_image(saved(tmp_path, b"dear diary" * 10))
    with pytest.raises(ImageError, match="HEIC"):
        read_image(saved(tmp_path, b"\0\0\0\x18ftypheic" + bytes(40)))
    with pytest.raises(ImageError, match="not a file"):
        read_image(tmp_path)
    with pytest.raises(ImageError, match="No such file"):
        read_image(tmp_path / "absent.jpg")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_named_pipe_does_not_hang(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")
    with pytest.raises(ImageError, match="not a file"):
        read_image(tmp_path / "pipe.jpg")


def test_image_bombs_are_refused_before_decoding(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def png(width: int, height: int) -> bytes:
        def chunk(kind: bytes, body: bytes) -> bytes:
            return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

        header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
        return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")

    jpeg = bytearray(encode_image(SMOOTH, ".jpg"))
    place = jpeg.find(b"\xff\xc0") + 5
    jpeg[place : place + 4] = struct.pack(">HH", 14_000, 15_000)
    monkeypatch.setattr(images.cv2, "imdecode", lambda *_: pytest.fail("decoded a bomb"))
    for data in (png(20_000, 10_000), png(2**31 - 1, 2**31 - 1), bytes(jpeg)):
        with pytest.raises(ImageError, match="over 50 megapixels"):
            read_image(saved(tmp_path, data))


@pytest.mark.parametrize(
    "entries",
    [
        ((256, 20_000), (256, 100), (257, 20_000), (257, 100)),  # libtiff takes the first, other readers the last
        ((256, 100), (257, 100), (322, 16_000), (323, 16_000)),  # a corner of one huge tile
    ],
)
def test_a_tiff_that_hides_its_size_is_refused(entries: tuple, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images.cv2, "imdecode", lambda *_: pytest.fail("decoded a bomb"))
    with pytest.raises(ImageError, match=r"photo\.tif: is a damaged TIFF"):
        decode_image(tiff(*entries), "photo.tif")
    elsewhere = tiff((256, 100), (257, 100)).replace(struct.pack("<HH", 257, 4), struct.pack("<HH", 257, 16))
    with pytest.raises(ImageError, match="its size is not clear"):  # LONG8: the number is an offset
        decode_image(elsewhere)


def test_a_size_that_is_hidden_from_this_parser_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    real = images.cv2.imdecode
    monkeypatch.setattr(images.cv2, "imdecode", lambda *_: pytest.fail("decoded a bomb"))
    jpeg, png = encode_image(SMOOTH, ".jpg"), encode_image(SMOOTH, ".png")
    with pytest.raises(ImageError, match="damaged JPEG"):
        decode_image(jpeg[:2] + b"\xff\0\0\x08hidden" + jpeg[2:])
    chunk = b"prIv" + struct.pack(">II", 100, 100)
    with pytest.raises(ImageError, match="damaged PNG"):
        decode_image(png[:8] + struct.pack(">I", 8) + chunk + struct.pack(">I", zlib.crc32(chunk)) + png[8:])
    monkeypatch.setattr(images.cv2, "imdecode", lambda *_: real(*_)[:50])
    with pytest.raises(ImageError, match="not the one in its header"):
        decode_image(png)


def test_random_damage_never_raises_anything_but_image_error(capfd: pytest.CaptureFixture) -> None:
    rng = np.random.default_rng(1)
    for suffix in (".jpg", ".png", ".webp", ".bmp", ".tiff"):
        clean = encode_image(SMOOTH, suffix)
        for _ in range(60):
            data = bytearray(clean)
            for place in rng.integers(0, len(data), 8):
                data[place] = rng.integers(256)
            try:
                image = decode_image(bytes(data[: rng.integers(1, len(data) + 1)]))
            except ImageError:
                continue
            assert image.dtype == np.uint8
            assert image.ndim == 3
    assert capfd.readouterr().err == ""


def test_unknown_format_to_write() -> None:
    with pytest.raises(ImageError, match=r"\.xyz"):
        encode_image(SMOOTH, ".xyz")
