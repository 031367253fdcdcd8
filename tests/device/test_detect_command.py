"""`edgeface detect`: where the faces go, and what it says of photos that are none."""

from __future__ import annotations

import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from edgeface.cli import app
from edgeface.cli.detect import face_places


@pytest.fixture
def folder(tmp_path: Path, tiny_photos: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> Path:
    """`a/1.png`, `b/1.png`, `c/1.bmp` and `c/1.png`, in the working folder."""
    for number, name in enumerate(("a/1.png", "b/1.png", "c/1.bmp", "c/1.png")):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        cv2.imwrite(str(tmp_path / name), tiny_photos[number])
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("photos", "places"),
    [
        (["a"], ["1.png"]),
        (["a/1.png"], ["1.png"]),
        (["a/1.png", "b/1.png"], ["a/1.png", "b/1.png"]),
        (["a", "b"], ["a/1.png", "b/1.png"]),
        (["c"], ["1.png", "1-2.png"]),
        (["c/1.png", "c/1.bmp", "c/1.png"], ["1.png", "1-2.png"]),
        (["."], ["a/1.png", "b/1.png", "c/1.png", "c/1-2.png"]),
        (["a", "b/../a", "other/a"], ["a/1.png", "a/1-2.png"]),
    ],
)
def test_no_face_goes_over_another(folder: Path, photos: list[str], places: list[str]) -> None:
    shutil.copytree(folder / "b", folder / "other" / "a") if "other/a" in photos else None
    found = [place for _, place in face_places([Path(photo) for photo in photos])]
    assert found == [Path(place) for place in places]


def test_the_faces_of_two_folders_are_written_and_counted(folder: Path) -> None:
    arguments = ["detect", "a", "b", "c", "--out", "faces", "--detector", "none"]
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0, done.output
    assert "4 faces written to faces" in done.stderr
    written = sorted(str(path.relative_to("faces")) for path in Path("faces").rglob("*.png"))
    assert written == ["a/1.png", "b/1.png", "c/1-2.png", "c/1.png"]


def test_what_is_no_photo_is_not_called_a_photo_without_a_face(folder: Path) -> None:
    Path("labels.txt").write_text("ann\n")
    for name, reason in (("nosuch", "cannot be read"), ("labels.txt", "not a")):
        done = CliRunner().invoke(app, ["detect", name])
        assert done.exit_code == 2
        assert done.stderr.startswith(f"error: {name}: ")
        assert reason in done.stderr
        assert "no face found" not in done.stderr
    done = CliRunner().invoke(app, ["detect", "nosuch", "labels.txt"])
    assert done.stderr.splitlines()[-1] == "error: none of the 2 photos could be read; give JPEG or PNG photos"
