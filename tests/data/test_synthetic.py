"""Synthetic faces: repeatable, split, different from one another, and not told apart by colour."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgeface.data.contact_sheet import contact_sheet, pick_photos
from edgeface.data.layouts import load_dataset
from edgeface.data.synthetic import draw_face, draw_faces, synthetic_person
from edgeface.data.synthetic_person import BEARDS, GLASSES, STYLES
from edgeface.errors import DataError, StorageError, UsageError
from edgeface.face_input import FaceInput


def content(root: Path) -> dict[str, bytes]:
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*.jpg")}


def test_same_seed_same_files_and_people_do_not_depend_on_the_count(tmp_path: Path) -> None:
    for name, people, seed in (("a", 3, 1), ("b", 3, 1), ("c", 2, 1), ("d", 2, 2)):
        draw_faces(tmp_path / name, people, 4, seed=seed, size=48, val=0.25)
    a, b, c, d = (content(tmp_path / name) for name in "abcd")
    assert a == b
    assert c.items() <= a.items()
    assert not set(c.values()) & set(d.values())
    assert len(set(a.values())) == len(a) == 12


def test_layout_and_shares(tmp_path: Path) -> None:
    draw_faces(tmp_path / "faces", 3, 5, size=40, val=0.4)
    dataset = load_dataset(tmp_path / "faces")
    assert dataset.identities == ("person_00", "person_01", "person_02")
    assert (len(dataset.of("train")), len(dataset.of("val"))) == (9, 6)
    assert dataset.of("train")[0].path.name == "0000.jpg"
    draw_faces(tmp_path / "single", 2, 1, size=40)
    assert load_dataset(tmp_path / "single").splits == ("train",)
    draw_faces(tmp_path / "whole", 1, 2, size=40, val=0)
    assert load_dataset(tmp_path / "whole").splits == ("train",)


@pytest.mark.parametrize("size", [32, 75, 112, 300])
def test_any_size(size: int) -> None:
    photo = draw_face(synthetic_person(0, 0), np.random.default_rng(0), size)
    assert photo.shape == (size, size, 3)
    assert photo.dtype == np.uint8
    assert photo.std() > 10


def test_every_style_beard_and_pair_of_glasses_can_be_drawn() -> None:
    seen: set[str] = set()
    for number in range(150):
        person = synthetic_person(9, number)
        draw_face(person, np.random.default_rng(number), 32)
        seen |= {person.style, person.beard, "glasses " + person.glasses}
    assert seen == {*STYLES, *BEARDS, *("glasses " + kind for kind in GLASSES)}


def test_colour_statistics_do_not_tell_people_apart() -> None:
    """Nearest-neighbour on channel means and deviations must stay far below what a face recogniser reaches."""
    people, each = 16, 16
    features = []
    for identity in range(people):
        for number in range(each):
            photo = draw_face(synthetic_person(0, identity), np.random.default_rng((identity, number)), 48).reshape(
                -1, 3
            )
            features.append(np.concatenate([photo.mean(axis=0), photo.std(axis=0)]))
    table = np.array(features)
    table = (table - table.mean(axis=0)) / table.std(axis=0)
    distance = ((table[:, None] - table[None]) ** 2).sum(axis=2)
    np.fill_diagonal(distance, np.inf)
    identity = np.repeat(np.arange(people), each)
    assert np.mean(identity[distance.argmin(axis=1)] == identity) < 0.25


def test_refusals_leave_nothing(tmp_path: Path) -> None:
    for wrong in ({"identities": 0}, {"images": 0}, {"size": 8}, {"val": 1.0}, {"seed": -1}):
        with pytest.raises(UsageError, match="synthetic faces need"):
            draw_faces(tmp_path / "new", **{"identities": 2, "images": 2, **wrong})  # type: ignore[arg-type]
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken/file").write_text("")
    with pytest.raises(UsageError, match="exists already"):
        draw_faces(tmp_path / "taken", 2, 2)

    def interrupt(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        draw_faces(tmp_path / "new", 2, 2, size=32, progress=interrupt)
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="cannot write"):
        draw_faces(tmp_path / "file/inside", 2, 2, size=32)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "taken"]


def test_contact_sheet_lays_out_rows() -> None:
    tiles = [np.full((10, 20, 3), 10 * n, np.uint8) for n in range(5)]
    page = contact_sheet(tiles, columns=2)
    assert page.shape == (3 * 14 + 4, 2 * 24 + 4, 3)
    assert page[4 + 14, 4 + 24].tolist() == [30, 30, 30]
    assert page[-5, -5].tolist() == [255, 255, 255]


def test_pick_photos_repeats_where_there_are_too_few(faces: Path) -> None:
    photos = pick_photos(load_dataset(faces), FaceInput(24), people=3, columns=6)
    assert photos.shape == (18, 24, 24, 3)
    assert np.array_equal(photos[0], photos[5])
    for path in faces.rglob("*.jpg"):
        path.write_bytes(b"")
    with pytest.raises(DataError, match="no usable photo"):
        pick_photos(load_dataset(faces), FaceInput(24), people=3, columns=6)
