"""Thresholds in a bundle: stored without touching the model, found by their rate, refused when they cannot be."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from edgeface.bundle import open_bundle, store_thresholds
from edgeface.cli import app
from edgeface.cli.device_options import compared_with, detector_for, threshold_in_force
from edgeface.doctor import examine
from edgeface.errors import BundleError, UsageError
from edgeface.gallery import create_gallery
from edgeface.machine import describe
from edgeface.manifest import read_manifest, render, sealed
from edgeface.thresholds import OWN_PEOPLE, Threshold

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


def test_only_the_measured_model_gets_them_and_nothing_beside_it_is_lost(bundle: Path, tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="was replaced"):
        store_thresholds(bundle, [HUNDREDTH], "0" * 64)
    link = tmp_path / "current"
    link.symlink_to(bundle)
    assert store_thresholds(link, [HUNDREDTH], open_bundle(bundle).model_sha256).path == bundle.resolve()
    assert link.is_symlink()
    assert open_bundle(bundle).thresholds == (HUNDREDTH,)
    (bundle / "door.gallery").write_text("people")
    with pytest.raises(UsageError, match=r"holds other files \(door\.gallery\)"):
        store_thresholds(bundle, [THOUSANDTH])
    assert (bundle / "door.gallery").read_text() == "people"


def test_a_damaged_bundle_is_not_repaired_by_an_update(bundle: Path) -> None:
    (bundle / "labels.txt").write_text("mallory\n" * 5)
    with pytest.raises(BundleError, match=r"labels\.txt"):
        store_thresholds(bundle, [HUNDREDTH])


def test_one_line_for_people() -> None:
    assert HUNDREDTH.line() == (
        "cosine 0.4100 for FMR 0.01 (FNMR 8.0 %; 4000 impostor and 600 genuine pairs of synthetic, val)"
    )
    pairs = {"impostor_pairs", "genuine_pairs", "data", "detector", "flip"}
    assert set(asdict(HUNDREDTH)) == {"fmr", "threshold", "fnmr", *pairs}


def test_thresholds_without_a_detector_open_and_another_detector_is_told(bundle: Path) -> None:
    store_thresholds(bundle, [replace(THOUSANDTH, detector="none")])
    assert open_bundle(bundle).threshold(1e-3).detector == "none"
    manifest = read_manifest(bundle)
    del manifest["thresholds"][0]["detector"], manifest["thresholds"][0]["flip"]
    (bundle / "bundle.json").write_text(render(sealed(manifest, {}, bundle)))
    assert open_bundle(bundle).threshold(1e-3) == THOUSANDTH
    for wrong, reason in (({"detector": 1}, "'detector' should be text"), ({"flip": 1}, "'flip' should be true or")):
        with pytest.raises(BundleError, match=reason):
            sealed({**manifest, "thresholds": [{**asdict(THOUSANDTH), **wrong}]}, {}, bundle)


@pytest.mark.parametrize(
    ("enrolled", "given", "model", "live", "expected"),
    [
        ("none", None, None, False, "none"),
        ("none", None, None, True, "cascade"),  # a camera's frames are no cropped faces
        ("none", "cascade", None, False, "cascade"),
        ("cascade", None, None, True, "cascade"),
        ("yunet", None, "yunet.onnx", False, "yunet"),
        ("yunet", None, None, False, "cascade"),
        ("cascade", None, "yunet.onnx", False, "yunet"),
        ("", None, None, False, "cascade"),
    ],
)
def test_photos_are_read_as_the_gallery_was_enrolled(
    tiny_bundle: Path, tmp_path: Path, enrolled: str, given: str | None, model: str | None, live: bool, expected: str
) -> None:
    with create_gallery(tmp_path / "door.gallery", open_bundle(tiny_bundle), detector=enrolled) as gallery:
        assert detector_for(gallery, given, model and Path(model), live=live) == expected


def test_the_rate_is_of_one_comparison_and_the_line_counts_them(bundle: Path, tmp_path: Path) -> None:
    opened = open_bundle(bundle)
    with create_gallery(tmp_path / "door.gallery", opened) as gallery:
        with pytest.raises(UsageError, match="is empty; enrol somebody"):
            compared_with(gallery, False, "cascade", rated=True)
        gallery.enroll("ann", np.eye(3, opened.embedding_size, dtype=np.float32), ["a", "b", "c"])
        several = f"3 templates of 1 person in {gallery.path}"
        assert (
            compared_with(gallery, False, "cascade", rated=True)
            == f"{several}: up to about 3 times that FMR for a stranger"
        )
        assert compared_with(gallery, False, "cascade", rated=False) == several
        assert (
            compared_with(gallery, True, "cascade", rated=True) == f"1 averaged template of 1 person in {gallery.path}"
        )
    with create_gallery(tmp_path / "cropped.gallery", opened, detector="none") as gallery:
        gallery.enroll("ann", np.eye(1, opened.embedding_size, dtype=np.float32), ["a"])
        line = compared_with(gallery, False, "cascade", rated=True)
        assert line.endswith(", enrolled with --detector none, not cascade, which makes faces less alike")
        assert "enrolled" not in compared_with(gallery, False, "none", rated=True)
    store_thresholds(bundle, [THOUSANDTH])
    (tmp_path / "photos").mkdir()
    cv2.imwrite(str(tmp_path / "photos" / "wall.png"), np.full((200, 200, 3), 90, np.uint8))
    for command in (["watch", "--no-window", "--camera", "photos"], ["identify", "photos/wall.png", "photos/wall.png"]):
        name, *rest = command
        arguments = [str(tmp_path / word) if word.startswith("photos") else word for word in rest]
        done = CliRunner().invoke(app, [name, str(tmp_path / "door.gallery"), *arguments])
        assert f"pairs of synthetic, val)\n  {several}: up to about 3 times that FMR" in done.stderr


def test_what_makes_a_rate_doubtful_is_in_the_line_and_in_doctor(bundle: Path) -> None:
    def line(entry: Threshold, detector: str = "cascade") -> str:
        opened = store_thresholds(bundle, [entry])
        return threshold_in_force(opened, entry.fmr, None, detector)[1]

    def check() -> tuple[str, str]:
        (found,) = (found for found in examine(describe(), bundle) if found.name == "thresholds")
        return found.state, found.text

    assert line(THOUSANDTH) == f"threshold {THOUSANDTH.line()}"
    assert check() == ("ok", "for FMR 0.001")
    aligned = replace(THOUSANDTH, detector="none")
    assert line(aligned).endswith("; measured with --detector none, not cascade: the real rate may be another")
    assert line(aligned, "none") == f"threshold {aligned.line()}"
    averaged = threshold_in_force(open_bundle(bundle), 1e-3, None, "none", flip=True, average=True)[1]
    assert averaged.endswith("; measured without --flip and averaged templates: the real rate may be another")
    assert check() == ("ok", "for FMR 0.001, by --detector none")
    flipped = replace(aligned, flip=True)
    assert line(flipped, "none").endswith("; measured with --flip: the real rate may be another")
    assert threshold_in_force(open_bundle(bundle), 1e-3, None, "none", flip=True)[1] == f"threshold {flipped.line()}"
    assert check() == ("ok", "for FMR 0.001, by --detector none, with --flip")
    assert line(replace(THOUSANDTH, data=f"faces, val, {OWN_PEOPLE}")).endswith(
        "; the real rate is higher for strangers"
    )
    assert check()[0] == "warn"
    line(HUNDREDTH)
    assert check() == ("warn", "for FMR 0.01; not for 0.001, the default of identify")
