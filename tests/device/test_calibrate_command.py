"""`edgeface calibrate` as a user meets it."""

from __future__ import annotations

import json
import math
import re
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from edgeface.bundle import open_bundle, store_thresholds
from edgeface.cli import app
from edgeface.data.synthetic import draw_face, synthetic_person
from edgeface.thresholds import Threshold


@pytest.fixture
def strangers(tmp_path: Path) -> Path:
    """Eight people the network does not know, three photos each: 24 genuine and 252 impostor pairs."""
    rng = np.random.default_rng(5)
    for person in range(8):
        (tmp_path / "strangers" / f"stranger_{person}").mkdir(parents=True)
        face = cv2.resize(rng.integers(0, 256, (6, 5, 3), dtype=np.uint8), (40, 48), interpolation=cv2.INTER_CUBIC)
        for number in range(3):
            photo = (face + rng.normal(0, 12, face.shape)).clip(0, 255).astype(np.uint8)
            cv2.imwrite(str(tmp_path / "strangers" / f"stranger_{person}" / f"{number}.png"), photo)
    return tmp_path / "strangers"


def run(*arguments: object):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_thresholds_are_measured_shown_and_stored(bundle: Path, strangers: Path, tmp_path: Path) -> None:
    figure = tmp_path / "door.png"
    done = run("calibrate", bundle, strangers, "--figure", figure)
    assert done.exit_code == 0, done.stderr
    assert re.search(r"FMR 0\.1 +cosine 0\.\d{4} +FNMR", done.stdout)
    assert "strangers, all: 24 photos, 24 genuine and 252 impostor pairs" in done.stdout
    assert "not stated: FMR 0.01, 0.001, 0.0001, 1e-05; 252 impostor pairs show none under 0.012" in done.stderr
    (stored,) = open_bundle(bundle).thresholds
    assert (stored.fmr, stored.impostor_pairs, stored.genuine_pairs) == (0.1, 252, 24)
    assert cv2.imread(str(figure)).shape[1] > 1000


def test_flip_is_measured_and_noted(bundle: Path, strangers: Path) -> None:
    plain = json.loads(run("calibrate", bundle, strangers, "--dry-run", "--json").stdout)
    done = run("calibrate", bundle, strangers, "--flip", "--json")
    assert done.exit_code == 0, done.stderr
    (stored,) = open_bundle(bundle).thresholds
    assert stored.flip is True
    assert json.loads(done.stdout)["curve"] != plain["curve"]
    assert plain["thresholds"][0]["flip"] is False


def test_faces_that_the_network_cannot_tell_apart_are_warned_of(bundle: Path, tmp_path: Path) -> None:
    """As when the photos are cropped otherwise than those it learnt: here every photo is noise."""
    rng = np.random.default_rng(0)
    for person in range(8):
        (tmp_path / "noise" / f"n{person}").mkdir(parents=True)
        for number in range(4):
            photo = cv2.resize(rng.integers(0, 256, (6, 6, 3), np.uint8), (48, 48), interpolation=cv2.INTER_CUBIC)
            cv2.imwrite(str(tmp_path / "noise" / f"n{person}" / f"{number}.png"), photo)
    done = run("calibrate", bundle, tmp_path / "noise", "--dry-run", "--json")
    assert json.loads(done.stdout)["eer"] > 0.3
    assert any("near guessing" in warning for warning in json.loads(done.stdout)["warnings"])


def test_what_lies_in_the_bundle_or_behind_a_link_is_kept(bundle: Path, strangers: Path, tmp_path: Path) -> None:
    inside = run("calibrate", bundle, strangers, "--figure", bundle / "roc.png")
    assert (inside.exit_code, "write the figure beside it" in inside.stderr) == (2, True)
    current = tmp_path / "current"
    current.symlink_to(bundle)
    assert run("calibrate", current, strangers).exit_code == 0
    assert current.is_symlink()
    assert len(open_bundle(bundle).thresholds) == 1
    (bundle / "door.gallery").write_text("people")
    shutil.rmtree(strangers / ".edgeface-cache")
    done = run("calibrate", bundle, strangers)
    assert done.exit_code == 2
    assert "holds other files (door.gallery); choose another folder or move them out" in done.stderr
    assert (bundle / "door.gallery").read_text() == "people"
    assert not (strangers / ".edgeface-cache").exists()  # said before anything is measured


def test_json_and_dry_run(bundle: Path, strangers: Path) -> None:
    before = (bundle / "bundle.json").read_bytes()
    done = run("calibrate", bundle, strangers, "--dry-run", "--json", "--quiet")
    answer = json.loads(done.stdout)
    assert (answer["stored"], answer["impostor_pairs"]) == (False, 252)
    assert answer["warnings"] == ["only 24 genuine pairs: the FNMR is a guess; give 100 or more"]
    assert answer["refused_fmr"] == [1e-2, 1e-3, 1e-4, 1e-5]
    rates = [(point["fmr"], point["fnmr"]) for point in answer["curve"]]
    assert rates == sorted(rates, key=lambda rate: (-rate[0], rate[1]))
    assert done.stderr == ""
    assert (bundle / "bundle.json").read_bytes() == before


def test_lost_rates_and_few_pairs_are_warned_of(bundle: Path, strangers: Path) -> None:
    good = [Threshold(fmr, 0.5, 0.1, 699_634, 5000, "lfw") for fmr in (1e-1, 1e-2, 1e-3)]
    store_thresholds(bundle, good)
    lost = "FMR 0.01, 0.001 (the default of identify) {} stated any more (it rested on 699634 impostor pairs of lfw)"
    done = run("calibrate", bundle, strangers, "--dry-run")
    assert "warning: " + lost.format("would not be") in done.stderr
    assert open_bundle(bundle).thresholds == tuple(good)
    done = run("calibrate", bundle, strangers, "--quiet")
    assert "warning: only 24 genuine pairs" in done.stderr
    assert "warning: " + lost.format("is not") in done.stderr
    (stored,) = open_bundle(bundle).thresholds
    assert stored.detector == "none"


def test_pairs_of_aligned_photos(bundle: Path, tmp_path: Path, tiny_photos: np.ndarray) -> None:
    for person in range(8):
        (tmp_path / "lfw" / f"p{person}").mkdir(parents=True)
        for number in (1, 2):
            cv2.imwrite(str(tmp_path / "lfw" / f"p{person}" / f"p{person}_{number:04d}.jpg"), tiny_photos[person])
    lines = [f"p{n % 8}\t1\t2" for n in range(40)] + [f"p{n % 8}\t1\tp{(n + 1) % 8}\t2" for n in range(40)]
    (tmp_path / "pairs.txt").write_text("\n".join(["40", *lines]))
    done = run("calibrate", bundle, tmp_path / "pairs.txt", "--json", "--detector", "none")
    assert done.exit_code == 0, done.stderr
    assert json.loads(done.stdout)["photos"] == 16
    assert open_bundle(bundle).threshold(0.1).data.endswith("/pairs.txt")
    flipped = run("calibrate", bundle, tmp_path / "pairs.txt", "--json", "--detector", "none", "--flip", "--dry-run")
    assert json.loads(flipped.stdout)["thresholds"][0]["flip"] is True
    (tmp_path / "lfw" / "p0" / "p0_0001.jpg").write_bytes(b"")
    strict = run("calibrate", bundle, tmp_path / "pairs.txt", "--detector", "none", "--strict")
    assert (strict.exit_code, "p0_0001.jpg" in strict.stderr) == (2, True)
    done = run("calibrate", bundle, tmp_path / "pairs.txt", "--detector", "none", "--dry-run")
    assert "left out 1 of 16 photos; first: " in done.stderr


def test_the_networks_own_people_in_a_pairs_file_are_warned_of(bundle: Path, tiny_photos: np.ndarray) -> None:
    people = open_bundle(bundle).labels[:4]
    for person, name in enumerate(people):
        (bundle.parent / "own" / name).mkdir(parents=True)
        for number in (1, 2):
            cv2.imwrite(str(bundle.parent / "own" / name / f"{name}_{number:04d}.jpg"), tiny_photos[person])
    lines = [f"{people[n % 4]}\t1\t2" for n in range(30)]
    lines += [f"{people[n % 4]}\t1\t{people[(n + 1) % 4]}\t2" for n in range(30)]
    (bundle.parent / "own" / "pairs.txt").write_text("\n".join(["30", *lines]))
    done = run("calibrate", bundle, bundle.parent / "own" / "pairs.txt", "--detector", "none")
    assert done.exit_code == 0, done.stderr
    assert "the network was trained on these people" in done.stderr
    assert open_bundle(bundle).threshold(0.1).of_own_people


def test_the_networks_own_people_are_warned_of(bundle: Path, tiny_data: Path) -> None:
    done = run("calibrate", bundle, tiny_data)
    assert done.exit_code == 2
    assert "two people with two photos each are needed" in done.stderr
    for number, photo in enumerate(sorted((tiny_data / "val").rglob("*.png"))):
        for copy in range(3):
            image = np.roll(cv2.imread(str(photo)), copy + number, axis=1)
            cv2.imwrite(str(photo.with_name(f"copy{copy}.png")), image)
    done = run("calibrate", bundle, tiny_data)
    assert done.exit_code == 0, done.stderr
    assert "the network was trained on these people" in done.stderr
    assert open_bundle(bundle).threshold(0.1).data.endswith(", val, people it was trained on")


def test_loose_photos_are_read_with_a_detector(bundle: Path, tmp_path: Path) -> None:
    for person in range(6):
        (tmp_path / "loose" / f"p{person}").mkdir(parents=True)
        for number in range(2):
            canvas = np.full((200, 200, 3), 128, np.uint8)
            canvas[20:180, 20:180] = draw_face(synthetic_person(3, person), np.random.default_rng(number), 160)
            cv2.imwrite(str(tmp_path / "loose" / f"p{person}" / f"{number}.png"), canvas[:, :, ::-1])
    cv2.imwrite(str(tmp_path / "loose" / "p0" / "wall.png"), np.full((200, 200, 3), 90, np.uint8))
    done = run("calibrate", bundle, tmp_path / "loose", "--detector", "cascade", "--json")
    assert done.exit_code == 0, done.stderr
    answer = json.loads(done.stdout)
    lost = answer["photos_without_face"]
    assert 1 <= lost < 4
    assert answer["photos"] == 13
    assert answer["genuine_pairs"] + answer["impostor_pairs"] == math.comb(13 - lost, 2)
    assert answer["pairs_left_out"] == math.comb(13, 2) - math.comb(13 - lost, 2)
    (tmp_path / "loose" / "p0" / "wall.png").write_bytes(b"")
    done = run("calibrate", bundle, tmp_path / "loose", "--detector", "cascade", "--dry-run")
    assert done.exit_code == 0, done.stderr
    assert "left out 1 of 13 photos; first: " in done.stderr
    strict = run("calibrate", bundle, tmp_path / "loose", "--detector", "cascade", "--strict")
    assert (strict.exit_code, "wall.png" in strict.stderr) == (2, True)


def test_photos_without_any_face_are_said_to_have_none(bundle: Path, tmp_path: Path) -> None:
    for name in ("ann/1.png", "ann/2.png", "bob/1.png", "bob/2.png"):
        (tmp_path / "walls" / name).parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(tmp_path / "walls" / name), np.full((80, 80, 3), 127, np.uint8))
    done = CliRunner().invoke(app, ["calibrate", str(bundle), str(tmp_path / "walls"), "--detector", "cascade"])
    assert done.exit_code == 2
    assert "its 4 photos give no faces to compare" in done.stderr


def test_bad_input(bundle: Path, strangers: Path, tmp_path: Path) -> None:
    for arguments in (
        (tmp_path / "nothing", strangers),
        (bundle, tmp_path / "nothing"),
        (bundle, strangers / "stranger_0"),
        (bundle, strangers, "--split", "train"),
    ):
        done = run("calibrate", *arguments)
        assert done.exit_code == 2, arguments
        assert done.stderr.splitlines()[-1].startswith("error: ")
        assert "Traceback" not in done.stderr
