"""`edgeface bench` from the command line: views of a result, comparison, and input that cannot be used."""

from __future__ import annotations

import copy
import json
import os
import shutil
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from edgeface.bench import document, host
from edgeface.bench.settings import Entry, Settings
from edgeface.bench.targets import KEPT_FIRST
from edgeface.bundle import write_bundle
from edgeface.cli import app
from edgeface.face_input import FaceInput

TINY_LABELS = tuple(f"person_{number}" for number in range(5))


def run(*arguments: str | Path) -> Any:
    return CliRunner().invoke(app, ["bench", *map(str, arguments)])


@pytest.fixture
def saved(result: dict[str, Any], tmp_path: Path) -> Path:
    path = tmp_path / "old.json"
    path.write_text(json.dumps(result))
    return path


def test_all_views_of_one_result(saved: Path, tmp_path: Path) -> None:
    names = {"--out": "again.json", "--markdown": "r.md", "--csv": "r.csv", "--html": "r.html"}
    asked = [part for option, name in names.items() for part in (option, tmp_path / name)]
    done = run("--from", saved, *asked)
    assert done.exit_code == 0, done.output
    assert "small" in done.stdout
    assert document.read(tmp_path / "again.json") == document.read(saved)
    assert (tmp_path / "r.md").read_text().count("|") > 50
    assert (tmp_path / "r.csv").read_text().startswith("model,")
    assert (tmp_path / "r.html").read_text().startswith("<!doctype html>")
    assert json.loads(run("--from", saved, "--json").stdout) == document.read(saved)


def test_a_gate_fails_with_the_rows(saved: Path, result: dict[str, Any], tmp_path: Path) -> None:
    worse = copy.deepcopy(result)
    worse["rows"][3] |= {"fps": worse["rows"][3]["fps"] * 0.9, "ms": worse["rows"][3]["ms"] / 0.9}
    new = tmp_path / "new.json"
    new.write_text(json.dumps(worse))
    failed = run("--from", new, "--compare", saved, "--fail-if", "fps<0.95x", "--fail-if", "accuracy<-0.5")
    assert failed.exit_code == 1
    assert "small on rpi4 (fps<0.95x)" in failed.stderr
    assert "FAILED fps<0.95x: small on rpi4" in failed.stdout
    passed = run("--from", new, "--compare", saved, "--fail-if", "fps<0.85x", "--json")
    assert passed.exit_code == 0
    comparison = json.loads(passed.stdout)["comparison"]
    assert comparison["failed"] == []
    assert {change["metric"] for change in comparison["changes"]} >= {"fps", "latency", "size", "accuracy"}


def test_a_comparison_that_cannot_be_made_loses_no_result(saved: Path, result: dict[str, Any], tmp_path: Path) -> None:
    renamed = copy.deepcopy(result)
    for row in renamed["rows"]:
        row["name"] += "-other"
    (tmp_path / "new.json").write_text(json.dumps(renamed))
    done = run("--from", tmp_path / "new.json", "--compare", saved, "--out", tmp_path / "kept.json")
    assert done.exit_code == 2
    assert "no row in common" in done.stderr
    assert "-other" in done.stdout
    assert document.read(tmp_path / "kept.json")["rows"] == renamed["rows"]


def test_simulated_devices_from_the_command_line(
    tiny_bundles: dict[str, Path], fake_devices: list[tuple[str, str, int]], tmp_path: Path
) -> None:
    out = tmp_path / "r.json"
    done = run(tiny_bundles["int8"], "--device", "board", "--device", "tiny", "--threads", "1,2", "--out", out)
    assert done.exit_code == 0, done.output
    assert len(fake_devices) == 4
    assert "calibrated-estimate" in done.stdout
    assert [row["device"] for row in document.read(out)["rows"]] == ["board", "board", "tiny", "tiny"]


def test_the_photo_of_the_pipeline_is_one_that_every_network_takes(
    tiny_models: dict[str, bytes], tmp_path: Path
) -> None:
    photos = [tmp_path / "data" / place for place in ("train/ann/a.png", "val/ann/a.png", "val/ann/b.png")]
    for photo, height in zip(photos, (40, 48, 40), strict=True):
        photo.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(photo), np.zeros((height, 30, 3), np.uint8))
    framed = FaceInput(32, crop=(0, 20, 0, 20), frame=(40, 30))
    bundle = write_bundle(tmp_path / "door", tiny_models["int8"], TINY_LABELS, framed, "int8").path
    with host._photo([Entry(bundle, {"name": "door"}, None, 1)], Settings(data=tmp_path / "data")) as photo:
        assert photo == photos[2]


def test_a_result_that_cannot_be_written_is_refused_before_it_is_measured(tiny_bundle: Path, tmp_path: Path) -> None:
    done = run(tiny_bundle, "--device", "cpu", "--out", tmp_path)
    assert done.exit_code == 2
    assert "is a folder; give the name of a file" in done.stderr
    (tmp_path / "file").touch()
    done = run(tiny_bundle, "--device", "cpu", "--csv", tmp_path / "file" / "rows.csv")
    assert done.exit_code == 2
    assert "choose another folder" in done.stderr
    assert done.stdout == ""


@pytest.mark.usefixtures("fake_devices")
def test_a_bundle_whose_name_is_no_utf8_has_every_view(tiny_bundle: Path, tmp_path: Path) -> None:
    odd = Path(os.fsdecode(os.fsencode(tmp_path) + b"/do\xffor"))
    shutil.copytree(tiny_bundle, odd)
    views = [part for kind in ("out", "markdown", "csv", "html") for part in (f"--{kind}", tmp_path / kind)]
    done = run(odd, "--device", "board", *views)
    assert done.exit_code == 0, done.output
    assert "do\ufffdor" in done.stdout
    assert document.read(tmp_path / "out")["rows"][0]["name"] == "do\ufffdor"
    assert "do\ufffdor" in (tmp_path / "html").read_text(encoding="utf-8")


@pytest.mark.usefixtures("fake_devices")
def test_a_qat_bundle_that_kept_its_first_state_says_so(tiny_models: dict[str, bytes], tmp_path: Path) -> None:
    for name, kept in (("first", 0), ("second", 2)):
        source = {"network": "squeezenext_23v5", "quantization": {"mode": "qat", "epochs": 2, "kept_epoch": kept}}
        write_bundle(tmp_path / name, tiny_models["int8"], TINY_LABELS, FaceInput(32), "qat", source=source)
    done = run(tmp_path / "first", tmp_path / "second", "--device", "board", "--markdown", tmp_path / "table.md")
    assert done.exit_code == 0, done.output
    assert f"- first on board: {KEPT_FIRST}\n" in (tmp_path / "table.md").read_text()
    assert "first on board: no epoch of int8 training" in done.stdout


@pytest.mark.usefixtures("fake_devices")
def test_input_that_cannot_be_used(saved: Path, tiny_bundle: Path, tmp_path: Path) -> None:
    cut = tmp_path / "cut.json"
    cut.write_text(saved.read_text()[:500])
    for arguments, message in (
        (["--from", cut], "cannot be read"),
        (["--from", tmp_path / "none.json"], "no such file"),
        (["--from", saved, "--compare", cut], "cannot be read"),
        (["--from", saved, "--fail-if", "fps<0.95x"], "needs --compare"),
        (["--from", saved, "--compare", saved, "--fail-if", "fps<0.95"], "did not change"),
        (["--from", saved, "--compare", saved, "--fail-if", "speed<1x"], "write METRIC<LIMIT"),
        (["--from", saved, tiny_bundle], "without bundles"),
        (["--from", saved, "--device", "cpu", "--threads", "1", "--data", tmp_path], "--device, --threads, --data"),
        (["--from", saved, "--split", "val", "--runs", "9", "--seconds", "9"], "--split, --runs, --seconds"),
        (["--from", saved, "--batch", "32", "--runtime", "tf", "--per-op"], "--batch, --runtime, --per-op"),
        ([], "nothing to measure"),
        ([tiny_bundle, "--threads", "two"], "give numbers"),
        ([tiny_bundle, "--threads", "0"], "usable cores"),
        ([tiny_bundle, "--device", "toaster"], "nearest: board"),
        ([tiny_bundle, "--device", "board", "--runtime", "litert"], "brings its own runtime"),
        ([tmp_path / "nothing"], "does not exist"),
    ):
        done = run(*arguments)
        assert done.exit_code == 2, arguments
        assert message in done.stderr
        assert len(done.stderr.strip().splitlines()) <= 2
        assert "Traceback" not in done.output
