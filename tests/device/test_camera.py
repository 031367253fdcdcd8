"""Frames: the newest of a camera, a camera that goes away, a video that ends."""

from __future__ import annotations

import time
from pathlib import Path

import cv2
import numpy as np
import pytest

from edgeface import camera
from edgeface.camera import frames
from edgeface.errors import CameraError


class FakeCamera:
    """Gives numbered frames every 2 ms, `count` of them, then none: a camera whose plug was pulled."""

    def __init__(self, count: int) -> None:
        self.number, self.count, self.released = 0, count, False

    def read(self):
        time.sleep(0.002)
        self.number += 1
        return self.number <= self.count, np.full((20, 20, 3), self.number % 256, np.uint8)

    def release(self) -> None:
        self.released = True


def test_a_camera_gives_its_newest_frame_and_its_end_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = FakeCamera(60)
    monkeypatch.setattr(camera, "_open", lambda source: fake)
    numbers: list[int] = []

    def look() -> None:
        for frame in frames("3", max_fps=1000):
            numbers.append(frame.number)
            assert frame.image[0, 0, 0] == frame.number + 1
            time.sleep(0.02)  # a slow recogniser

    with pytest.raises(CameraError, match="camera 3: gives no more frames"):
        look()
    assert numbers == sorted(set(numbers))
    assert len(numbers) < 40  # the others were dropped
    assert fake.released


def test_a_number_that_no_camera_can_have_is_refused() -> None:
    for number in (str(2**31), "99999999999999999999"):
        with pytest.raises(CameraError, match=f"{number}: no camera has such a number"):
            frames(number)


def test_leaving_early_lets_the_camera_go(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = FakeCamera(1000)
    monkeypatch.setattr(camera, "_open", lambda source: fake)
    stream = frames("0")
    next(stream)
    stream.close()
    assert fake.released


def test_a_video_ends_and_a_folder_gives_each_photo_once(tmp_path: Path) -> None:
    video = tmp_path / "v.avi"
    writer = cv2.VideoWriter(str(video), cv2.VideoWriter_fourcc(*"MJPG"), 100, (64, 48))
    for number in range(10):
        writer.write(np.full((48, 64, 3), 20 * number, np.uint8))
    writer.release()
    seen = list(frames(str(video), max_fps=1000))
    assert 1 <= len(seen) <= 10
    assert seen[0].image.shape == (48, 64, 3)
    folder = tmp_path / "photos"
    folder.mkdir()
    with pytest.raises(CameraError, match="holds no photos"):
        list(frames(str(folder)))
    for name in ("b.png", "a.png"):
        cv2.imwrite(str(folder / name), np.zeros((32, 32, 3), np.uint8))
    (folder / "c.jpg").write_bytes(b"no photo")
    found = list(frames(str(folder), max_fps=1000))
    assert [Path(frame.name).name for frame in found] == ["a.png", "b.png", "c.jpg"]
    assert found[2].image is None
    assert "c.jpg" in found[2].error


@pytest.mark.parametrize(("rate", "expected"), [(25, [0, 3, 6, 9, 12]), (30, [0, 3, 6, 9, 12, 15])])
def test_a_video_is_not_shown_more_often_than_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rate: int, expected: list[int]
) -> None:
    """10 a second of half a second; the clock stands, so that no frame is late."""
    video = tmp_path / "v.avi"
    writer = cv2.VideoWriter(str(video), cv2.VideoWriter_fourcc(*"MJPG"), rate, (64, 48))
    for number in range(16 if rate == 30 else 13):
        writer.write(np.full((48, 64, 3), 10 * number, np.uint8))
    writer.release()
    monkeypatch.setattr(camera, "_wait_until", lambda moment: None)
    monkeypatch.setattr(camera.time, "monotonic", lambda: 0.0)
    assert [frame.number for frame in frames(str(video), max_fps=10)] == expected


def test_a_single_photo_is_read_as_a_photo_and_text_is_no_video(tmp_path: Path) -> None:
    """A JPEG that EXIF says lies on its side is turned, with and without a suffix, as in a folder."""
    wide = cv2.imencode(".jpg", np.zeros((40, 60, 3), np.uint8))[1].tobytes()
    tiff = b"II*\0\x08\0\0\0" + b"\x01\0" + b"\x12\x01\x03\0\x01\0\0\0\x06\0\0\0" + bytes(4)
    exif = b"Exif\0\0" + tiff
    turned = wide[:2] + b"\xff\xe1" + (len(exif) + 2).to_bytes(2, "big") + exif + wide[2:]
    for name in ("photo.jpg", "photo"):
        (tmp_path / name).write_bytes(turned)
        (frame,) = frames(str(tmp_path / name))
        assert frame.image.shape == (60, 40, 3)
    (tmp_path / "cut.jpg").write_bytes(wide[:200])
    (bad,) = frames(str(tmp_path / "cut.jpg"))
    assert bad.image is None
    assert "cut.jpg" in bad.error
    (tmp_path / "labels.txt").write_text("ann\nbob\n" * 20)
    with pytest.raises(CameraError, match=r"labels\.txt: is not a video"):
        list(frames(str(tmp_path / "labels.txt"), max_fps=1000))
