"""One gallery in several hands: rebuilt, changed or closed by another while it is in use."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest

from edgeface import gallery_file
from edgeface.bundle import Bundle
from edgeface.errors import GalleryError, StorageError
from edgeface.gallery import Gallery, create_gallery
from edgeface.gallery_transfer import export_gallery, import_gallery, rebuild
from edgeface.search import Templates

PHOTO = cv2.imencode(".png", np.zeros((32, 32, 3), np.uint8))[1].tobytes()


@pytest.fixture
def gallery(tmp_path: Path, opened: Bundle):
    """Of ann and bob, photos kept."""
    with create_gallery(tmp_path / "door.gallery", opened, keep_photos=True) as gallery:
        for place, name in enumerate(("ann", "bob")):
            gallery.enroll(name, axis(opened, place), ["a.png"], [PHOTO])
        yield gallery


def axis(bundle: Bundle, place: int) -> np.ndarray:
    return np.eye(bundle.embedding_size, dtype=np.float32)[[place]]


def other_reader(bundle: Bundle, *, flip: bool = False, meanwhile: Callable[[], object] = lambda: None) -> Any:
    """A reader with another model, which sees the same vector in every photo."""

    def vector(photo: np.ndarray, name: str) -> np.ndarray:
        meanwhile()
        return axis(bundle, 5)[0]

    other = replace(bundle, files={**bundle.files, "model.tflite": {"size": 1, "sha256": "f" * 64}})
    return SimpleNamespace(bundle=other, reading=SimpleNamespace(flip=flip, detector="none"), vector=vector)


def test_a_gallery_that_another_rebuilt_is_not_used_with_the_old_model(
    gallery: Gallery, opened: Bundle, tmp_path: Path
) -> None:
    gallery.nearest(axis(opened, 0))
    with Gallery(gallery.path) as second:
        rebuild(second, other_reader(opened))
        assert second.nearest(axis(opened, 5))[0][0].similarity == 1
    for use in (
        lambda: gallery.nearest(axis(opened, 0)),
        lambda: gallery.nearest(axis(opened, 0)),  # not only the first time
        lambda: gallery.enroll("eve", axis(opened, 3), ["e"]),
        lambda: gallery.enroll_all([("eve", axis(opened, 3), ["e"])]),
        lambda: export_gallery(gallery, tmp_path / "people.json"),
        lambda: rebuild(gallery, other_reader(opened)),
    ):
        with pytest.raises(GalleryError, match=r"door\.gallery: was rebuilt for another model .*open it again"):
            use()
    gallery.reload()
    assert [person.name for person in gallery.people()] == ["ann", "bob"]
    assert gallery.nearest(axis(opened, 5))[0][0].similarity == 1


def test_a_gallery_rebuilt_for_the_same_model_with_flip_is_another(gallery: Gallery, opened: Bundle) -> None:
    with Gallery(gallery.path) as second:
        same = other_reader(opened, flip=True)
        same.bundle = opened
        rebuild(second, same)
    with pytest.raises(GalleryError, match="was rebuilt"):
        gallery.templates()


@pytest.mark.parametrize("enrolled", [True, False])
def test_people_who_change_while_a_gallery_is_rebuilt(gallery: Gallery, opened: Bundle, enrolled: bool) -> None:
    """One gone and one come: as many templates as before, but not the same ones."""
    with Gallery(gallery.path) as second:

        def meanwhile() -> None:
            if len(second.people()) == 2 and second.people()[1].name == "bob":
                second.remove("bob")
                if enrolled:
                    second.enroll("eve", axis(opened, 3), ["e"], [PHOTO])

        with pytest.raises(GalleryError, match="meanwhile; rebuild again"):
            rebuild(gallery, other_reader(opened, meanwhile=meanwhile))
    gallery.accept(opened)
    assert gallery.nearest(axis(opened, 0))[0][0].name == "ann"


def test_misuse_is_not_called_damage(gallery: Gallery) -> None:
    caught: list[BaseException] = []

    def ask() -> None:
        try:
            gallery.people()
        except Exception as error:
            caught.append(error)

    thread = threading.Thread(target=ask)
    thread.start()
    thread.join()
    gallery.close()
    ask()
    assert [type(error).__name__ for error in caught] == ["ProgrammingError"] * 2
    assert "thread" in str(caught[0])
    assert "closed" in str(caught[1])


@pytest.mark.parametrize("change", ["remove", "rebuild"])
def test_a_stale_index_is_overwritten_and_removed(
    gallery: Gallery, opened: Bundle, change: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    index, left = gallery.file.index_path, []
    index.write_bytes(b"templates of ann")
    unlink = Path.unlink
    monkeypatch.setattr(Path, "unlink", lambda path, **how: (left.append(path.read_bytes()), unlink(path, **how)))
    if change == "remove":
        gallery.remove("ann")
    else:
        rebuild(gallery, other_reader(opened))
    assert left == [bytes(16)]
    assert not index.exists()


def test_a_gallery_that_cannot_be_written_is_read(
    gallery: Gallery, opened: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No file appears beside it, and changing it is refused. While somebody writes, the log is needed."""
    path = gallery.path
    monkeypatch.setattr(gallery_file.os, "access", lambda place, mode: Path(place) != path.parent)
    assert Path(f"{path}-wal").exists()
    assert not gallery_file.is_read_only(path)
    gallery.close()
    assert gallery_file.is_read_only(path)
    with Gallery(path) as read:
        assert [person.name for person in read.people()] == ["ann", "bob"]
        assert read.nearest(axis(opened, 1))[0][0].name == "bob"
        export_gallery(read, tmp_path / "export" / "people.json")
        with pytest.raises(StorageError, match="can be written"):
            read.enroll("eve", axis(opened, 3), ["e"])
        assert [entry.name for entry in tmp_path.glob("door*")] == [path.name]


def test_exact_repeats_of_a_person_are_left_out(gallery: Gallery, opened: Bundle, tmp_path: Path) -> None:
    both = np.concatenate([axis(opened, 0), axis(opened, 4), axis(opened, 4)])
    assert gallery.enroll("ann", both, ["a", "b", "b"], [PHOTO] * 3, add=True) == gallery.count("ann") == 2
    assert gallery.enroll("eve", axis(opened, 0), ["a"], [PHOTO]) == 1  # another person's may be the same
    export_gallery(gallery, tmp_path / "people.json")
    done = import_gallery(gallery, tmp_path / "people.json", add=True)
    assert (done.people, done.templates, done.repeats) == (3, 0, 4)
    assert sum(person.templates for person in gallery.people()) == 4
    assert gallery.count("nobody") == 0


def test_nobody_is_named_who_was_removed_after_the_search(
    gallery: Gallery, opened: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    search = Templates.search

    def then_removed(templates: Templates, vectors: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        found = search(templates, vectors, k)
        with Gallery(gallery.path) as second:
            second.remove("ann")
        return found

    monkeypatch.setattr(Templates, "search", then_removed)
    (row,) = gallery.nearest(axis(opened, 0), 2)
    assert [match.name for match in row] == ["bob"]


def test_a_template_removed_while_somebody_reads_is_gone_after_the_next_close(tmp_path: Path, opened: Bundle) -> None:
    """Readers keep the write-ahead log, and the template in it; the next command that closes the gallery folds it."""
    path = tmp_path / "wal.gallery"
    vectors = np.eye(opened.embedding_size, dtype=np.float32)[:2]
    needle = np.linspace(0.01, 0.2, opened.embedding_size, dtype=np.float32)
    needle /= np.linalg.norm(needle)

    def holders() -> list[str]:
        return [
            file.name for file in tmp_path.glob("wal.gallery*") if needle.astype("<f2").tobytes() in file.read_bytes()
        ]

    with create_gallery(path, opened) as gallery, Gallery(path) as watching:
        gallery.enroll("ann", needle[None], ["a"])
        gallery.enroll("bob", vectors[:1], ["b"])
        watching.nearest(vectors)
        gallery.file.connection.execute("PRAGMA busy_timeout = 0")
        with watching.file.reading():
            watching.file.connection.execute("SELECT COUNT(*) FROM templates").fetchone()
            assert not gallery.remove("ann")
            assert holders()
        Gallery(path).close()
        assert holders() == []
        assert gallery.remove("bob")
