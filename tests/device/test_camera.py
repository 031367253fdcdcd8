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
