"""Recognising how a folder of faces is laid out, and listing its photos.

Three layouts:
- identity folders: `anna/1.jpg ...`, or the same inside `train/`, `val/` and `test/`;
- split lists: `train/ val/ train_id.txt val_id.txt`, each line `name identity`;
- CelebA's own files: `img_align_celeba/`, `identity_CelebA.txt`, `list_eval_partition.txt`.
A `test/` folder may hold unlabelled photos in the first two, and may be all there is, to be recognised.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from edgeface.data.dataset import CELEBA, IDENTITY_FOLDERS, SPLIT_LISTS, FaceDataset, Sample, default_face_input
from edgeface.data.problems import Found, Problem, check_identities, count_of
from edgeface.errors import DataError

__all__ = ["FaceDataset", "Problem", "Sample", "default_face_input", "load_dataset", "scan_dataset"]

IMAGE_SUFFIXES = frozenset(
    (".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".webp", ".tif", ".tiff", ".gif", ".heic", ".avif")
)
_FOLDER_NAMES = {"train": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}
_CELEBA_SPLITS = {"0": "train", "1": "val", "2": "test"}


def load_dataset(root: Path | str) -> FaceDataset:
    """List the photos of a dataset folder, without opening them.

    Raises DataError when the folder is missing or of no known layout, when labels name missing files, when a
    person's folder is empty or its name cannot be a label, or when validation identities are absent from train.
    """
    dataset, problems = scan_dataset(root)
    for problem in problems:
        if problem.severity == "error":
            raise DataError(problem.message)
    return dataset


def scan_dataset(root: Path | str) -> tuple[FaceDataset, tuple[Problem, ...]]:
    """As `load_dataset`, but report what is wrong instead of raising at the first error.

    Still raises DataError when there is nothing to report on: no folder, no known layout, no photos.
    """
    root = Path(root)
    if not root.is_dir():
        raise DataError(f"{root}: is not a folder; name the folder that holds the photos")
    found = Found()
    try:
        layout = _read(root, found)
    except OSError as error:
        raise DataError(f"{error.filename or root}: cannot be read: {error.strerror or error}") from None
    if not found.photos:
        errors = [problem.message for problem in found.problems if problem.severity == "error"]
        raise DataError(errors[0] if errors else f"{root}: holds no photos; expected one folder of photos per person")
    names = {name for _, name, _ in found.photos if name is not None}
    identities = tuple(sorted(names, key=_numeric if all(map(_is_number, names)) else None))  # type: ignore[arg-type]
    index = {name: position for position, name in enumerate(identities)}
    samples = tuple(Sample(path, None if name is None else index[name], split) for path, name, split in found.photos)
    dataset = FaceDataset(root, layout, identities, samples)
    check_identities(dataset, found)
    return dataset, tuple(found.problems)


def _read(root: Path, found: Found) -> str:
    celeba = _celeba_files(root)
    if celeba is not None:
        _read_celeba(*celeba, found)
        return CELEBA
    present = [name for name in _FOLDER_NAMES if (root / name).is_dir()]
    splits = {_FOLDER_NAMES[name]: root / name for name in present}
    beside = [name for name in _list(root)[0] if name not in present]
    if beside and ("train" in splits or "val" in splits):
        names = f"{count_of(beside, 'folder')} beside {' and '.join(present)} not read: {beside[0]}"
        found.warning("folders not read", f"{root}: {names}")
    if len(splits) < len(present):
        found.error("split twice", f"{root}: {', '.join(present)} are one split twice; keep one folder for validation")
    lists = {split: root / f"{path.name}_id.txt" for split, path in splits.items()}
    if any(path.is_file() for path in lists.values()):
        for split, folder in splits.items():
            _read_split_list(split, folder, lists[split], found)
        return SPLIT_LISTS
    if "train" in splits or "val" in splits or _list(root)[0] == ["test"]:
        for split, folder in splits.items():
            _read_identity_folders(folder, split, found)
        return IDENTITY_FOLDERS
    _read_identity_folders(root, "all", found)
    return IDENTITY_FOLDERS


def _read_identity_folders(folder: Path, split: str, found: Found) -> None:
    folders, images, others = _list(folder)
    if images and split == "test" and not folders:
        found.photos += [(folder / name, None, split) for name in images]
        return
    if images and not folders:
        hint = f"; or add {folder.name}_id.txt with 'name identity' lines" if split != "all" else ""
        found.error("loose photos", f"{folder}: holds photos but no folders; put each person's into a folder{hint}")
        return
    inside: list[str] = []
    for name in folders:
        nested, photos, more = _list(folder / name)
        found.photos += [(folder / name / photo, name, split) for photo in photos]
        inside += [f"{name}/{other}" for other in more]
        if nested:
            found.warning(
                "nested folders", f"{folder / name}: {count_of(nested, 'folder')} inside it are not read: {nested[0]}"
            )
        if not photos:
            message = f"{folder / name}: holds no photos; add some or remove the folder"
            (found.error if split in ("train", "all") else found.warning)("empty folder", message)
    if images:
        found.warning("loose photos", f"{folder}: {count_of(images, 'photo')} outside any person's folder: {images[0]}")
    others = inside + (others if split != "all" else [])  # beside the folders of people lie README and the like
    if others:
        found.warning("other files", f"{folder}: {count_of(others, 'file')} that are not photos: {others[0]}")


def _read_split_list(split: str, folder: Path, labels: Path, found: Found) -> None:
    folders, images, _ = _list(folder)
    if not labels.is_file():
        if split != "test":
            found.error("missing labels", f"{labels}: is missing; add it with one 'name identity' line per photo")
        elif folders and not images:
            _read_identity_folders(folder, split, found)
        else:
            found.photos += [(folder / name, None, split) for name in images]
        return
    identities = _read_table(labels, found)
    _report_missing(labels, folder, identities, images, found)
    present = set(images)
    found.photos += [(folder / name, who, split) for name, who in identities.items() if name in present]
    unlabelled = sorted(present - set(identities))
    if unlabelled:
        found.warning("unlabelled", f"{folder}: {count_of(unlabelled, 'photo')} not in {labels.name}: {unlabelled[0]}")


def _celeba_files(root: Path) -> tuple[Path, Path, Path | None] | None:
    """(photo folder, identity list, partition list or None) where both of the first exist, also as the official
    download lays them out (`Img/`, `Anno/`, `Eval/`)."""

    def first(*names: str) -> Path | None:
        return next((root / name for name in names if (root / name).exists()), None)

    nested = "img_align_celeba/img_align_celeba"
    photos = first(nested, "img_align_celeba", f"Img/{nested}", "Img/img_align_celeba")
    labels = first("identity_CelebA.txt", "Anno/identity_CelebA.txt")
    partition = first("list_eval_partition.txt", "Eval/list_eval_partition.txt")
    if photos is None or not photos.is_dir():
        if labels is not None:
            raise DataError(f"{root}: has {labels.name} but no img_align_celeba folder; unpack the photos there")
        return None
    if labels is None:
        raise DataError(f"{root}: has img_align_celeba but no identity_CelebA.txt; put it beside the folder")
    return photos, labels, partition


def _read_celeba(folder: Path, labels: Path, partition: Path | None, found: Found) -> None:
    identities = _read_table(labels, found)
    _, images, _ = _list(folder)
    _report_missing(labels, folder, identities, images, found)
    splits = _read_table(partition, found) if partition is not None else {}
    bad = sorted({value for value in splits.values() if value not in _CELEBA_SPLITS})
    if bad:
        found.error("bad labels", f"{partition}: partition {bad[0]!r} is none of 0 (train), 1 (val), 2 (test)")
    present = set(images)
    unplaced = [name for name in identities if name in present and name not in splits]
    if partition is not None and unplaced:
        found.warning("unlabelled", f"{partition}: {count_of(unplaced, 'photo')} missing: {unplaced[0]}")
    for name, who in identities.items():
        split = _CELEBA_SPLITS.get(splits.get(name, "")) if partition is not None else "all"
        if name in present and split is not None:
            found.photos.append((folder / name, who, split))


def _read_table(path: Path, found: Found) -> dict[str, str]:
    """The `name value` lines of a label file; wrong and repeated lines are reported once each."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise DataError(f"{path}: is not a text file; expected one 'name identity' line per photo") from None
    table: dict[str, str] = {}
    wrong, repeated = [], []
    for number, line in enumerate(text.splitlines(), 1):
        parts = line.rsplit(maxsplit=1)
        if not parts:
            continue
        if len(parts) != 2:
            wrong.append(f"line {number}: {line.strip()[:60]!r}")
        elif table.setdefault(parts[0].strip(), parts[1]) != parts[1]:
            repeated.append(f"line {number}: {parts[0].strip()}")
    if wrong:
        found.error("bad labels", f"{path}: {count_of(wrong, 'line')} without 'name identity': {wrong[0]}")
    if repeated:
        found.error("bad labels", f"{path}: {count_of(repeated, 'photo')} listed with two identities: {repeated[0]}")
    return table


def _report_missing(labels: Path, folder: Path, table: dict[str, str], images: Iterable[str], found: Found) -> None:
    missing = sorted(set(table) - set(images))
    if missing:
        found.error(
            "missing files",
            f"{labels}: names {count_of(missing, 'file')} not in {folder.name}/ (first: {missing[0]}); "
            "restore them or remove their lines",
        )


def _list(folder: Path) -> tuple[list[str], list[str], list[str]]:
    """Names of the (folders, photos, other files) in a folder, sorted; hidden ones are left out."""
    folders, images, others = [], [], []
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith("."):
                continue
            if entry.is_dir():
                folders.append(entry.name)
            elif os.path.splitext(entry.name)[1].lower() in IMAGE_SUFFIXES:
                images.append(entry.name)
            else:
                others.append(entry.name)
    return sorted(folders), sorted(images), sorted(others)


def _is_number(name: str) -> bool:
    return name.isascii() and name.isdigit()


def _numeric(name: str) -> tuple[int, str]:
    return int(name), name  # "1" and "01" are two people, always in the same order
