"""Comparing two faces: score counts in bounded memory, FMR/FNMR and thresholds, ROC, AUC, EER.

A score is the cosine of two embeddings; a pair is accepted when its score is at least the threshold. Genuine pairs
show one person, impostor pairs two. FMR and FNMR as in ISO/IEC 19795-1.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from edgeface import embedder
from edgeface.bundle_schema import SMALLEST_COUNT
from edgeface.errors import DataError
from edgeface.thresholds import Threshold

BINS = 1 << 18
"""Over the cosines -1..1: thresholds lie on edges that are 7.6e-6 apart and exact in binary."""
TARGET_FMRS = (1e-1, 1e-2, 1e-3, 1e-4, 1e-5)
_BLOCK = 2048


@dataclass
class ScoreCounts:
    """Histograms of genuine and impostor scores, int64 (BINS + 1,): rates at the bins' edges are exact counts.

    4 MB whatever the number of pairs. The last bin holds the scores that no threshold in -1..1 refuses.
    """

    genuine: np.ndarray = field(default_factory=lambda: np.zeros(BINS + 1, np.int64))
    impostor: np.ndarray = field(default_factory=lambda: np.zeros(BINS + 1, np.int64))

    def add(self, scores: np.ndarray, same: np.ndarray) -> None:
        """Count scores (any shape), `same` of the same shape: True where the pair is genuine. NaN counts as -1."""
        places = np.nan_to_num((scores.astype(np.float64).ravel() + 1.0) * (BINS / 2), nan=0.0)
        bins = np.clip(places, 0, BINS).astype(np.int64)
        same = same.ravel()
        self.genuine += np.bincount(bins[same], minlength=BINS + 1)
        self.impostor += np.bincount(bins[~same], minlength=BINS + 1)

    @property
    def pairs(self) -> tuple[int, int]:
        """(genuine, impostor) pairs counted."""
        return int(self.genuine.sum()), int(self.impostor.sum())


@dataclass(frozen=True)
class Curve:
    """Error rates at every threshold, float64 (BINS + 2,), thresholds rising from -1 to over 1."""

    thresholds: np.ndarray = field(repr=False)
    fmr: np.ndarray = field(repr=False)
    fnmr: np.ndarray = field(repr=False)
    genuine_pairs: int
    impostor_pairs: int


def normalised(embeddings: np.ndarray) -> np.ndarray:
    """Rows of length 1, float32. A zero row stays zero, so that it is like nobody. Raises DataError for a NaN."""
    embeddings = np.asarray(embeddings, np.float32)
    if not np.isfinite(embeddings).all():
        raise DataError("the model gives values that are not numbers; export it again")
    return embedder.normalised(embeddings)


def count_all_pairs(
    embeddings: np.ndarray, labels: np.ndarray, progress: Callable[[int, int], None] | None = None
) -> ScoreCounts:
    """Every pair of different rows of embeddings (N, E), genuine where labels (N,) are equal; each pair once.

    Works through blocks of 2,048 x 2,048 scores, about 150 MB, whatever N. `progress(done, total)` counts blocks.
    """
    rows, labels = normalised(embeddings), np.asarray(labels)
    counts = ScoreCounts()
    starts = range(0, len(rows), _BLOCK)
    blocks = [(a, b) for a in starts for b in starts if a <= b]
    for done, (a, b) in enumerate(blocks):
        scores = rows[a : a + _BLOCK] @ rows[b : b + _BLOCK].T
        same = labels[a : a + _BLOCK, None] == labels[None, b : b + _BLOCK]
        once = np.triu_indices(len(scores), 1) if a == b else slice(None)
        counts.add(scores[once], same[once])
        if progress is not None:
            progress(done + 1, len(blocks))
    return counts


def curve_of(counts: ScoreCounts) -> Curve:
    """FMR and FNMR at every threshold. Raises DataError without a pair of each kind."""
    genuine, impostor = counts.pairs
    if not genuine or not impostor:
        raise DataError(f"{genuine} genuine and {impostor} impostor pairs; two people with two photos each are needed")
    accepted_impostors = np.append(counts.impostor[::-1].cumsum()[::-1], 0)
    refused_genuine = np.concatenate([[0], counts.genuine.cumsum()])
    thresholds = np.arange(BINS + 2) * (2 / BINS) - 1
    return Curve(thresholds, accepted_impostors / impostor, refused_genuine / genuine, genuine, impostor)


def thresholds_of(curve: Curve, data: str) -> tuple[tuple[Threshold, ...], tuple[float, ...]]:
    """The thresholds for FMR 1e-1 ... 1e-5, each the lowest that keeps its rate, and the rates that are refused.

    Rule of three: with N impostor pairs none of which is accepted, the rate may still be 3/N at 95 %, so that no rate
    under 3/N is stated.
    """
    stated, refused = [], []
    for fmr in TARGET_FMRS:
        if fmr * curve.impostor_pairs < SMALLEST_COUNT * (1 - 1e-9):
            refused.append(fmr)
            continue
        place = place_at_fmr(curve, fmr)
        stated.append(
            Threshold(
                fmr=fmr, threshold=float(curve.thresholds[place]), fnmr=float(curve.fnmr[place]),
                impostor_pairs=curve.impostor_pairs, genuine_pairs=curve.genuine_pairs, data=data,
            )
        )  # fmt: skip
    return tuple(stated), tuple(refused)


def place_at_fmr(curve: Curve, fmr: float) -> int:
    """Index of the lowest threshold whose FMR is at most `fmr`."""
    return int(np.argmax(curve.fmr <= fmr + 1e-12))


def area_under_roc(counts: ScoreCounts) -> float:
    """Chance, 0..1, that a genuine pair scores over an impostor pair; ties count half (Mann-Whitney)."""
    genuine, impostor = counts.pairs
    below = counts.impostor.cumsum() - counts.impostor
    return float((counts.genuine * (below + counts.impostor / 2)).sum() / (genuine * impostor))


def equal_error_rate(curve: Curve) -> float:
    """The rate, 0..1, where FMR and FNMR meet: the mean of the two at the threshold where they are closest."""
    place = int(np.argmin(np.abs(curve.fmr - curve.fnmr)))
    return float((curve.fmr[place] + curve.fnmr[place]) / 2)
