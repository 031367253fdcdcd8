"""`edgeface quantize`: runs in, measured bundles out, and refusals."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from edgeface.bundle import open_bundle
from edgeface.cli import app
from edgeface.embedder import Recognizer
from edgeface.errors import DataError, GateFailed, RunError, StorageError, UsageError
from edgeface.tensorflow_setup import quiet_tensorflow

quiet_tensorflow()

from edgeface.compress import quantize as room
from edgeface.compress import sensitivity
from edgeface.compress.qat import Plan
from edgeface.compress.quantize import Request, check_gate, quantize

SHORT = Plan(epochs=1, learning_rate=1e-4, frozen_share=0.0)


@pytest.fixture(scope="module")
def outcome(student_run, tmp_path_factory):
    """int8 after training."""
    out = tmp_path_factory.mktemp("bundles") / "int8"
    return quantize(Request(student_run, "int8", out=out, calibration=64, quiet=True))


def test_int8_bundle_is_measured(outcome, splits):
    bundle = open_bundle(outcome.bundle)
    assert (bundle.mode, bundle.io) == ("int8", "float32")
    assert outcome.float_accuracy > 0.5
    assert outcome.drop == pytest.approx(100 * (outcome.float_accuracy - outcome.accuracy))
    assert bundle.accuracy is not None
    assert bundle.accuracy["before"] == outcome.float_accuracy
    assert bundle.accuracy["after"] == outcome.accuracy
    assert bundle.accuracy["embedding_cosine"] == outcome.cosine
    assert outcome.cosine["min"] <= outcome.cosine["p1"] <= outcome.cosine["mean"]
    assert outcome.cosine["mean"] > 0.98
    assert outcome.warnings == ()
    first = bundle.thresholds[0]
    assert (first.fmr, first.genuine_pairs, first.impostor_pairs) == (0.1, 8 * 28, 8 * 8 * 28)
    assert first.fnmr < 0.5
    validation = splits[1]
    assert outcome.images == len(validation)
    logits = Recognizer(outcome.bundle).logits(validation.images, prepared=True)
    assert np.mean(logits.argmax(axis=1) == validation.labels) == outcome.accuracy


def test_bundle_says_where_it_came_from_without_paths(outcome, student_run, faces):
    bundle = open_bundle(outcome.bundle)
    assert bundle.source["run"] == "student"
    assert bundle.source["quantization"]["calibration_images"] == 64
    assert bundle.source["quantization"]["stem"] == "rows"
    text = (outcome.bundle / "bundle.json").read_text() + (outcome.bundle / "MODEL_CARD.md").read_text()
    assert str(student_run.parent) not in text
    assert str(faces.parent) not in text


@pytest.mark.slow
def test_qat_with_a_teacher(student_run, teacher_run, tmp_path):
    out = tmp_path / "qat"
    request = Request(
        student_run, "qat", "int8", teacher=teacher_run, out=out, calibration=64, plan=SHORT, note="toy", quiet=True
    )
    outcome = quantize(request)
    bundle = open_bundle(out)
    assert (bundle.mode, bundle.io) == ("qat", "int8")
    assert bundle.source["quantization"]["teacher"] == "teacher"
    assert [step["step"] for step in bundle.chain] == ["student", "teacher", "qat"]
    assert "toy" in (out / "MODEL_CARD.md").read_text()
    assert [row["epoch"] for row in outcome.training] == [0, 1]
    before, after = (row["val_accuracy"] for row in outcome.training)
    assert bundle.source["quantization"]["kept_epoch"] == (1 if after >= before else 0)
    assert len(outcome.warnings) == (1 if after < before else 0)
    best = max(row["val_accuracy"] for row in outcome.training)
    assert abs(outcome.accuracy - best) <= 2 / outcome.images
    assert {"preparing qat", "training", "converting"} < set(outcome.seconds)


def test_float_layers_are_refused_before_anything_is_evaluated(student_run, tmp_path, monkeypatch):
    monkeypatch.setattr(room, "load_split", None)
    with pytest.raises(UsageError, match="nose: no such layer"):
        quantize(Request(student_run, "qat", out=tmp_path / "out", float_layers="nose"))
    # On a run that is trained for int8 'auto' is refused before the audit is made.
    trained = tmp_path / "trained"
    shutil.copytree(student_run, trained)
    info = json.loads((trained / "run.json").read_text())
    info["quantization"] = {"ranges": {}, "float_layers": [], "teaching": {}}
    (trained / "run.json").write_text(json.dumps(info))
    monkeypatch.setattr(sensitivity, "measure_sensitivity", None)
    result = CliRunner().invoke(app, ["quantize", str(trained), "--mode", "qat", "--float-layers", "auto"])
    assert result.exit_code == 2
    assert "its float layers are settled" in result.stderr


def test_gate(outcome):
    check_gate(outcome, None)
    check_gate(outcome, max(outcome.drop, 0))
    with pytest.raises(GateFailed, match=r"lost .* points .* was written to") as caught:
        check_gate(outcome, outcome.drop - 0.5)
    assert caught.value.exit_code == 1


def test_same_seed_same_bundle(outcome, student_run, tmp_path):
    again = quantize(Request(student_run, "int8", out=tmp_path / "again", calibration=64, quiet=True))
    assert open_bundle(again.bundle).model_sha256 == open_bundle(outcome.bundle).model_sha256


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"calibration": 63}, UsageError, "at least 64"),
        ({"mode": "float16", "io": "int8"}, UsageError, "--io int8 needs"),
        ({"mode": "int4"}, UsageError, "choose one of"),
        ({"teacher": Path("runs/teacher")}, UsageError, "--teacher teaches in --mode qat"),
        ({"mode": "qat", "plan": Plan(epochs=0)}, UsageError, "--epochs 0"),
        ({"mode": "qat", "io": "int8", "float_layers": "last"}, UsageError, "--io int8 contradicts --float-layers"),
        ({"mode": "qat", "save_run": Path(__file__) / "run"}, StorageError, "cannot write"),
        (
            {"mode": "qat", "float_layers": "auto", "sensitivity": {"weights_sha256": "another"}},
            UsageError,
            "is not of",
        ),
    ],
)
def test_refuses_before_it_works(student_run, tmp_path, options, error, message):
    with pytest.raises(error, match=message):
        quantize(Request(student_run, out=tmp_path / "out", **options))
    assert not (tmp_path / "out").exists()


def test_refuses_a_dataset_that_is_gone(student_run, tmp_path):
    moved = tmp_path / "moved"
    shutil.copytree(student_run, moved)
    info = json.loads((moved / "run.json").read_text())
    info["dataset"]["path"] = str(tmp_path / "nowhere")
    (moved / "run.json").write_text(json.dumps(info))
    with pytest.raises(DataError, match="is not there; give the folder with --data"):
        quantize(Request(moved))
    with pytest.raises(DataError, match="nowhere"):
        quantize(Request(moved, data=tmp_path / "nowhere"))


def test_refuses_a_folder_that_is_something_else(student_run, tmp_path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "me.jpg").touch()
    with pytest.raises(UsageError, match=r"exists and holds other files .*; choose another folder"):
        quantize(Request(student_run, out=tmp_path / "photos"))
    with pytest.raises(StorageError, match="cannot write"):
        quantize(Request(student_run, out=tmp_path / "photos" / "me.jpg" / "bundle"))
    assert [path.name for path in tmp_path.rglob("*")] == ["photos", "me.jpg"]


def test_refuses_a_teacher_of_other_people_before_anything_is_evaluated(
    student_run, teacher_run, tmp_path, monkeypatch
):
    monkeypatch.setattr(room, "load_split", None)
    other = tmp_path / "other"
    shutil.copytree(teacher_run, other)
    names = (other / "identities.txt").read_text().splitlines()
    (other / "identities.txt").write_text("\n".join(names[::-1]) + "\n")
    with pytest.raises(RunError, match="knows other identities"):
        quantize(Request(student_run, "qat", teacher=other, out=tmp_path / "out", calibration=64, plan=SHORT))


def test_a_gate_that_is_no_number_is_refused_before_the_work(tmp_path):
    result = CliRunner().invoke(app, ["quantize", str(tmp_path / "run"), "--max-drop", "nan"])
    assert result.exit_code == 2
    assert "--max-drop nan: give points of accuracy" in result.stderr


def test_command_prints_json_obeys_the_gate_and_warns_of_other_data_than_the_run_saw(student_run, faces, tmp_path):
    out, other = tmp_path / "f16", tmp_path / "faces"
    shutil.copytree(faces, other)
    next((other / "train" / "person_0").glob("*.png")).unlink()
    arguments = ["quantize", str(student_run), "--mode", "float16", "--data", str(other), "--out", str(out)]
    result = CliRunner().invoke(app, [*arguments, "--json", "--max-drop", "-101"])
    assert result.exit_code == 1
    values = json.loads(result.stdout)
    assert values["mode"] == "float16"
    assert values["cosine"]["min"] > 0.999
    assert "was written to" in result.stderr
    assert open_bundle(out).mode == "float16"
    (warning,) = values["warnings"]
    assert "is not the data the run was trained on" in warning


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--seed", "-1"], "--seed"),
        (["--sensitivity", "audit.json"], "give both, or leave it out"),
        (["--float-layers", "auto"], "--float-layers is for --mode qat"),
        (["--epochs", "9"], "--epochs is for --mode qat"),
        (["--mode", "float16", "--frozen", "0"], "--frozen is for --mode qat"),
        (["--mode", "float16", "--calibration", "64"], "--calibration is for --mode int8 and qat"),
    ],
)
def test_command_refuses_options_that_would_do_nothing(student_run, tmp_path, arguments, says):
    result = CliRunner().invoke(app, ["quantize", str(student_run), "--out", str(tmp_path / "out"), *arguments])
    assert result.exit_code == 2
    assert says in result.stderr
    assert not (tmp_path / "out").exists()


def test_command_exits_2_on_bad_input(tmp_path):
    result = CliRunner().invoke(app, ["quantize", str(tmp_path / "nothing")])
    assert result.exit_code == 2
    assert "no such run" in result.stderr


@pytest.mark.slow
def test_nothing_but_the_result_is_printed(student_run, tmp_path):
    """In a process of its own, where TensorFlow and the converter would speak up."""
    for mode, plan in (("int8", []), ("qat", ["--epochs", "1", "--frozen", "0"])):
        command = [
            sys.executable, "-c", "from edgeface.cli import main; main()", "quantize", str(student_run),
            "--mode", mode, "--quiet",
            "--calibration", "64", *plan, "--out", str(tmp_path / mode),
        ]  # fmt: skip
        result = subprocess.run(command, capture_output=True, text=True, check=True)
        assert result.stderr == ""
        lines = result.stdout.splitlines()
        assert len(lines) == 4
        assert f"{mode}, float input and outputs" in lines[0]
