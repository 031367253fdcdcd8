"""Measuring a bundle's thresholds on pairs of photos: of identity folders, or of an LFW pairs file."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from edgeface.bundle import Bundle
from edgeface.data.cache import cached_images
from edgeface.data.layouts import load_dataset
from edgeface.detector import Detector
from edgeface.embedder import Recognizer
from edgeface.errors import DataError
from edgeface.lfw import pair_scores, photos_of, read_pairs
from edgeface.loose_photos import Progress, embed_photos
from edgeface.thresholds import OWN_PEOPLE, Threshold
from edgeface.verification import (
    Curve,
    ScoreCounts,
    area_under_roc,
    count_all_pairs,
    curve_of,
    equal_error_rate,
    thresholds_of,
)

_CHUNK = 64
_CURVE_POINTS = 200
FEWEST_GENUINE = 100
"""Of fewer pairs an FNMR is a guess."""
_LOST_EER = 0.3
"""On other people and with their faces in its own frame, a network has less. Half is what guessing has."""


@dataclass(frozen=True)
class Calibration:
    """Thresholds and what they rest on. `refused` are the FMRs that the pairs cannot show; `warnings` are sentences."""

    data: str
    photos: int
    photos_without_face: int
    pairs_left_out: int
    thresholds: tuple[Threshold, ...]
    refused: tuple[float, ...]
    auc: float
    eer: float
    warnings: tuple[str, ...]
    counts: ScoreCounts = field(repr=False)
    curve: Curve = field(repr=False)

    def to_dict(self) -> dict[str, Any]:
        """A JSON-serialisable form, with up to 200 points of the curve where it changes."""
        genuine, impostor = self.counts.pairs
        return {
            "data": self.data, "photos": self.photos, "photos_without_face": self.photos_without_face,
            "pairs_left_out": self.pairs_left_out, "genuine_pairs": genuine, "impostor_pairs": impostor,
            "thresholds": [asdict(entry) for entry in self.thresholds], "refused_fmr": list(self.refused),
            "auc": self.auc, "eer": self.eer, "warnings": list(self.warnings), "curve": _points(self.curve),
        }  # fmt: skip


def calibrate_on_data(
    recognizer: Recognizer, folder: Path, split: str | None = None, *, detector: Detector | None = None,
    strict: bool = False, progress: Progress | None = None, flip: bool = False,
) -> Calibration:  # fmt: skip
    """Every pair of photos of one split (by default val, or all where there is no split) of a dataset folder.

    The photos are prepared as in training: each shows one aligned face. With a `detector` they are loose photos: the
    face in the middle is taken, and a photo without one is left out and counted. One that cannot be read is left out
    too, with a warning, or raises ImageError when `strict`. `flip`: see `Recognizer.embed`. Raises DataError for fewer
    than two people, or no person with two photos.
    """
    dataset = load_dataset(folder)
    split = split or ("val" if "val" in dataset.splits else "all")
    samples = dataset.of(split)
    if any(sample.identity is None for sample in samples):
        raise DataError(f"{folder}: split {split!r} has photos without a name; calibrate on a labelled split")
    unreadable: list[str] = []
    if detector is None:
        images, labels, _ = cached_images(dataset, split, recognizer.bundle.face_input, strict=strict)
        embeddings, photos = embed_prepared(recognizer, images, progress, flip), len(images)
    else:
        paths, photos = [sample.path for sample in samples], len(samples)
        embeddings = embed_photos(recognizer, paths, detector, progress, None if strict else unreadable, flip)
        found = ~np.isnan(embeddings).any(axis=1)
        embeddings, labels = embeddings[found], np.array([sample.identity for sample in samples])[found]
        _require_faces(folder, len(labels), photos, unreadable)
    blocks = None if progress is None else lambda done, total: progress("comparing pairs", done, total)
    counts = count_all_pairs(embeddings, labels, blocks)
    warnings = _warnings(recognizer.bundle, set(dataset.identities), split, dataset.content_hash())
    return _result(
        counts, f"{folder.resolve().name}, {split}" + (f", {OWN_PEOPLE}" if warnings else ""), photos, detector, flip,
        photos_without_face=photos - len(labels), pairs_left_out=math.comb(photos, 2) - math.comb(len(labels), 2),
        warnings=(*warnings, *_left_out(unreadable, photos)),
    )  # fmt: skip


def calibrate_on_pairs(
    recognizer: Recognizer,
    path: Path,
    detector: Detector | None = None,
    progress: Progress | None = None,
    strict: bool = False,
    flip: bool = False,
) -> Calibration:
    """The pairs of an LFW file; `detector` finds the face, without it each photo is one aligned face.

    Pairs without two faces are left out and counted: a threshold is for faces that were found. A photo that cannot be
    read is left out too, with a warning, or raises ImageError when `strict`. `flip`: see `Recognizer.embed`.
    """
    pairs = read_pairs(path)
    photos = photos_of(pairs)
    unreadable: list[str] = []
    embeddings = embed_photos(recognizer, photos, detector, progress, None if strict else unreadable, flip)
    scores = pair_scores(pairs, photos, embeddings)
    known = ~np.isnan(scores)
    _require_faces(path, int(known.sum()), len(photos), unreadable)
    counts = ScoreCounts()
    counts.add(scores[known], np.array([pair.same for pair in pairs])[known])
    lost = int(np.isnan(embeddings).any(axis=1).sum())
    warnings = _warnings(recognizer.bundle, {photo.parent.name for photo in photos})
    name = f"{path.resolve().parent.name}/{path.name}" + (f", {OWN_PEOPLE}" if warnings else "")
    return _result(
        counts, name, len(photos), detector, flip, photos_without_face=lost, pairs_left_out=int((~known).sum()),
        warnings=(*warnings, *_left_out(unreadable, len(photos))),
    )  # fmt: skip


def _require_faces(source: Path, usable: int, photos: int, unreadable: Sequence[str]) -> None:
    """Raise DataError, with the first reason, when no photo or pair of photos gave faces."""
    if not usable:
        first = f"; first: {unreadable[0]}" if unreadable else ""
        raise DataError(f"{source}: its {photos} photos give no faces to compare{first}; try another --detector")


def embed_prepared(
    recognizer: Recognizer, images: np.ndarray, progress: Progress | None = None, flip: bool = False
) -> np.ndarray:
    """Embeddings (N, E), float32, of prepared uint8 images (N, size, size, 3), with progress."""
    parts = []
    for start in range(0, len(images), _CHUNK):
        parts.append(recognizer.embed(images[start : start + _CHUNK], prepared=True, flip=flip))
        if progress is not None:
            progress("embedding photos", min(start + _CHUNK, len(images)), len(images))
    return np.concatenate(parts)


def _result(
    counts: ScoreCounts, data: str, photos: int, detector: Detector | None, flip: bool, *,
    photos_without_face: int = 0, pairs_left_out: int = 0, warnings: tuple[str, ...] = (),
) -> Calibration:  # fmt: skip
    curve = curve_of(counts)
    thresholds, refused = thresholds_of(curve, data)
    finder = "none" if detector is None else detector.name
    thresholds = tuple(replace(entry, detector=finder, flip=flip) for entry in thresholds)
    if curve.genuine_pairs < FEWEST_GENUINE:
        few = f"only {curve.genuine_pairs} genuine pairs: the FNMR is a guess; give {FEWEST_GENUINE} or more"
        warnings = (*warnings, few)
    eer = equal_error_rate(curve)
    if detector is None and eer > _LOST_EER:
        frame = "the photos may be cropped otherwise than the network's; try --detector cascade"
        warnings = (*warnings, f"an equal error rate of {100 * eer:.0f} % is near guessing: {frame}")
    return Calibration(
        data=data, photos=photos, photos_without_face=photos_without_face, pairs_left_out=pairs_left_out,
        thresholds=thresholds, refused=refused, auc=area_under_roc(counts), eer=eer,
        warnings=warnings, counts=counts, curve=curve,
    )  # fmt: skip


def _warnings(bundle: Bundle, people: set[str], split: str = "", data_hash: str = "") -> list[str]:
    """What makes the rates look better than a stranger at the door will find them."""
    if split == "train" and bundle.source.get("dataset_hash") == data_hash:
        return ["the network learnt these very photos: the real error rates are far higher; use --split val"]
    if people & set(bundle.labels):
        return ["the network was trained on these people: for strangers the real error rates are higher"]
    return []


def _left_out(unreadable: list[str], photos: int) -> list[str]:
    return [f"left out {len(unreadable)} of {photos} photos; first: {unreadable[0]}"] if unreadable else []


def _points(curve: Curve) -> list[dict[str, float]]:
    """Where the rates change, thinned evenly."""
    changes = np.flatnonzero((np.diff(curve.fmr) != 0) | (np.diff(curve.fnmr) != 0)) + 1
    chosen = changes[np.unique(np.linspace(0, len(changes) - 1, min(len(changes), _CURVE_POINTS)).astype(int))]
    return [
        {"threshold": float(curve.thresholds[i]), "fmr": float(curve.fmr[i]), "fnmr": float(curve.fnmr[i])}
        for i in chosen
    ]
