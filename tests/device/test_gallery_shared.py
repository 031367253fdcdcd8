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

from edgeface.bundle import Bundle, open_bundle
from edgeface.errors import GalleryError
from edgeface.gallery import Gallery, create_gallery
from edgeface.gallery_transfer import export_gallery, rebuild

PHOTO = cv2.imencode(".png", np.zeros((32, 32, 3), np.uint8))[1].tobytes()


@pytest.fixture(scope="module")
def opened(tiny_bundle: Path) -> Bundle:
    return open_bundle(tiny_bundle)


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
    return SimpleNamespace(bundle=other, reading=SimpleNamespace(flip=flip), vector=vector)


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
