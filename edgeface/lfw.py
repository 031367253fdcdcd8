"""LFW's own verification protocol (Huang et al. 2007): reading `pairs.txt`, and accuracy over its folds."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from edgeface.bundle_schema import SMALLEST_COUNT
from edgeface.detector import Detector
from edgeface.embedder import Recognizer
from edgeface.errors import DataError, UsageError
from edgeface.loose_photos import Progress, embed_photos
from edgeface.verification import ScoreCounts, area_under_roc, curve_of, equal_error_rate, place_at_fmr

PAIRS_FILE = "pairs.txt"
_TAR_FMRS = (1e-2, 1e-3)


@dataclass(frozen=True)
class Pair:
    """Two photos, whether they show one person, and the fold that they belong to."""

    first: Path
    second: Path
    same: bool
    fold: int


@dataclass(frozen=True)
class LfwResult:
    """What the protocol gives. `accuracy` is the mean over the folds and `standard_error` its standard error, 0..1.

    A pair with a face that was not found is wrong in its fold, genuine or impostor, and a pair that is not accepted
    in `auc`, `eer` and `tar` (true accept rate by FMR): nobody is let in without a face. `notes` are for people.
    """

    accuracy: float
    standard_error: float
    folds: tuple[float, ...]
    thresholds: tuple[float, ...]
    auc: float
    eer: float
    tar: dict[str, float]
    pairs: int
    pairs_without_face: int
    photos: int
    photos_without_face: int
    notes: tuple[str, ...]
    counts: ScoreCounts = field(repr=False, compare=False)

    def to_dict(self) -> dict[str, Any]:
        """A JSON-serialisable form, without the histograms."""
        return {key: value for key, value in asdict(self).items() if key != "counts"}


def read_pairs(path: Path) -> tuple[Pair, ...]:
    """The pairs of an LFW file, whose photos lie beside it in NAME/NAME_0001.jpg or lfw/NAME/NAME_0001.jpg.

    First line `folds pairs`, or `pairs` for one fold; in each fold `pairs` lines `name i j` of one person, then as
    many `name i name j` of two. Raises DataError, naming the line, for anything else, and when a photo is missing.
    """
    images = path.parent / "lfw" if (path.parent / "lfw").is_dir() else path.parent
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError) as error:
        raise DataError(
            f"{path}: cannot be read ({getattr(error, 'strerror', None) or error}); give LFW's pairs.txt"
        ) from None
    rows = [(number, line.split()) for number, line in enumerate(lines, 1) if line.strip()]
    header = rows[0][1] if rows else []
    if not (1 <= len(header) <= 2 and all(word.isdecimal() and int(word) for word in header)):
        raise DataError(f"{path}: the first line should be 'folds pairs', as in LFW's pairs.txt")
    folds, each = (1, int(header[0])) if len(header) == 1 else (int(header[0]), int(header[1]))
    if len(rows) - 1 != folds * each * 2:
        raise DataError(f"{path}: {len(rows) - 1} pairs, its first line promises {folds * each * 2}; copy it again")
    pairs = tuple(
        _pair(path, images, number, words, place // (2 * each), place % (2 * each) < each)
        for place, (number, words) in enumerate(rows[1:])
    )
    missing = [photo for pair in pairs for photo in (pair.first, pair.second) if not photo.is_file()]
    if missing:
        raise DataError(f"{path}: {len(set(missing))} photos are missing, the first is {missing[0]}")
    return pairs


def evaluate_lfw(
    recognizer: Recognizer, folder: Path, detector: Detector | None = None, progress: Progress | None = None
) -> LfwResult:
    """LFW's protocol on a folder with `pairs.txt`; every photo is embedded once.

    `detector` finds the face in the middle of a photo; without it each photo is taken for one aligned face.
    The protocol is of all its pairs: raises DataError for a photo that is missing, ImageError for one that cannot be
    read.
    """
    pairs = find_pairs(folder)
    photos = photos_of(pairs)
    embeddings = embed_photos(recognizer, photos, detector, progress)
    scores = pair_scores(pairs, photos, embeddings)
    return evaluate_folds(pairs, scores, len(photos), int(np.isnan(embeddings).any(axis=1).sum()))


def find_pairs(folder: Path) -> tuple[Pair, ...]:
    """The pairs of a folder that holds `pairs.txt`."""
    path = folder / PAIRS_FILE
    if not path.is_file():
        raise DataError(f"{path}: is missing; give the folder with LFW's pairs.txt and the people's folders")
    return read_pairs(path)


def photos_of(pairs: Sequence[Pair]) -> tuple[Path, ...]:
    """Every photo once, in the order of the pairs."""
    return tuple(dict.fromkeys(photo for pair in pairs for photo in (pair.first, pair.second)))


def pair_scores(pairs: Sequence[Pair], photos: Sequence[Path], embeddings: np.ndarray) -> np.ndarray:
    """Cosine of each pair, float32 (P,), NaN where a photo's row of the normalised embeddings (N, E) is NaN."""
    place = {photo: number for number, photo in enumerate(photos)}
    first = embeddings[[place[pair.first] for pair in pairs]]
    second = embeddings[[place[pair.second] for pair in pairs]]
    return (first * second).sum(axis=1)


def evaluate_folds(pairs: Sequence[Pair], scores: np.ndarray, photos: int, photos_without_face: int) -> LfwResult:
    """LFW's protocol: each fold is judged with the threshold that is best on the others.

    `scores` (P,) are the pairs' cosines, NaN where a face was not found. Raises UsageError for fewer than two folds.
    """
    same, fold = np.array([pair.same for pair in pairs]), np.array([pair.fold for pair in pairs])
    folds = np.unique(fold)
    if len(folds) < 2:
        raise UsageError("the protocol needs two folds or more: the threshold for one is chosen on the others")
    accuracies, thresholds = zip(*_fold_results(scores, same, fold), strict=True)
    counts = ScoreCounts()
    counts.add(scores, same)
    curve = curve_of(counts)
    tar = {f"{fmr:g}": float(1 - curve.fnmr[place_at_fmr(curve, fmr)]) for fmr in _TAR_FMRS}
    return LfwResult(
        accuracy=float(np.mean(accuracies)),
        standard_error=float(np.std(accuracies, ddof=1) / np.sqrt(len(folds))),
        folds=accuracies, thresholds=thresholds,
        auc=area_under_roc(counts), eer=equal_error_rate(curve), tar=tar,
        pairs=len(pairs), pairs_without_face=int(np.isnan(scores).sum()),
        photos=photos, photos_without_face=photos_without_face,
        notes=_notes(curve.impostor_pairs, len(folds)), counts=counts,
    )  # fmt: skip


def best_threshold(scores: np.ndarray, same: np.ndarray) -> float:
    """The threshold with the most right decisions (score >= threshold means one person), in the middle of its gap."""
    order = np.argsort(scores, kind="stable")
    ranked, genuine = scores[order].astype(np.float64), same[order]
    # Right decisions with the threshold below the first score, between each two, and above the last.
    refused_impostors = np.concatenate([[0], (~genuine).cumsum()])
    accepted_genuine = genuine.sum() - np.concatenate([[0], genuine.cumsum()])
    edges = np.concatenate([[ranked[0] - 1e-3], (ranked[:-1] + ranked[1:]) / 2, [ranked[-1] + 1e-3]])
    cuts = np.concatenate([[True], np.diff(ranked) > 0, [True]])
    return float(edges[np.argmax(np.where(cuts, refused_impostors + accepted_genuine, -1))])


def _fold_results(scores: np.ndarray, same: np.ndarray, fold: np.ndarray) -> Iterator[tuple[float, float]]:
    known = ~np.isnan(scores)
    for number in np.unique(fold):
        others = known & (fold != number)
        if not others.any():
            raise DataError("no pair with two faces is left to choose a threshold on; try another --detector")
        threshold = best_threshold(scores[others], same[others])
        test = fold == number
        right = known[test] & ((scores[test] >= threshold) == same[test])
        yield float(right.mean()), threshold


def _pair(path: Path, images: Path, number: int, words: list[str], fold: int, same: bool) -> Pair:
    if len(words) != (3 if same else 4):
        form = "'name i j' (one person)" if same else "'name i name j' (two people)"
        raise DataError(f"{path}: line {number} should be {form}")
    names = (words[0], words[0]) if same else (words[0], words[2])
    indices = (words[1], words[2]) if same else (words[1], words[3])
    if not all(index.isdecimal() for index in indices) or any("/" in name or name.startswith(".") for name in names):
        raise DataError(f"{path}: line {number} should hold a name and numbers")
    first, second = (images / name / f"{name}_{int(i):04d}.jpg" for name, i in zip(names, indices, strict=True))
    return Pair(first, second, same, fold)


def _notes(impostor_pairs: int, folds: int) -> tuple[str, ...]:
    notes = [
        f"FMR {fmr:g} cannot be shown with {impostor_pairs} impostor pairs: the true rate at that threshold may be "
        f"{100 * SMALLEST_COUNT / impostor_pairs:.2g} %"
        for fmr in _TAR_FMRS
        if fmr * impostor_pairs < SMALLEST_COUNT
    ]
    if folds < 10:
        notes.append(f"{folds} folds: the standard error itself is rough, and thresholds are chosen on fewer pairs")
    return tuple(notes)
