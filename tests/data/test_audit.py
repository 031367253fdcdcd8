"""The audit: unreadable photos, exact and near-duplicates, and few false alarms."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

from edgeface.data.audit import audit_dataset
from edgeface.data.fingerprints import fingerprint, groups_of, mirrored, near_pairs
from edgeface.data.images import decode_image, encode_image, read_image
from edgeface.data.layouts import load_dataset


def kinds(root: Path) -> list[tuple[str, str]]:
    return [(problem.severity, problem.kind) for problem in audit_dataset(root).problems]


def test_a_clean_dataset(drawn: Path) -> None:
    audit = audit_dataset(drawn)
    assert audit.problems == ()
    assert (audit.layout, audit.identities, audit.sizes) == ("identity folders", 4, {"64x64": 28})
    train, val = audit.splits
    assert (train.split, train.images, train.identities) == ("train", 20, 4)
    assert (train.images_per_identity_min, train.images_per_identity_median, train.images_per_identity_max) == (5, 5, 5)
    assert (val.images, audit.exact_duplicates, audit.near_duplicates) == (8, 0, 0)
    report = json.loads(json.dumps(audit.to_dict()))
    assert report["warnings"] == 0
    assert report["splits"][1]["per_identity"] == dict.fromkeys((f"person_{n:02d}" for n in range(4)), 2)


def test_unreadable_photos_are_listed(faces: Path) -> None:
    (faces / "train/person_00/0000.jpg").write_bytes(b"")
    photo = faces / "val/person_00/0005.jpg"
    photo.write_bytes(photo.read_bytes()[:400])
    audit = audit_dataset(faces)
    assert [problem.kind for problem in audit.problems] == ["unreadable"]
    assert "2 unusable photos; first: " in audit.problems[0].message
    assert len(audit.unreadable) == 2
    assert "cut short" in audit.unreadable[1]


def test_exact_copies_across_splits_and_people(faces: Path) -> None:
    shutil.copy(faces / "train/person_00/0000.jpg", faces / "train/person_00/copy.jpg")
    assert kinds(faces) == []
    shutil.copy(faces / "train/person_00/0000.jpg", faces / "val/person_00/copy.jpg")
    audit = audit_dataset(faces)
    assert audit.exact_duplicates == 2
    assert set(audit.straddling_exact) == {
        ("train/person_00/0000.jpg", "val/person_00/copy.jpg"),
        ("train/person_00/copy.jpg", "val/person_00/copy.jpg"),
    }
    assert audit.near_duplicates == 0
    shutil.copy(faces / "train/person_00/0000.jpg", faces / "train/person_03/copy.jpg")
    assert ("warning", "two identities") in kinds(faces)


def changed(photo: np.ndarray, how: str) -> np.ndarray:
    if how == "recompressed":
        return decode_image(encode_image(photo, ".jpg", 40))
    if how == "smaller":
        return cv2.resize(photo, None, fx=0.7, fy=0.7, interpolation=cv2.INTER_AREA)
    if how == "brighter":
        return cv2.convertScaleAbs(photo, alpha=1.1, beta=8)
    return np.repeat(cv2.cvtColor(photo, cv2.COLOR_RGB2GRAY)[..., None], 3, axis=2)


@pytest.mark.parametrize("how", ["recompressed", "smaller", "brighter", "gray"])
def test_altered_copies_in_another_split_are_found(faces: Path, how: str) -> None:
    photo = read_image(faces / "train/person_01/0002.jpg")
    (faces / "val/person_01/other.png").write_bytes(encode_image(changed(photo, how), ".png"))
    audit = audit_dataset(faces)
    assert audit.straddling_near == (("train/person_01/0002.jpg", "val/person_01/other.png"),)
    assert [problem.kind for problem in audit.problems] == ["near-duplicates"]


def test_wrong_frames_are_counted(lists: Path) -> None:
    assert kinds(lists) == []
    path = lists / "train/00003.jpg"
    path.write_bytes(encode_image(read_image(path)[:200], ".jpg"))
    (problem,) = audit_dataset(lists).problems
    assert problem.message.startswith("1 photo is not 178x218")


def test_every_structural_problem_is_reported_at_once(faces: Path) -> None:
    (faces / "train/nobody").mkdir()
    shutil.rmtree(faces / "train/person_02")
    audit = audit_dataset(faces)
    assert [problem.kind for problem in audit.errors] == ["empty folder", "identities absent from train"]


def test_near_pairs_equal_the_plain_search(drawn: Path) -> None:
    photos = [read_image(sample.path) for sample in load_dataset(drawn).samples]
    rng = np.random.default_rng(0)
    noisy = [
        np.clip(photo + rng.normal(0, 25 * k, photo.shape), 0, 255).astype(np.uint8) for k, photo in enumerate(photos)
    ]
    prints = np.array([fingerprint(photo) for photo in (*photos, *noisy, np.full((64, 64, 3), 7, np.uint8))])
    for threshold in (0.5, 0.9, 0.965):
        plain = np.argwhere(np.triu((prints @ prints.T >= threshold) | (prints @ mirrored(prints).T >= threshold), 1))
        assert len(plain) > 0
        assert np.array_equal(near_pairs(prints, threshold), plain)
    assert len(near_pairs(prints[:1])) == 0


def test_a_photo_and_its_mirror_image_are_near_duplicates(drawn: Path) -> None:
    photos = [read_image(sample.path) for sample in load_dataset(drawn).samples[:6]]
    prints = np.array([fingerprint(photo) for photo in (*photos, np.ascontiguousarray(photos[3][:, ::-1]))])
    assert [3, 6] in near_pairs(prints).tolist()
    assert mirrored(prints[6:]) == pytest.approx(prints[3:4], abs=1e-3)


def test_many_copies_of_one_file_are_no_near_duplicates(faces: Path) -> None:
    folder = faces / "train" / "person_00"
    photo = sorted(folder.iterdir())[0]
    for number in range(25):
        shutil.copy(photo, folder / f"copy{number}.jpg")
    audit = audit_dataset(faces)
    assert (audit.exact_duplicates, audit.near_duplicates) == (25, 0)


def test_groups_join_through_others() -> None:
    assert groups_of(6, np.array([[1, 2], [2, 4], [3, 5]])).tolist() == [0, 1, 1, 3, 1, 3]
