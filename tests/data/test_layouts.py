"""The layouts, the order of identities, the content hash, and the errors of unusable folders."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from edgeface.data.layouts import default_face_input, load_dataset, scan_dataset
from edgeface.errors import DataError
from edgeface.face_input import FaceInput


def kinds(root: Path) -> set[tuple[str, str]]:
    return {(problem.severity, problem.kind) for problem in scan_dataset(root)[1]}


def test_identity_folders_with_split(drawn: Path) -> None:
    dataset = load_dataset(drawn)
    assert dataset.layout == "identity folders"
    assert dataset.identities == ("person_00", "person_01", "person_02", "person_03")
    assert dataset.splits == ("train", "val")
    assert (len(dataset.of("train")), len(dataset.of("val"))) == (20, 8)
    assert default_face_input(dataset, 96) == FaceInput(96)
    with pytest.raises(DataError, match="no photos in split 'test'"):
        dataset.of("test")


def test_identity_folders_without_split(people: Path) -> None:
    dataset = load_dataset(people)
    assert dataset.identities == ("ann", "bob", "cid")
    assert dataset.splits == ("all",)
    with pytest.raises(DataError, match="edgeface data split"):
        dataset.of("val")


def test_numbers_written_in_two_ways_are_two_people_in_one_order(drawn: Path, tmp_path: Path) -> None:
    for name, source in zip(("2", "02", "1", "01"), sorted((drawn / "train").iterdir()), strict=True):
        shutil.copytree(source, tmp_path / name)
    assert load_dataset(tmp_path).identities == ("01", "1", "02", "2")


def test_a_single_person_is_told(people: Path, tmp_path: Path) -> None:
    shutil.copytree(people / "ann", tmp_path / "ann")
    assert ("warning", "one identity") in kinds(tmp_path)
    assert ("warning", "one identity") not in kinds(people)


def test_split_lists_order_identities_by_number_and_know_the_crop(lists: Path) -> None:
    dataset = load_dataset(lists)
    assert dataset.layout == "split lists"
    assert dataset.identities == ("9", "10", "101")
    first = dataset.of("train")[0]
    assert (first.path.name, first.identity) == ("00001.jpg", 2)
    assert default_face_input(dataset, 96) == FaceInput(96, (86, 172, 35, 140), (218, 178))


@pytest.mark.parametrize("official", [False, True])
def test_celeba_files(lists: Path, tmp_path: Path, official: bool) -> None:
    root = tmp_path / "celeba"
    parts = ("Img/", "Anno/", "Eval/") if official else ("", "", "")
    for part in parts:
        (root / part).mkdir(parents=True, exist_ok=True)
    shutil.copytree(lists / "train", root / parts[0] / "img_align_celeba")
    shutil.copy(lists / "train_id.txt", root / parts[1] / "identity_CelebA.txt")
    (root / parts[2] / "list_eval_partition.txt").write_text("".join(f"0000{n}.jpg {n % 2}\n" for n in range(1, 7)))
    dataset = load_dataset(root)
    assert dataset.layout == "CelebA files"
    assert (len(dataset.of("train")), len(dataset.of("val"))) == (3, 3)
    assert dataset.identities == ("9", "10", "101")
    assert default_face_input(dataset, 112).crop is not None
    (root / parts[2] / "list_eval_partition.txt").unlink()
    assert load_dataset(root).splits == ("all",)
    (root / parts[1] / "identity_CelebA.txt").unlink()
    with pytest.raises(DataError, match="identity_CelebA"):
        load_dataset(root)


def test_unlabelled_test_folder(faces: Path, lists: Path) -> None:
    for root in (faces, lists):
        (root / "test").mkdir()
        photo = next((root / "train").rglob("*.jpg"))
        shutil.copy(photo, root / "test" / "unknown.jpg")
        (sample,) = load_dataset(root).of("test")
        assert sample.identity is None


def test_content_hash_follows_content_not_place(drawn: Path, faces: Path) -> None:
    before = load_dataset(drawn).content_hash()
    assert load_dataset(faces).content_hash() == before
    photo = faces / "train/person_01/0000.jpg"
    photo.write_bytes(photo.read_bytes() + b"\0")
    changed = load_dataset(faces).content_hash()
    photo.rename(faces / "train/person_02/moved.jpg")
    assert len({before, changed, load_dataset(faces).content_hash()}) == 3


def test_labels_naming_missing_files(lists: Path) -> None:
    (lists / "train/00002.jpg").unlink()
    with pytest.raises(DataError, match=r"train_id\.txt: names 1 file not in train/ \(first: 00002\.jpg\)"):
        load_dataset(lists)


def test_wrong_and_contradicting_label_lines(lists: Path) -> None:
    labels = lists / "train_id.txt"
    labels.write_text(labels.read_text() + "loner\n")
    with pytest.raises(DataError, match="line 7: 'loner'"):
        load_dataset(lists)
    labels.write_text(labels.read_text().replace("loner", "00001.jpg 9"))
    with pytest.raises(DataError, match="two identities: line 7"):
        load_dataset(lists)
    labels.write_bytes(b"\xff\xfe\0\0")
    with pytest.raises(DataError, match="not a text file"):
        load_dataset(lists)


def test_missing_label_file_and_unlabelled_photos(lists: Path) -> None:
    labels = lists / "val_id.txt"
    labels.write_text("".join(labels.read_text().splitlines(keepends=True)[1:]))
    assert ("warning", "unlabelled") in kinds(lists)
    labels.unlink()
    with pytest.raises(DataError, match=r"val_id\.txt: is missing"):
        load_dataset(lists)


def test_empty_identity_folders(faces: Path) -> None:
    (faces / "val/person_07").mkdir()
    assert kinds(faces) == {("warning", "empty folder")}
    (faces / "train/person_07").mkdir()
    with pytest.raises(DataError, match="person_07: holds no photos"):
        load_dataset(faces)


def test_validation_identity_absent_from_train(faces: Path) -> None:
    shutil.rmtree(faces / "train/person_02")
    with pytest.raises(DataError, match=r"1 identity of val absent from train \(first: person_02\)"):
        load_dataset(faces)


def test_single_photo_loose_photos_and_other_files_are_warnings(faces: Path) -> None:
    for photo in sorted((faces / "train/person_03").iterdir())[1:]:
        photo.unlink()
    shutil.copy(faces / "train/person_00/0000.jpg", faces / "train/loose.jpg")
    (faces / "train/person_00/notes.txt").write_text("hello")
    (faces / "train/person_00/2019").mkdir()
    (faces / "train/person_00/.hidden.jpg").write_text("")
    names = {"one image", "loose photos", "other files", "nested folders"}
    assert kinds(faces) == {("warning", name) for name in names}
    assert len(load_dataset(faces).of("train")) == 16


def test_a_file_among_a_persons_photos_is_told_and_no_name_of_jpeg_is_overlooked(people: Path) -> None:
    shutil.copy(next((people / "ann").iterdir()), people / "ann" / "z.jfif")
    shutil.copy(next((people / "ann").iterdir()), people / "ann" / "z.jpe")
    before = len(load_dataset(people).samples)
    (people / "bob" / "photo.xyz").write_text("")
    (people / "README.txt").write_text("beside the folders, no photo is expected")
    dataset, problems = scan_dataset(people)
    assert len(dataset.samples) == before
    assert {sample.path.suffix for sample in dataset.samples} >= {".jfif", ".jpe"}
    (told,) = (problem.message for problem in problems if problem.kind == "other files")
    assert told.endswith("1 file that are not photos: bob/photo.xyz")


def test_what_lies_beside_the_splits_is_told_and_so_is_a_missing_validation(faces: Path) -> None:
    (faces / "val").rename(faces / "Val")
    problems = {problem.kind: problem.message for problem in scan_dataset(faces)[1]}
    assert problems["folders not read"].endswith("1 folder beside train not read: Val")
    assert "--resplit" in problems["no validation"]


def test_one_split_in_two_folders_is_refused(faces: Path) -> None:
    shutil.copytree(faces / "val", faces / "valid")
    with pytest.raises(DataError, match="val, valid are one split twice"):
        load_dataset(faces)


def test_unusable_folders(tmp_path: Path, faces: Path) -> None:
    with pytest.raises(DataError, match="is not a folder"):
        load_dataset(tmp_path / "absent")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="holds no photos"):
        load_dataset(tmp_path / "empty")
    with pytest.raises(DataError, match="put each person's into a folder"):
        load_dataset(faces / "train/person_00")
    flat = tmp_path / "flat/train"
    flat.mkdir(parents=True)
    shutil.copy(faces / "train/person_00/0000.jpg", flat)
    with pytest.raises(DataError, match=r"train_id\.txt"):
        load_dataset(tmp_path / "flat")


def test_validation_folder_has_other_names(faces: Path) -> None:
    (faces / "val").rename(faces / "validation")
    assert load_dataset(faces).splits == ("train", "val")


@pytest.mark.parametrize("name", ["ann ", "a\u2028b", "J\udcfcrgen"])
def test_a_folder_whose_name_cannot_be_a_label_is_refused(people: Path, name: str) -> None:
    (people / "ann").rename(people / name)
    with pytest.raises(DataError, match="rename its folder"):
        load_dataset(people)


def test_a_test_folder_alone_is_photos_to_recognise(faces: Path, tmp_path: Path) -> None:
    shutil.copytree(faces / "train/person_00", tmp_path / "alone/test")
    dataset = load_dataset(tmp_path / "alone")
    assert (dataset.splits, dataset.identities) == (("test",), ())
    assert dataset.relabelled(("ann", "bob")).of("test")[0].identity is None
