"""Thresholds in a bundle: stored without touching the model, found by their rate, refused when they cannot be."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path

import pytest

from edgeface.bundle import open_bundle, store_thresholds
from edgeface.errors import BundleError, UsageError
from edgeface.thresholds import Threshold

HUNDREDTH = Threshold(1e-2, 0.41, 0.08, 4000, 600, "synthetic, val")
THOUSANDTH = Threshold(1e-3, 0.53, 0.21, 4000, 600, "synthetic, val")


def test_thresholds_are_stored_and_the_model_stays(bundle: Path) -> None:
    before = open_bundle(bundle)
    assert before.thresholds == ()
    with pytest.raises(UsageError, match="edgeface calibrate"):
        before.threshold(1e-3)
    model = (bundle / "model.tflite").stat()
    after = store_thresholds(bundle, [HUNDREDTH, THOUSANDTH])
    assert after.thresholds == (HUNDREDTH, THOUSANDTH)
    assert after.threshold(0.001) == THOUSANDTH
    assert after.model_sha256 == before.model_sha256
    assert (bundle / "model.tflite").stat().st_size == model.st_size
    with pytest.raises(UsageError, match=r"no threshold for FMR 0\.0001, only for 0\.01, 0\.001"):
        after.threshold(1e-4)
    card = (bundle / "MODEL_CARD.md").read_text()
    assert "| 0.001 | 0.5300 | 21.00 % |" in card
    assert "4000 impostor and 600 genuine pairs: synthetic, val" in card
    assert store_thresholds(bundle, [HUNDREDTH]).thresholds == (HUNDREDTH,)
    assert [entry.name for entry in bundle.parent.iterdir()] == [bundle.name]


@pytest.mark.parametrize(
    "change",
    [{"fmr": 1e-4}, {"fmr": 2}, {"threshold": 5.0}, {"threshold": "high"}, {"impostor_pairs": 0}, {"data": None}],
)
def test_thresholds_that_cannot_be_are_refused(bundle: Path, change: dict[str, object]) -> None:
    before = (bundle / "bundle.json").read_bytes()
    with pytest.raises(BundleError, match=r"threshold|impostor_pairs|data"):
        store_thresholds(bundle, [replace(HUNDREDTH, **change)])  # type: ignore[arg-type]
    assert (bundle / "bundle.json").read_bytes() == before


def test_a_damaged_bundle_is_not_repaired_by_an_update(bundle: Path) -> None:
    (bundle / "labels.txt").write_text("mallory\n" * 5)
    with pytest.raises(BundleError, match=r"labels\.txt"):
        store_thresholds(bundle, [HUNDREDTH])


def test_one_line_for_people() -> None:
    assert HUNDREDTH.line() == (
        "cosine 0.4100 for FMR 0.01 (FNMR 8.0 %; 4000 impostor and 600 genuine pairs of synthetic, val)"
    )
    assert set(asdict(HUNDREDTH)) == {"fmr", "threshold", "fnmr", "impostor_pairs", "genuine_pairs", "data"}
