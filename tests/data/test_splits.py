"""Splits: the same seed, everybody in val, near-duplicates on one side, nothing lost."""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path

import pytest

from edgeface.data.audit import audit_dataset
from edgeface.data.images import encode_image, read_image
from edgeface.data.layouts import load_dataset, scan_dataset
from edgeface.data.splits import plan_split, write_split
from edgeface.errors import ImageError, UsageError


def split(root: Path, out: Path, **options: object) -> Path:
    write_split(plan_split(scan_dataset(root)[0], **options), out)  # type: ignore[arg-type]
    return out


def listing(root: Path) -> dict[str, str]:
    files = (path for path in root.rglob("*") if path.is_file())
    return {path.relative_to(root).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_same_seed_same_split_and_nothing_is_lost(people: Path, tmp_path: Path) -> None:
    one, same, other = (split(people, tmp_path / name, val=0.34, seed=s) for name, s in (("a", 1), ("b", 1), ("c", 2)))
    assert listing(one) == listing(same)
    assert set(listing(one)) != set(listing(other))
    assert sorted(listing(one).values()) == sorted(listing(people).values())
    dataset = load_dataset(one)
    assert dataset.identities == load_dataset(people).identities
    assert [sum(s.identity == n for s in dataset.of("val")) for n in range(3)] == [2, 2, 2]


def test_adding_a_person_does_not_move_the_others(people: Path, tmp_path: Path) -> None:
    before = set(listing(split(people, tmp_path / "before")))
    shutil.copytree(people / "bob", people / "aaa")
    for number, path in enumerate((people / "aaa").iterdir()):
        path.write_bytes(encode_image(read_image(path)[::-1][number:], ".png"))
    assert before <= set(listing(split(people, tmp_path / "after")))


def test_small_shares_still_put_everybody_into_val_and_test(people: Path) -> None:
    plan = plan_split(load_dataset(people), val=0.01, test=0.01)
    assert plan.counts() == {"train": 12, "val": 3, "test": 3}
    assert plan.without_val == ()


@pytest.mark.parametrize("seed", range(6))
def test_near_duplicates_stay_on_one_side(people: Path, tmp_path: Path, seed: int) -> None:
    for name in ("ann", "bob"):
        for photo in range(4):
            path = people / name / f"{photo}.png"
            (people / name / f"{photo}-saved-again.jpg").write_bytes(encode_image(read_image(path), ".jpg", 60))
    plan = plan_split(load_dataset(people), val=0.4, test=0.2, seed=seed)
    assert plan.grouped == 16
    where = {(sample.path.parent.name, sample.path.stem): name for sample, name in plan.samples}
    for name in ("ann", "bob"):
        for photo in range(4):
            assert where[name, str(photo)] == where[name, f"{photo}-saved-again"]
    write_split(plan, tmp_path / "out")
    assert audit_dataset(tmp_path / "out").straddling_near == ()


def test_copies_under_two_people_go_to_train(people: Path) -> None:
    for photo in range(1, 6):
        shutil.copy(people / f"ann/{photo}.png", people / f"bob/copy{photo}.png")
    for seed in range(4):
        for sample, name in plan_split(load_dataset(people), val=0.5, seed=seed).samples:
            if sample.path.stem.startswith("copy") or (sample.path.parent.name == "ann" and sample.path.stem != "0"):
                assert name == "train"


def test_people_without_distinct_photos_stay_in_train(people: Path) -> None:
    for photo in list((people / "ann").iterdir())[1:]:
        photo.unlink()
    for photo in range(1, 6):
        shutil.copy(people / "bob/0.png", people / f"bob/{photo}.png")
    plan = plan_split(load_dataset(people), val=0.5)
    assert plan.without_val == ("ann", "bob")
    assert plan.counts() == {"train": 10, "val": 3}


def test_split_lists_stay_split_lists_and_names_do_not_collide(lists: Path, tmp_path: Path) -> None:
    out = split(lists, tmp_path / "out", val=0.3)
    dataset = load_dataset(out)
    assert dataset.layout == "split lists"
    assert dataset.identities == ("9", "10", "101")
    assert (len(dataset.of("train")), len(dataset.of("val"))) == (6, 3)
    photos = {value for name, value in listing(out).items() if name.endswith(".jpg")}
    assert photos == {value for name, value in listing(lists).items() if name.endswith(".jpg")}


def test_bad_photos_are_left_out_or_refused(people: Path, tmp_path: Path) -> None:
    (people / "cid/3.png").write_bytes(b"")
    plan = plan_split(load_dataset(people))
    assert len(plan.samples) == 17
    assert "3.png: is empty" in plan.unreadable[0]
    with pytest.raises(ImageError, match=r"3\.png: is empty"):
        plan_split(load_dataset(people), strict=True)


def test_hard_links(people: Path, tmp_path: Path) -> None:
    write_split(plan_split(load_dataset(people)), tmp_path / "out", link=True)
    assert all(
        os.path.samefile(s.path, people / s.path.parent.name / s.path.name)
        for s in load_dataset(tmp_path / "out").samples
    )


def test_unlabelled_test_photos_come_along(faces: Path, tmp_path: Path) -> None:
    (faces / "test").mkdir()
    (faces / "train/person_00/0000.jpg").rename(faces / "test/unknown.jpg")
    dataset = load_dataset(split(faces, tmp_path / "out"))
    assert [sample.identity for sample in dataset.of("test")] == [None]
    with pytest.raises(UsageError, match="unlabelled"):
        plan_split(load_dataset(faces), test=0.1)


def test_senseless_requests(people: Path, tmp_path: Path) -> None:
    dataset = load_dataset(people)
    for val, test in ((0, 0), (1, 0), (0.6, 0.5), (-0.1, 0.2), (float("nan"), 0)):
        with pytest.raises(UsageError, match="shares between 0 and 1"):
            plan_split(dataset, val=val, test=test)
    plan = plan_split(dataset)
    with pytest.raises(UsageError, match="exists already"):
        write_split(plan, people)
    with pytest.raises(UsageError, match="lies inside the dataset"):
        write_split(plan, people / "split")
    assert not (people / "split").exists()
