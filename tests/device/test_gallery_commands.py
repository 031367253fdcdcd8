"""`edgeface enroll`, `identify`, `verify`, `gallery`, `watch` and `detect` as a user meets them."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from edgeface import FaceReader, Identified, create_gallery, enroll_photos, identify_faces, watch_faces
from edgeface.bundle import store_thresholds
from edgeface.cli import app
from edgeface.cli.watch import draw
from edgeface.data.synthetic import draw_face, synthetic_person
from edgeface.errors import FaceError, GalleryError, ImageError
from edgeface.gallery import Match
from edgeface.thresholds import Threshold


@pytest.fixture(scope="module")
def place(tiny_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two people's photos, a photo without a face, and a bundle that has thresholds."""
    folder = tmp_path_factory.mktemp("door")
    shutil.copytree(tiny_bundle, folder / "bundle")
    entry = Threshold(1e-3, 0.9, 0.2, 5000, 100, "synthetic")
    store_thresholds(folder / "bundle", [entry])
    for name, identity, seed in (("ann", 0, 5), ("bob", 1, 5)):
        canvas = np.full((300, 300, 3), 128, np.uint8)
        canvas[30:270, 30:270] = draw_face(synthetic_person(0, identity), np.random.default_rng(seed), 240)
        cv2.imwrite(str(folder / f"{name}.png"), canvas[:, :, ::-1])
    cv2.imwrite(str(folder / "wall.png"), np.full((200, 200, 3), 90, np.uint8))
    return folder


def run(*arguments: object, code: int = 0):
    done = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert done.exit_code == code, f"{done.output}\n{done.exception!r}"
    assert "Traceback" not in done.output
    return done


@pytest.fixture
def gallery(place: Path, tmp_path: Path) -> Path:
    path = tmp_path / "door.gallery"
    run("enroll", path, place / "ann.png", "--name", "ann", "--bundle", place / "bundle")
    return path


def test_enrol_identify_verify(place: Path, gallery: Path) -> None:
    done = run("identify", gallery, place / "ann.png")
    assert done.stdout == f"{place / 'ann.png'}: ann 1.0000\n"
    assert "threshold cosine 0.9000 for FMR 0.001" in done.stderr
    assert "5000 impostor" in done.stderr
    answer = json.loads(run("identify", gallery, place / "ann.png", place / "wall.png", "--json", "--all").stdout)
    (face,) = answer["results"][0]["faces"]
    assert face["name"] == "ann"
    assert face["nearest"][0]["similarity"] == pytest.approx(1, abs=1e-3)
    assert "no face found" in answer["results"][1]["error"]
    assert "unknown" not in run("identify", gallery, place / "ann.png", "--threshold", "-1").stdout
    strict = run("identify", gallery, place / "bob.png", "--threshold", "1").stdout
    assert "unknown (nearest: ann" in strict
    same = run("verify", place / "ann.png", place / "ann.png", "--bundle", place / "bundle", "--json").stdout
    assert json.loads(same)["same"] is True
    run("verify", place / "ann.png", place / "bob.png", "--bundle", place / "bundle", "--threshold", "1", code=1)


def test_what_cannot_be_done_is_said_in_a_line(place: Path, gallery: Path, tmp_path: Path) -> None:
    new = tmp_path / "new.gallery"
    for arguments, message in (
        (("enroll", new, place / "ann.png", "--name", "ann"), "--bundle"),
        (("enroll", gallery, place / "ann.png", "--name", "ann"), "--add"),
        (("enroll", gallery, place / "wall.png", "--name", "wall"), "no face found"),
        (("enroll", gallery, place / "none.png", "--name", "none"), "none.png"),
        (("enroll", gallery, place / "ann.png", "--name", "eve", "--keep-photos"), "chosen when a gallery is made"),
        (("enroll", new, place / "wall.png", "--name", "ann", "--bundle", place / "bundle"), "no face found"),
        (("identify", new, place / "ann.png"), "no such gallery"),
        (("identify", place, place / "ann.png"), "is a folder; a gallery is a file"),
        (("identify", gallery, place / "wall.png"), "no face found"),
        (("identify", gallery, place / "ann.png", "--fmr", "1e-5"), "calibrate"),
        (("identify", gallery, place / "ann.png", "--detector", "magic"), "unknown detector"),
        (("identify", gallery, place / "ann.png", "--quality", "best"), "unknown quality"),
        (("identify", gallery, place / "ann.png", "--key-file", place / "ann.png"), "is not encrypted"),
        (("gallery", "remove", gallery, "bob"), "nobody is called bob"),
        (("gallery", "rebuild", gallery), "no photos were kept"),
        (("watch", gallery, "--camera", tmp_path / "none.mp4"), "no such camera"),
        (("watch", gallery, "--camera", place / "bundle" / "labels.txt", "--no-window"), "not a video"),
        (("watch", gallery, "--camera", "97", "--no-window"), "camera 97: cannot be opened"),
        (("detect", place / "wall.png"), "no face found"),
    ):
        done = run(*arguments, code=2)
        assert message in done.stderr, arguments
        assert done.stderr.splitlines()[-1].startswith("error: ")
    assert not new.exists()


def test_two_names_for_one_face_are_warned_of(place: Path, gallery: Path) -> None:
    done = run("enroll", gallery, place / "ann.png", "--name", "anna")
    assert "warning: anna looks like ann, enrolled already (cosine 1.0000)" in done.stderr
    done = run("enroll", gallery, place / "bob.png", "--name", "ann", "--add")
    assert done.stdout.startswith("ann: 1 template")


def test_the_gallery_commands(place: Path, gallery: Path, tmp_path: Path) -> None:
    run("gallery", "rename", gallery, "ann", "Ann Smith")
    (person,) = json.loads(run("gallery", "list", gallery, "--json").stdout)
    assert person == {"name": "Ann Smith", "templates": 1, "photos": 0}
    run("gallery", "export", gallery, tmp_path / "people.json")
    run("gallery", "export", gallery, tmp_path / "people.json", code=2)
    other = tmp_path / "other.gallery"
    run("gallery", "import", other, tmp_path / "people.json", "--bundle", place / "bundle")
    assert json.loads(run("gallery", "info", other, "--json").stdout)["templates"] == 1
    run("gallery", "remove", gallery, "Ann Smith")
    assert "is empty" in run("identify", gallery, place / "ann.png", code=2).stderr


def test_a_gallery_with_photos_moves_to_another_model(place: Path, tiny_bundles: dict[str, Path], tmp_path) -> None:
    path = tmp_path / "kept.gallery"
    run("enroll", path, place / "ann.png", "--name", "ann", "--bundle", place / "bundle", "--keep-photos")
    other = tiny_bundles["int8"]
    assert "gallery rebuild" in run("identify", path, place / "ann.png", "--bundle", other, code=2).stderr
    run("gallery", "rebuild", path, "--bundle", other, "--flip")
    done = run("identify", path, place / "ann.png", "--threshold", "0.99")
    assert done.stdout.endswith(": ann 1.0000\n")
    assert json.loads(run("gallery", "info", path, "--json").stdout)["flip"] is True


def test_a_rebuild_reads_the_photos_as_they_were_enrolled(place: Path, tmp_path: Path) -> None:
    """Cropped photos, in which no detector may look for a face: every photo is its own template again."""
    path = tmp_path / "crops.gallery"
    options = ("--bundle", place / "bundle", "--detector", "none")
    run("enroll", path, place / "ann.png", "--name", "ann", *options, "--keep-photos")
    run("gallery", "rebuild", path)
    done = run("identify", path, place / "ann.png", "--threshold", "0.99")  # read as they were enrolled
    assert done.stdout.endswith(": ann 1.0000\n")
    other = run("enroll", path, place / "bob.png", "--name", "bob", "--detector", "cascade", code=2)
    assert "read with --detector none" in other.stderr
    create_gallery(tmp_path / "silent.gallery", FaceReader(place / "bundle").bundle, keep_photos=True).close()
    assert "give --detector" in run("gallery", "rebuild", tmp_path / "silent.gallery", code=2).stderr


def test_watch_prints_json_lines_and_a_video_ends(place: Path, gallery: Path, tmp_path: Path) -> None:
    video = tmp_path / "door.avi"
    writer = cv2.VideoWriter(str(video), cv2.VideoWriter_fourcc(*"MJPG"), 20, (300, 300))
    for _ in range(6):
        writer.write(cv2.imread(str(place / "ann.png")))
    writer.release()
    done = run("watch", gallery, "--camera", video, "--no-window", "--max-fps", "1000")
    frames = [json.loads(line) for line in done.stdout.splitlines()]
    assert 1 <= len(frames) <= 6
    assert [frame["frame"] for frame in frames] == sorted({frame["frame"] for frame in frames})
    assert all(face["name"] == "ann" for frame in frames for face in frame["faces"])
    folder = tmp_path / "photos"
    folder.mkdir()
    shutil.copy(place / "ann.png", folder)
    (folder / "bad.jpg").write_bytes(b"not a photo")
    first, second = map(json.loads, run("watch", gallery, "--camera", folder, "--no-window").stdout.splitlines())
    assert first["faces"][0]["name"] == "ann"
    assert "bad.jpg" in second["error"]


def test_the_python_way_is_as_short(place: Path, tiny_bundles: dict[str, Path], tmp_path: Path) -> None:
    reader = FaceReader(place / "bundle")
    with create_gallery(tmp_path / "door.gallery", reader.bundle) as gallery:
        assert enroll_photos(reader, gallery, "ann", [place / "ann.png"]) == 1
        assert reader.similarity(place / "ann.png", place / "ann.png") == pytest.approx(1)
        (face,) = identify_faces(reader, gallery, place / "ann.png", threshold=0.9)
        assert face.name == "ann"
        assert face.matches[0].similarity <= 1
        (seen,) = (faces for frame, faces in watch_faces(reader, gallery, str(place), 0.9) if "ann" in frame.name)
        assert [face.name for face in seen] == ["ann"]
        for bad in (None, np.zeros((40, 40), np.uint8), np.zeros((40, 40, 3))):
            with pytest.raises(ImageError, match="expected an RGB uint8 image"):
                reader.faces(bad)
        with pytest.raises(FaceError, match="no photos given"):
            enroll_photos(reader, gallery, "cid", [])
        other = FaceReader(tiny_bundles["int8"])
        for call in (
            lambda: enroll_photos(other, gallery, "bob", [place / "bob.png"]),
            lambda: identify_faces(other, gallery, place / "ann.png", 0.9),
        ):
            with pytest.raises(GalleryError, match="another model"):
                call()


def test_a_watched_frame_shows_box_and_name() -> None:
    for size, shown in (((100, 200), (320, 640)), ((3000, 1500), (1280, 640)), ((720, 960), (720, 960))):
        image = np.zeros((*size, 3), np.uint8)
        box = (size[1] * 0.9, 0.0, size[1] * 0.1, size[0] * 0.5)  # the name must not leave the picture
        for name, colour in (("ann", (0, 200, 0)), (None, (0, 160, 255))):
            picture = draw(image, [Identified(box, name, (Match("ann", 0.8),))])
            assert picture.shape == (*shown, 3)
            bar = (picture == colour).all(axis=2)
            assert bar[:15].sum() > 300
            assert bar.sum() > 700
        assert draw(image, []).max() == 0
        assert draw(image, [Identified(box, None, ())]).max() == 255  # everybody was removed meanwhile
    assert draw(np.zeros((16, 60_000, 3), np.uint8), []).shape == (1, 1280, 3)


def test_what_fails_leaves_no_new_gallery_and_rebuild_keeps_flip(
    place: Path, tiny_bundles: dict[str, Path], gallery: Path, tmp_path: Path
) -> None:
    run("gallery", "export", gallery, tmp_path / "people.json")
    new = tmp_path / "new.gallery"
    done = run("gallery", "import", new, tmp_path / "people.json", "--bundle", tiny_bundles["int8"], code=2)
    assert "model_sha256" in done.stderr
    assert not list(tmp_path.glob("new.gallery*"))
    kept = tmp_path / "kept.gallery"
    run("enroll", kept, place / "ann.png", "--name", "a", "--bundle", place / "bundle", "--keep-photos", "--flip")
    run("gallery", "rebuild", kept, "--bundle", tiny_bundles["int8"])
    assert "flip            yes\n" in run("gallery", "info", kept).stdout
    run("gallery", "rebuild", kept, "--no-flip")
    assert "flip            no\n" in run("gallery", "info", kept).stdout


def test_detect_writes_aligned_faces(place: Path, tmp_path: Path) -> None:
    done = run("detect", place / "ann.png", place / "wall.png", "--out", tmp_path / "faces", "--size", 64)
    assert done.stdout.splitlines()[-1].startswith("1 of 2 photos with a face, 1 (50.00 %)")
    assert cv2.imread(str(tmp_path / "faces" / "ann.png")).shape == (64, 64, 3)
    run("detect", place / "ann.png", place / "wall.png", "--fail-under", "0.9", code=1)


def test_an_import_makes_a_missing_key_and_without_cryptography_none_is_made(
    place: Path, gallery: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    people, new, key = tmp_path / "people.json", tmp_path / "new.gallery", tmp_path / "new.key"
    run("gallery", "export", gallery, people)
    arguments = ("--bundle", place / "bundle", "--key-file", key)
    with monkeypatch.context() as without:
        without.setitem(sys.modules, "cryptography.exceptions", None)
        enroll = ("enroll", new, place / "ann.png", "--name", "ann", "--detector", "none")
        for command in (enroll, ("gallery", "import", new, people)):
            done = run(*command, *arguments, code=2)
            assert "edgeface[secure]" in done.stderr
            assert "new key" not in done.stderr
            assert not key.exists()
            assert not new.exists()
    pytest.importorskip("cryptography")
    assert f"{key}: new key" in run("gallery", "import", new, people, *arguments).stderr
    assert "ann" in run("gallery", "list", new, "--key-file", key).stdout


def test_the_same_photo_twice_is_one_template(place: Path, gallery: Path, tmp_path: Path) -> None:
    done = run("enroll", gallery, place / "bob.png", place / "ann.png", place / "bob.png", "--name", "ann", "--add")
    assert done.stdout == "ann: 1 template enrolled, 2 in all\n"
    assert "left out 2 templates that are there already" in done.stderr
    run("gallery", "export", gallery, tmp_path / "people.json")
    done = run("gallery", "import", gallery, tmp_path / "people.json", "--add")
    assert "left out 2 templates" in done.stderr
    assert "ann  2 templates\n" in run("gallery", "list", gallery).stdout


@pytest.mark.slow
def test_watch_ends_cleanly_on_ctrl_c(place: Path, gallery: Path, tmp_path: Path) -> None:
    folder = tmp_path / "many"
    folder.mkdir()
    for number in range(200):
        os.symlink(place / "ann.png", folder / f"{number}.png")
    command = [
        sys.executable,
        "-c",
        "from edgeface.cli import main; main()",
        "watch",
        str(gallery),
        "--camera",
        str(folder),
        "--no-window",
    ]
    for stop in (signal.SIGINT, signal.SIGTERM):
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert json.loads(process.stdout.readline())["faces"][0]["name"] == "ann"
        time.sleep(0.2)
        process.send_signal(stop)
        out, err = process.communicate(timeout=120)
        assert process.returncode == 0, err
        assert all(json.loads(line) for line in out.splitlines())
        assert "Traceback" not in err
        assert "looked at" in err


def test_the_first_answer_loads_no_tensorflow_and_no_other_room(place: Path, gallery: Path) -> None:
    code = (
        "import sys; from typer.testing import CliRunner; from edgeface.cli import app\n"
        f"done = CliRunner().invoke(app, ['identify', {str(gallery)!r}, {str(place / 'ann.png')!r}])\n"
        "assert done.exit_code == 0, done.output\n"
        "heavy = ('tensorflow', 'tf_keras', 'keras', 'sklearn', 'scipy', 'matplotlib', 'cryptography', 'usearch')\n"
        "print([name for name in heavy if name in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


def test_measure_names_every_step_and_the_shares(place: Path) -> None:
    done = run("gallery", "measure", place / "bundle", place / "ann.png", "--templates", 300, "--runs", 2)
    answer = json.loads(done.stdout)
    assert answer["path"]["detector"] == "none"
    steps = answer["path"]["ms"]
    assert list(steps) == ["decode", "detect", "crop", "quantize", "invoke", "normalise"]
    shares = sum(steps[name] for name in ("decode", "crop", "quantize", "normalise")) / steps["invoke"]
    assert answer["path"]["overhead"] == pytest.approx(shares, rel=0.01)
    assert answer["search"]["bytes"] == 300 * 128 * 4 + 300 * 4
    assert 0 < answer["search_share"] < 1
