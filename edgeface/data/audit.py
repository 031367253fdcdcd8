"""What is in a dataset and what is wrong with it: every photo is opened once."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from edgeface.data.dataset import FaceDataset, Sample, default_face_input
from edgeface.data.fingerprints import SIDE, fingerprint, near_pairs
from edgeface.data.images import decode_image, read_bytes
from edgeface.data.layouts import Problem, scan_dataset
from edgeface.errors import ImageError

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class SplitSummary:
    """One split: photos, identities, and photos per identity (0 where nothing is labelled): `per_identity` has those
    of each, by name."""

    split: str
    images: int
    identities: int
    images_per_identity_min: int
    images_per_identity_median: float
    images_per_identity_max: int
    per_identity: dict[str, int]


@dataclass(frozen=True)
class Photos:
    """What opening every photo gave. Arrays follow `FaceDataset.samples`; an unreadable photo has digest ""."""

    digests: tuple[str, ...]
    sizes: tuple[tuple[int, int] | None, ...]
    fingerprints: np.ndarray
    errors: tuple[tuple[Sample, str], ...]


@dataclass(frozen=True)
class Audit:
    """The result of `edgeface data check`. Pairs hold paths relative to the dataset."""

    root: str
    layout: str
    identities: int
    splits: tuple[SplitSummary, ...]
    sizes: dict[str, int]
    unreadable: tuple[str, ...]
    exact_duplicates: int
    near_duplicates: int
    straddling_exact: tuple[tuple[str, str], ...]
    straddling_near: tuple[tuple[str, str], ...]
    problems: tuple[Problem, ...]

    @property
    def errors(self) -> tuple[Problem, ...]:
        """The problems that make the dataset unusable."""
        return tuple(problem for problem in self.problems if problem.severity == "error")

    def to_dict(self) -> dict[str, Any]:
        """A JSON-serialisable form."""
        return {**asdict(self), "errors": len(self.errors), "warnings": len(self.problems) - len(self.errors)}


def audit_dataset(root: Path | str, progress: Progress | None = None) -> Audit:
    """Open every photo of a dataset and report on it. `progress(done, total)` is called per photo.

    Raises DataError only where there is nothing to report on (see `scan_dataset`).
    """
    dataset, structural = scan_dataset(root)
    photos = open_photos(dataset.samples, progress)
    identical = _identical_pairs(photos.digests)
    pairs, digests = near_duplicates(photos), np.array(photos.digests)
    similar = pairs[digests[pairs[:, 0]] != digests[pairs[:, 1]]]
    exact_across, near_across = _straddling(dataset, identical), _straddling(dataset, similar)
    problems = [*structural, *_wrong_sizes(dataset, photos)]
    if photos.errors:
        noun = "unusable photo" if len(photos.errors) == 1 else "unusable photos"
        problems.append(_warning("unreadable", f"{len(photos.errors)} {noun}; first: {photos.errors[0][1]}"))
    if exact_across:
        problems.append(_pairs("exact duplicates", "exact duplicates across splits", exact_across))
    if near_across:
        problems.append(_pairs("near-duplicates", "near-duplicates across splits", near_across))
    if shared := _of_two_people(dataset, np.concatenate([identical, similar])):
        problems.append(_pairs("two identities", "photos that are the same but under two people", shared))
    sizes = Counter(f"{size[1]}x{size[0]}" for size in photos.sizes if size is not None)
    return Audit(
        root=str(dataset.root),
        layout=dataset.layout,
        identities=len(dataset.identities),
        splits=tuple(_summary(dataset, split) for split in dataset.splits),
        sizes=dict(sizes.most_common()),
        unreadable=tuple(message for _, message in photos.errors),
        exact_duplicates=sum(count - 1 for digest, count in Counter(photos.digests).items() if digest),
        near_duplicates=len(similar),
        straddling_exact=exact_across,
        straddling_near=near_across,
        problems=tuple(problems),
    )


def open_photos(samples: Sequence[Sample], progress: Progress | None = None) -> Photos:
    """Read and decode every photo once: digest, size (height, width), fingerprint float16, or its error."""
    prints = np.zeros((len(samples), SIDE * SIDE), np.float16)
    digests, errors = [""] * len(samples), []
    sizes: list[tuple[int, int] | None] = [None] * len(samples)
    for index, sample in enumerate(samples):
        try:
            data = read_bytes(sample.path)
            image = decode_image(data, sample.path)
        except ImageError as error:
            errors.append((sample, str(error)))
        else:
            digests[index] = hashlib.sha256(data).hexdigest()
            sizes[index] = (image.shape[0], image.shape[1])
            prints[index] = fingerprint(image)
        if progress is not None:
            progress(index + 1, len(samples))
    return Photos(tuple(digests), tuple(sizes), prints, tuple(errors))


def near_duplicates(photos: Photos) -> np.ndarray:
    """Pairs of near-duplicates, the exact ones included: int64 (P, 2)."""
    return np.unique(np.concatenate([near_pairs(photos.fingerprints), _identical_pairs(photos.digests)]), axis=0)


def _identical_pairs(digests: Sequence[str]) -> np.ndarray:
    """Pairs of files with the same content; of n copies, all n(n-1)/2 pairs up to 20 copies, else a chain."""
    places: dict[str, list[int]] = defaultdict(list)
    for index, digest in enumerate(digests):
        if digest:
            places[digest].append(index)
    pairs: list[tuple[int, int]] = []
    for copies in places.values():
        if len(copies) <= 20:
            pairs += [(a, b) for position, a in enumerate(copies) for b in copies[position + 1 :]]
        else:
            pairs += list(pairwise(copies))
    return np.array(pairs, np.int64).reshape(-1, 2)


def _straddling(dataset: FaceDataset, pairs: np.ndarray) -> tuple[tuple[str, str], ...]:
    samples = dataset.samples
    across = [(a, b) for a, b in pairs.tolist() if samples[a].split != samples[b].split]
    return tuple((_relative(dataset, samples[a]), _relative(dataset, samples[b])) for a, b in across)


def _of_two_people(dataset: FaceDataset, pairs: np.ndarray) -> list[tuple[str, str]]:
    found = []
    for a, b in pairs.tolist():
        one, other = dataset.samples[a], dataset.samples[b]
        if None not in (one.identity, other.identity) and one.identity != other.identity:
            found.append((_relative(dataset, one), _relative(dataset, other)))
    return found


def _wrong_sizes(dataset: FaceDataset, photos: Photos) -> list[Problem]:
    """Photos that the dataset's crop will refuse."""
    frame = default_face_input(dataset, 96).frame
    wrong = [
        sample
        for sample, size in zip(dataset.samples, photos.sizes, strict=True)
        if frame is not None and size is not None and size != frame
    ]
    if not wrong or frame is None:
        return []
    expected = f"{frame[1]}x{frame[0]}"
    noun = "photo is" if len(wrong) == 1 else "photos are"
    message = f"{len(wrong)} {noun} not {expected} as the crop needs; first: {_relative(dataset, wrong[0])}"
    return [_warning("wrong size", message)]


def _summary(dataset: FaceDataset, split: str) -> SplitSummary:
    samples = dataset.of(split)
    names = dataset.identities
    per_identity = Counter(names[sample.identity] for sample in samples if sample.identity is not None)
    counts = per_identity.values()
    return SplitSummary(
        split=split,
        images=len(samples),
        identities=len(counts),
        images_per_identity_min=min(counts, default=0),
        images_per_identity_median=float(median(counts)) if counts else 0.0,
        images_per_identity_max=max(counts, default=0),
        per_identity=dict(sorted(per_identity.items())),
    )


def _relative(dataset: FaceDataset, sample: Sample) -> str:
    return sample.path.relative_to(dataset.root).as_posix()


def _warning(kind: str, message: str) -> Problem:
    return Problem("warning", kind, message)


def _pairs(kind: str, what: str, pairs: Sequence[tuple[str, str]]) -> Problem:
    noun = "pair" if len(pairs) == 1 else "pairs"
    return _warning(kind, f"{len(pairs)} {noun} of {what}; first: {pairs[0][0]} and {pairs[0][1]}")
