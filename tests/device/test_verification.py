"""FMR, FNMR, thresholds, AUC and EER against cases worked out by hand, and their laws."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeface import embedder
from edgeface.errors import DataError
from edgeface.verification import (
    BINS,
    ScoreCounts,
    area_under_roc,
    count_all_pairs,
    curve_of,
    equal_error_rate,
    normalised,
    place_at_fmr,
    thresholds_of,
)

GENUINE = [0.9, 0.8, 0.7, 0.1]
IMPOSTOR = [-0.5, 0.0, 0.2, 0.75]
FEW = settings(max_examples=25, deadline=None)


def counted(genuine: list[float], impostor: list[float]) -> ScoreCounts:
    counts = ScoreCounts()
    counts.add(np.array(genuine + impostor, np.float32), np.array([True] * len(genuine) + [False] * len(impostor)))
    return counts


def test_rates_by_hand() -> None:
    curve = curve_of(counted(GENUINE, IMPOSTOR))
    for threshold, fmr, fnmr in ((-1, 1, 0), (-0.2, 0.75, 0), (0.15, 0.5, 0.25), (0.5, 0.25, 0.25), (0.95, 0, 1)):
        place = round((threshold + 1) * BINS / 2)
        assert (curve.fmr[place], curve.fnmr[place]) == (fmr, fnmr), threshold
    assert equal_error_rate(curve) == 0.25
    place = place_at_fmr(curve, 0.25)
    assert 0.2 < curve.thresholds[place] < 0.2 + 3 / BINS


def test_area_by_hand() -> None:
    # 0.9 and 0.8 beat four impostors, 0.7 three, 0.1 two: 13 of 16.
    assert area_under_roc(counted(GENUINE, IMPOSTOR)) == 13 / 16
    assert area_under_roc(counted([0.5, 0.5], [0.5, 0.5])) == 0.5


def test_rule_of_three() -> None:
    genuine = list(np.linspace(0, 1, 50))
    stated, refused = thresholds_of(curve_of(counted(genuine, list(np.linspace(-0.5, 0.499, 300)))), "drawn")
    assert [entry.fmr for entry in stated] == [1e-1, 1e-2]
    assert refused == (1e-3, 1e-4, 1e-5)
    assert {(entry.impostor_pairs, entry.genuine_pairs, entry.data) for entry in stated} == {(300, 50, "drawn")}
    stated, refused = thresholds_of(curve_of(counted(genuine, [0.0] * 29)), "drawn")
    assert stated == ()
    assert len(refused) == 5


def test_a_threshold_keeps_its_rate_and_the_next_lower_does_not() -> None:
    rng = np.random.default_rng(0)
    impostor = rng.normal(0, 0.2, 20_000).clip(-1, 1).astype(np.float32)
    counts = counted(list(rng.normal(0.6, 0.2, 500).clip(-1, 1)), list(impostor))
    for entry in thresholds_of(curve_of(counts), "drawn")[0]:
        assert (impostor >= entry.threshold).mean() <= entry.fmr
        assert (impostor >= entry.threshold - 2 / BINS).mean() > entry.fmr


def test_all_pairs_once_across_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(1)
    embeddings, labels = rng.normal(size=(23, 8)).astype(np.float32), rng.integers(0, 4, 23)
    whole = count_all_pairs(embeddings, labels)
    monkeypatch.setattr("edgeface.verification._BLOCK", 5)
    parts = count_all_pairs(embeddings, labels)
    assert sum(whole.pairs) == sum(parts.pairs) == 23 * 22 // 2
    same = labels[:, None] == labels[None]
    assert whole.pairs[0] == np.triu(same, 1).sum()
    # Sums of products may differ in the last bit, and so a score may fall beside an edge.
    assert np.abs(whole.genuine.cumsum() - parts.genuine.cumsum()).max() <= 1


def test_too_few_pairs_and_broken_models() -> None:
    with pytest.raises(DataError, match="two people with two photos"):
        curve_of(count_all_pairs(np.eye(3, dtype=np.float32), np.array([0, 1, 2])))
    with pytest.raises(DataError, match="not numbers"):
        normalised(np.array([[np.nan, 1]]))
    assert normalised(np.zeros((1, 4))).tolist() == [[0, 0, 0, 0]]
    rows = np.random.default_rng(0).normal(size=(3, 4)).astype(np.float32)
    np.testing.assert_array_equal(normalised(rows), embedder.normalised(rows))


# Millionths: what lies closer to an edge than doubles resolve counts on one side of it or the other.
COSINES = st.integers(-1_000_000, 1_000_000).map(lambda millionths: millionths / 1e6)
SCORES = st.lists(COSINES, min_size=1, max_size=60).map(lambda scores: np.array(scores, np.float32))


@FEW
@given(SCORES, SCORES)
def test_rates_are_monotone_and_agree_with_counting(genuine: np.ndarray, impostor: np.ndarray) -> None:
    curve = curve_of(counted(list(genuine), list(impostor)))
    assert (np.diff(curve.fmr) <= 0).all()
    assert (np.diff(curve.fnmr) >= 0).all()
    assert (curve.fmr[0], curve.fnmr[0], curve.fmr[-1], curve.fnmr[-1]) == (1, 0, 0, 1)
    for place in (1, BINS // 3, BINS // 2, BINS):
        assert curve.fmr[place] == (impostor.astype(np.float64) >= curve.thresholds[place]).mean()
        assert curve.fnmr[place] == (genuine.astype(np.float64) < curve.thresholds[place]).mean()


@FEW
@given(SCORES, SCORES)
def test_swapping_the_kinds_mirrors_the_area(genuine: np.ndarray, impostor: np.ndarray) -> None:
    area = area_under_roc(counted(list(genuine), list(impostor)))
    assert 0 <= area <= 1
    assert area == pytest.approx(1 - area_under_roc(counted(list(impostor), list(genuine))), abs=1e-9)
