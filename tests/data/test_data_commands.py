"""`edgeface data` as a user meets it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from edgeface.data.images import encode_image, read_image


def run(*arguments: object) -> Result:
    from edgeface.cli.data import app

    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_check_prints_a_table(drawn: Path) -> None:
    done = run("check", drawn)
    assert done.exit_code == 0, done.output
    assert "identity folders, 4 identities" in done.stdout
    assert [line.split() for line in done.stdout.splitlines() if line.startswith("train")] == [
        ["train", "20", "4", "5", "/", "5", "/", "5"]
    ]
    assert "nothing wrong" in done.stdout


def test_check_exit_codes(faces: Path) -> None:
    (faces / "val/person_00/0005.jpg").write_bytes(b"")
    done = run("check", faces)
    assert done.exit_code == 0
    assert "warning: 1 unusable photo; first: " in done.stdout
    assert run("check", faces, "--strict").exit_code == 2
    (faces / "train/nobody").mkdir()
    done = run("check", faces, "--json", "--quiet")
    assert done.exit_code == 2
    report = json.loads(done.stdout)
    assert (report["errors"], report["warnings"]) == (1, 1)
    assert report["splits"][0]["images"] == 20


def test_check_of_nothing(tmp_path: Path) -> None:
    done = run("check", tmp_path / "absent")
    assert done.exit_code == 2
    assert done.output.startswith("error: ")
    assert "is not a folder" in done.output


def test_split_then_check(people: Path, tmp_path: Path) -> None:
    copy = encode_image(read_image(people / "ann/0.png"), ".jpg", 70)
    (people / "ann/again.jpg").write_bytes(copy)
    done = run("split", people, "--out", tmp_path / "out", "--val", "0.2", "--seed", "4")
    assert done.exit_code == 0, done.output
    assert "train 16, val 3 (2 near-duplicates kept together)" in done.stdout
    assert run("check", tmp_path / "out", "--strict").exit_code == 0


def test_split_refuses_what_is_split_already(drawn: Path, tmp_path: Path) -> None:
    done = run("split", drawn, "--out", tmp_path / "out")
    assert done.exit_code == 2
    assert "--resplit" in done.output
    done = run("split", drawn, "--out", tmp_path / "out", "--resplit", "--json")
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["images"] == {"train": 24, "val": 4}


def test_split_mends_validation_people_absent_from_train(faces: Path, tmp_path: Path) -> None:
    shutil.rmtree(faces / "train/person_02")
    assert run("check", faces).exit_code == 2
    assert run("split", faces, "--out", tmp_path / "out", "--resplit").exit_code == 0
    assert run("check", tmp_path / "out").exit_code == 0


def test_split_warns_of_single_photos(people: Path, tmp_path: Path) -> None:
    for number in range(1, 6):
        (people / f"bob/{number}.png").unlink()
    done = run("split", people, "--out", tmp_path / "out")
    assert done.exit_code == 0
    assert "1 of 3 identities have nothing in val" in done.stderr
    assert "bob" in done.stderr


def test_synth(tmp_path: Path) -> None:
    done = run("synth", tmp_path / "faces", "--identities", 2, "--images", 3, "--size", 40, "--quiet")
    assert done.exit_code == 0, done.output
    assert done.stdout.strip().endswith("6 photos of 2 people, 40x40 pixels")
    assert done.stderr == ""
    assert run("synth", tmp_path / "faces").exit_code == 2


def test_preview(drawn: Path, lists: Path, tmp_path: Path) -> None:
    out = tmp_path / "sheet.png"
    done = run("preview", drawn, "--people", 2, "--columns", 3, "--size", 32, "--out", out)
    assert done.exit_code == 0, done.output
    assert read_image(out).shape == (2 * 36 + 4, 3 * 36 + 4, 3)
    done = run("preview", lists, "--out", out, "--size", 32, "--json")
    assert json.loads(done.stdout)["out"] == str(out)
    assert run("preview", drawn, "--augment", "magic", "--out", out).exit_code == 2
    assert run("preview", drawn, "--out", tmp_path / "sheet.jpg").exit_code == 2


def test_preview_repeats_no_photo(people: Path, tmp_path: Path) -> None:
    out, counts = tmp_path / "sheet.png", [len(list(folder.iterdir())) for folder in people.iterdir()]
    columns = max(counts) + 2
    done = run("preview", people, "--columns", columns, "--size", 32, "--out", out, "--json")
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["images"] == sum(counts)
    assert (read_image(out)[:, -2 * 36 :] == 255).all()


@pytest.mark.parametrize("kind", ["basic", "seaweed"])
def test_preview_of_augmented_photos(drawn: Path, tmp_path: Path, kind: str) -> None:
    pytest.importorskip("tensorflow")
    plain, sheet = tmp_path / "plain.png", tmp_path / f"{kind}.png"
    assert run("preview", drawn, "--size", 48, "--out", plain).exit_code == 0
    done = run("preview", drawn, "--size", 48, "--augment", kind, "--out", sheet)
    assert done.exit_code == 0, done.output
    assert read_image(sheet).shape == read_image(plain).shape
    assert (read_image(sheet) != read_image(plain)).mean() > 0.2
    assert (
        run("preview", drawn, "--size", 48, "--augment", kind, "--recipe", "reference", "--out", plain).exit_code == 0
    )
    assert (read_image(sheet) != read_image(plain)).mean() > 0.2  # its own strengths
