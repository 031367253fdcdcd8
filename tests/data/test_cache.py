"""The image cache: what it returns, when it is reused or rebuilt, and where it lies."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from edgeface.data import cache
from edgeface.data.cache import cache_root, cached_images
from edgeface.data.images import read_image
from edgeface.data.layouts import default_face_input, load_dataset
from edgeface.errors import DataError, ImageError, StorageError
from edgeface.face_input import FaceInput


def test_round_trip(faces: Path) -> None:
    dataset, face_input = load_dataset(faces), FaceInput(48)
    images, labels, paths = cached_images(dataset, "val", face_input)
    assert images.shape == (8, 48, 48, 3)
    assert images.dtype == np.uint8
    assert labels.dtype == np.int32
    assert labels.tolist() == [0, 0, 1, 1, 2, 2, 3, 3]
    for image, path in zip(images, paths, strict=True):
        assert np.array_equal(image, face_input.prepare(read_image(path)))


def test_nobody_else_may_read_the_faces(faces: Path) -> None:
    dataset = load_dataset(faces)
    cached_images(dataset, "val", FaceInput(32))
    (folder,) = cache.cache_root(dataset).iterdir()
    assert folder.stat().st_mode & 0o777 == 0o700
    assert {file.stat().st_mode & 0o777 for file in folder.iterdir()} == {0o600}
    folder.chmod(0o755)  # as earlier versions left it
    cached_images(dataset, "val", FaceInput(32))
    assert folder.stat().st_mode & 0o777 == 0o700


def test_faces_that_were_removed_go_when_a_new_cache_is_made(faces: Path) -> None:
    for split, size in (("val", 32), ("val", 40), ("train", 32)):
        cached_images(load_dataset(faces), split, FaceInput(size))
    before = {folder.name for folder in cache_root(load_dataset(faces)).iterdir()}
    next((faces / "val").rglob("*.jpg")).unlink()
    cached_images(load_dataset(faces), "val", FaceInput(32))
    after = {folder.name for folder in cache_root(load_dataset(faces)).iterdir()}
    (gone,) = before - after
    assert gone.startswith("val-32px-")
    assert len(after) == 3


def test_second_use_reads_no_photo(faces: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = load_dataset(faces)
    first, _, _ = cached_images(dataset, "train", FaceInput(32))
    monkeypatch.setattr(cache, "read_image", lambda _: pytest.fail("read a photo again"))
    again, _, _ = cached_images(load_dataset(faces), "train", FaceInput(32))
    assert np.array_equal(first, again)
    with pytest.raises(ValueError, match="read-only"):
        again[0, 0, 0, 0] = 1


def test_changed_photo_of_equal_size_is_read_again(faces: Path) -> None:
    dataset = load_dataset(faces)
    before = np.array(cached_images(dataset, "train", FaceInput(32))[0])
    one, other = dataset.of("train")[0].path, dataset.of("train")[9].path
    size = max(one.stat().st_size, other.stat().st_size)
    for path in (one, other):
        path.write_bytes(path.read_bytes().ljust(size, b"\0"))
    a, b = one.read_bytes(), other.read_bytes()
    middle = np.array(cached_images(dataset, "train", FaceInput(32))[0])
    assert np.array_equal(before, middle)
    one.write_bytes(b)
    other.write_bytes(a)
    for path in (one, other):
        os.utime(path, ns=(1, 1))
    after, _, _ = cached_images(dataset, "train", FaceInput(32))
    assert np.array_equal(after[0], before[9])


@pytest.mark.parametrize("damage", ["cut", "json", "gone"])
def test_damaged_cache_is_rebuilt(faces: Path, damage: str) -> None:
    dataset = load_dataset(faces)
    good = np.array(cached_images(dataset, "val", FaceInput(32))[0])
    (folder,) = (faces / ".edgeface-cache").iterdir()
    if damage == "cut":
        os.truncate(folder / "images.bin", 100)
    elif damage == "json":
        (folder / "index.json").write_text("{")
    else:
        (folder / "images.bin").unlink()
    assert np.array_equal(cached_images(dataset, "val", FaceInput(32))[0], good)


def test_bad_photos_are_counted_or_refused(faces: Path, capsys: pytest.CaptureFixture) -> None:
    (faces / "train/person_01/0001.jpg").write_bytes(b"")
    dataset = load_dataset(faces)
    for _ in range(2):  # also when it comes from the cache
        images, labels, paths = cached_images(dataset, "train", FaceInput(32))
        assert len(images) == len(labels) == len(paths) == 19
        error = capsys.readouterr().err
        assert "left out 1 of 20 photos (train)" in error
        assert "0001.jpg: is empty" in error
    assert labels.tolist().count(1) == 4
    with pytest.raises(ImageError, match="is empty"):
        cached_images(dataset, "train", FaceInput(32), strict=True)


def test_a_photo_that_can_be_read_again_is_no_longer_left_out(
    faces: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    """A disk that failed for a moment, or a permission: neither changes the photo's size or time."""
    dataset = load_dataset(faces)
    broken = dataset.of("val")[2].path

    def fails(path: Path) -> np.ndarray:
        if path == broken:
            raise ImageError(f"{path}: cannot be read: Input/output error")
        return read_image(path)

    with monkeypatch.context() as patch:
        patch.setattr(cache, "read_image", fails)
        assert len(cached_images(dataset, "val", FaceInput(32))[0]) == 7
        assert len(cached_images(dataset, "val", FaceInput(32))[0]) == 7
    assert "left out 1 of 8 photos" in capsys.readouterr().err
    assert len(cached_images(dataset, "val", FaceInput(32))[0]) == 8
    assert capsys.readouterr().err == ""


def test_no_usable_photo(faces: Path) -> None:
    for photo in (faces / "val").rglob("*.jpg"):
        photo.write_bytes(b"nothing")
    with pytest.raises(DataError, match="no usable photo in split 'val'"):
        cached_images(load_dataset(faces), "val", FaceInput(32))


def test_photos_outside_the_frame_are_left_out(lists: Path) -> None:
    photo = lists / "train/00002.jpg"
    dataset = load_dataset(lists)
    face_input = default_face_input(dataset, 32)
    photo.write_bytes((Path(__file__).parent / "nothing").name.encode())
    messages: list[str] = []
    images, _, _ = cached_images(load_dataset(lists), "train", face_input, warn=messages.append)
    assert len(images) == 5
    assert len(messages) == 1


def test_unlabelled_photos_have_label_minus_one(faces: Path) -> None:
    (faces / "test").mkdir()
    (faces / "train/person_00/0000.jpg").rename(faces / "test/0000.jpg")
    _, labels, _ = cached_images(load_dataset(faces), "test", FaceInput(32))
    assert labels.tolist() == [-1]


def test_read_only_dataset_is_cached_elsewhere(faces: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
    dataset = load_dataset(faces)
    assert cache_root(dataset) == faces.resolve() / ".edgeface-cache"
    faces.chmod(0o555)
    try:
        cached_images(dataset, "val", FaceInput(32))
        assert not (faces / ".edgeface-cache").exists()
        assert len(list((tmp_path / "home/edgeface").iterdir())) == 1
    finally:
        faces.chmod(0o755)


def test_interrupted_or_full_disk_leaves_nothing(faces: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = load_dataset(faces)
    calls = []

    def full(path: Path) -> np.ndarray:
        calls.append(path)
        if len(calls) > 3:
            raise OSError(28, "No space left on device")
        return read_image(path)

    monkeypatch.setattr(cache, "read_image", full)
    with pytest.raises(StorageError, match="No space left"):
        cached_images(dataset, "val", FaceInput(32))
    assert list((faces / ".edgeface-cache").iterdir()) == []


def test_a_terminal_shows_how_far_the_reading_is(
    faces: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    cached_images(load_dataset(faces), "train", FaceInput(32))
    assert capsys.readouterr().err == ""
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    monkeypatch.setattr("edgeface.progress.PAUSE", 0.0)
    cached_images(load_dataset(faces), "val", FaceInput(32))
    shown = capsys.readouterr().err.split("\r")
    assert shown[1].startswith("reading photos (val): 1 of 8")
    assert any(line.startswith("reading photos (val): 8 of 8, 0 s left") for line in shown)
    assert shown[-1] == "\033[K"


def test_caches_unused_for_a_month_go_when_a_new_one_is_made(faces: Path) -> None:
    dataset = load_dataset(faces)
    for size in (32, 36):
        cached_images(dataset, "val", FaceInput(size))
    old, used = sorted(cache_root(dataset).iterdir())
    month_ago = old.stat().st_mtime - 31 * 24 * 3600
    for folder in (old, used):
        os.utime(folder, (month_ago, month_ago))
    cached_images(dataset, "val", FaceInput(36))
    assert old.is_dir()
    cached_images(dataset, "val", FaceInput(40))
    assert not old.exists()
    assert used.is_dir()


def test_what_a_killed_build_left_goes_after_a_month(faces: Path) -> None:
    dataset = load_dataset(faces)
    cached_images(dataset, "val", FaceInput(32))
    left, fresh = (cache_root(dataset) / f".val-96px-{name}" for name in ("old", "new"))
    for folder in (left, fresh):
        folder.mkdir()
        (folder / "images.bin").write_bytes(b"faces")
    os.utime(left, (left.stat().st_mtime - 31 * 24 * 3600,) * 2)
    cached_images(dataset, "val", FaceInput(36))
    assert not left.exists()
    assert fresh.is_dir()


def test_what_another_process_is_making_stays(faces: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two runs that begin together make the same cache."""
    dataset = load_dataset(faces)
    cached_images(dataset, "train", FaceInput(16))
    (folder,) = cache_root(dataset).iterdir()
    written = folder.with_name(f".{folder.name}-abc")
    shutil.copytree(folder, written)
    opened, built = cache._open, []

    def first_time_missing(*arguments):
        """The other process finishes it after this one looked."""
        return opened(*arguments) if built else None

    def build(path: Path, *arguments) -> None:
        built.append(path.is_dir() and written.is_dir())

    monkeypatch.setattr(cache, "_open", first_time_missing)
    monkeypatch.setattr(cache, "_build", build)
    cached_images(dataset, "train", FaceInput(16))
    assert built == [True]
