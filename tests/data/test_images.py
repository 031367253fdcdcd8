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
