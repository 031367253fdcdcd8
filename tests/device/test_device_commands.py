"""`edgeface predict` and `edgeface bench` as a user meets them."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import typer
from typer.testing import CliRunner


@pytest.fixture(scope="module")
def app() -> typer.Typer:
    from edgeface.cli import bench, predict

    app = typer.Typer(pretty_exceptions_enable=False)
    predict.register(app)
    bench.register(app)
    return app


@pytest.fixture
def photos(tmp_path: Path, tiny_photos: np.ndarray) -> list[str]:
    paths = [tmp_path / f"{number}.png" for number in range(3)]
    for path, photo in zip(paths, tiny_photos, strict=False):
        cv2.imwrite(str(path), photo)
    return [str(path) for path in paths]


def run(app: typer.Typer, *arguments: object):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_names_and_confidence(app: typer.Typer, tiny_bundle: Path, photos: list[str]) -> None:
    done = run(app, "predict", tiny_bundle, *photos, "--top", 2)
    assert done.exit_code == 0
    lines = done.stdout.splitlines()
    assert len(lines) == 3
    for path, line in zip(photos, lines, strict=True):
        assert line.startswith(f"{path}: person_")
        assert line.count("person_") == 2
        assert line.count(" %") == 2


def test_a_folder_stands_for_its_photos(app: typer.Typer, tiny_bundle: Path, photos: list[str], tmp_path: Path) -> None:
    done = run(app, "predict", tiny_bundle, tmp_path, "--top", 1, "--json")
    assert [Path(entry["image"]).name for entry in json.loads(done.stdout)["results"]] == sorted(
        Path(path).name for path in photos
    )


def test_json(app: typer.Typer, tiny_bundle: Path, photos: list[str]) -> None:
    done = run(app, "predict", tiny_bundle, *photos, "--json")
    answer = json.loads(done.stdout)
    assert [entry["image"] for entry in answer["results"]] == photos
    for entry in answer["results"]:
        assert entry["top"][0] == {"identity": entry["identity"], "confidence": entry["confidence"]}
        assert len(entry["top"]) == 5
    assert answer["bad_images"] == 0


def test_bad_photos_are_counted_or_refused(app: typer.Typer, tiny_bundle: Path, photos: list[str], tmp_path) -> None:
    bad = tmp_path / "bad.jpg"
    bad.write_bytes(b"not a photo")
    done = run(app, "predict", tiny_bundle, photos[0], bad)
    assert done.exit_code == 0
    assert "1 of 2 photos could not be read" in done.stderr
    assert len(done.stdout.splitlines()) == 1
    for arguments in ((bad,), (photos[0], bad, "--strict"), (bad, bad)):
        done = run(app, "predict", tiny_bundle, *arguments)
        assert done.exit_code == 2
        assert done.stderr.splitlines()[-1].startswith("error: ")
        assert "Traceback" not in done.stderr
    done = run(app, "predict", tiny_bundle, photos[0], bad, "--json", "--quiet")
    assert json.loads(done.stdout)["results"][1]["error"].startswith(str(bad))


def test_bad_bundle_or_options(app: typer.Typer, tiny_bundle: Path, photos: list[str], tmp_path: Path) -> None:
    for arguments in (
        ("predict", tmp_path / "nothing", *photos),
        ("predict", tiny_bundle, *photos, "--runtime", "onnx"),
        ("predict", tiny_bundle, *photos, "--top", 0),
        ("predict", tiny_bundle),
        ("bench", tmp_path / "nothing"),
        ("bench", tiny_bundle, "--device", "toaster"),
        ("bench", tiny_bundle, "--data", tmp_path / "nothing"),
    ):
        done = run(app, *arguments)
        assert done.exit_code == 2, arguments
        assert "Traceback" not in done.stderr
        assert done.stdout == ""


def test_bench_writes_its_files(app: typer.Typer, tiny_bundle: Path, tmp_path: Path) -> None:
    out, table = tmp_path / "result.json", tmp_path / "table.md"
    done = run(
        app, "bench", tiny_bundle, "--runs", 30, "--seconds", 0.1, "--out", out, "--markdown", table, "--json", "-q"
    )
    assert done.exit_code == 0, done.stderr
    assert json.loads(done.stdout) == json.loads(out.read_text())
    assert done.stderr == ""
    rows = [line for line in table.read_text().splitlines() if line.startswith("| tiny-float32 |")]
    assert len(rows) >= 2  # what it costs, and how it ran
    assert "| cpu | measured |" in rows[0]


def test_help_has_examples(app: typer.Typer) -> None:
    for command in ("predict", "bench"):
        done = run(app, command, "--help")
        assert done.exit_code == 0
        assert f"edgeface {command} bundles/door" in done.stdout
