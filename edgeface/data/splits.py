"""Making a train/val/test split where none exists, with near-duplicates kept on one side."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections import Counter, defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edgeface.data.audit import Progress, near_duplicates, open_photos
from edgeface.data.dataset import IDENTITY_FOLDERS, FaceDataset, Sample
from edgeface.data.fingerprints import groups_of
from edgeface.errors import DataError, ImageError, UsageError
from edgeface.files import atomic_folder


@dataclass(frozen=True)
class SplitPlan:
    """Where each photo goes. `grouped` photos lie together with near-duplicates; `without_val` identities have
    no photo to validate on, because they have one photo or all of theirs are near-duplicates."""

    dataset: FaceDataset
    samples: tuple[tuple[Sample, str], ...]
    grouped: int
    without_val: tuple[str, ...]
    unreadable: tuple[str, ...]

    def counts(self) -> dict[str, int]:
        """Photos by split."""
        return dict(Counter(split for _, split in self.samples))


def plan_split(
    dataset: FaceDataset,
    val: float = 0.1,
    test: float = 0.0,
    seed: int = 0,
    *,
    strict: bool = False,
    progress: Progress | None = None,
) -> SplitPlan:
    """Share every person's photos out to train, val and test; the same seed gives the same split.

    Each person with two or more distinct photos gets at least one in val (and in test, where `test` > 0 and there
    are three), and at least one stays in train. Groups of near-duplicates go to one side as a whole, to train where the
    shares allow; a group that spans people always does. An existing split is not kept. Photos that cannot be read
    are left out, or raise ImageError when `strict`. Raises UsageError for senseless shares.
    """
    if not (0 <= val < 1 and 0 <= test < 1 and 0 < val + test < 1 and seed >= 0):
        raise UsageError(
            "--val and --test are shares between 0 and 1 that leave something for train; --seed is 0 or more"
        )
    if test > 0 and any(sample.identity is None for sample in dataset.samples):
        raise UsageError(f"{dataset.root}: has unlabelled test photos already; leave --test at 0 or move them away")
    photos = open_photos(dataset.samples, progress)
    if photos.errors and strict:
        raise ImageError(photos.errors[0][1])
    group = groups_of(len(dataset.samples), near_duplicates(photos)).tolist()
    readable = [index for index, digest in enumerate(photos.digests) if digest]
    people = _people(dataset, readable, group)
    if not people:
        raise DataError(f"{dataset.root}: no usable photo to split; see: edgeface data check {dataset.root}")
    owners = Counter(number for groups in people.values() for number in groups)
    placed: dict[int, str] = {index: "test" for index in readable if dataset.samples[index].identity is None}
    without_val = []
    for identity, groups in people.items():
        name = dataset.identities[identity]
        shared = {number for number in groups if owners[number] > 1}
        chosen = _share_out(groups, shared, (val, test), _generator(seed, name))
        placed |= {index: chosen[number] for number, indices in groups.items() for index in indices}
        if val > 0 and "val" not in chosen.values():
            without_val.append(name)
    return SplitPlan(
        dataset=dataset,
        samples=tuple((dataset.samples[index], placed[index]) for index in readable),
        grouped=sum(count for count in Counter(group).values() if count > 1),
        without_val=tuple(without_val),
        unreadable=tuple(message for _, message in photos.errors),
    )


def write_split(plan: SplitPlan, folder: Path, *, link: bool = False) -> None:
    """Copy the photos into a new dataset of the same layout: identity folders, or split lists (for CelebA's files too).

    With `link` they become hard links where the disk allows it. Photos that would take one another's place
    get their old split in front of their name. Raises UsageError when the folder exists or lies in the dataset.
    """
    require_new_folder(plan.dataset, folder)
    by_folder = plan.dataset.layout == IDENTITY_FOLDERS
    lists: dict[str, list[str]] = defaultdict(list)
    taken: set[Path] = set()
    with atomic_folder(folder) as temporary:
        for sample, split in plan.samples:
            identity = None if sample.identity is None else plan.dataset.identities[sample.identity]
            place = Path(split) / identity if by_folder and identity is not None else Path(split)
            target = place / sample.path.name
            while target in taken:
                target = place / f"{sample.split}_{target.name}"
            taken.add(target)
            (temporary / place).mkdir(parents=True, exist_ok=True)
            _put(sample.path, temporary / target, link)
            if not by_folder and identity is not None:
                lists[split].append(f"{target.name} {identity}")
        for split, lines in lists.items():
            (temporary / f"{split}_id.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")


def require_new_folder(dataset: FaceDataset, folder: Path) -> None:
    """Raise UsageError when `folder` holds something already or lies in the dataset that is to be split."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(f"{folder}: exists already; choose a new folder or remove it")
    if dataset.root.resolve() in (folder.resolve(), *folder.resolve().parents):
        raise UsageError(f"{folder}: lies inside the dataset; choose a folder outside {dataset.root}")


def _people(dataset: FaceDataset, readable: list[int], group: list[int]) -> dict[int, dict[int, list[int]]]:
    """For each identity in order, its groups of near-duplicates: group number -> indices of samples."""
    people: dict[int, dict[int, list[int]]] = {}
    for index in readable:
        identity = dataset.samples[index].identity
        if identity is not None:
            people.setdefault(identity, {}).setdefault(group[index], []).append(index)
    return dict(sorted(people.items()))


def _share_out(
    groups: dict[int, list[int]], fixed: set[int], shares: tuple[float, float], rng: np.random.Generator
) -> dict[int, str]:
    """Split of each group of one person's photos: single photos are drawn first, then groups, smallest first."""
    order = sorted(groups)
    rng.shuffle(order)
    free = sorted((number for number in order if number not in fixed), key=lambda number: len(groups[number]))
    total = sum(map(len, groups.values()))
    chosen = dict.fromkeys(groups, "train")
    for split, share in zip(("val", "test"), shares, strict=True):
        quota = max(1, round(total * share)) if share > 0 else 0
        while free and quota > 0 and len(groups) - sum(value != "train" for value in chosen.values()) > 1:
            first = split not in chosen.values()
            if len(groups[free[0]]) > quota and not first:
                break
            number = free.pop(0)
            chosen[number] = split
            quota -= len(groups[number])
    return chosen


def _generator(seed: int, name: str) -> np.random.Generator:
    """A generator of the person's own, so that adding people does not move the others' photos."""
    return np.random.default_rng((seed, int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big")))


def _put(source: Path, target: Path, link: bool) -> None:
    if link:
        try:
            os.link(source.resolve(), target)
            return
        except OSError:  # another disk, or one without hard links
            pass
    shutil.copyfile(source, target)
