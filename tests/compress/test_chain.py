"""The chain of a bundle: teacher, student, this model; on its card and in `edgeface inspect`."""

from __future__ import annotations

import json
import shutil

import pytest
from typer.testing import CliRunner

from edgeface.bundle import open_bundle
from edgeface.cli import app
from edgeface.files import sha256
from edgeface.tensorflow_setup import quiet_tensorflow

quiet_tensorflow()

from edgeface.compress import chain
from edgeface.compress.chain import network_of, run_chain
from edgeface.compress.quantize import Request, quantize
from edgeface.models import load_model
from edgeface.models.summary import multiply_adds
from edgeface.run import open_run


@pytest.fixture(scope="module")
def taught(student_run, teacher_run, tmp_path_factory):
    """The student's run, said to have been taught by the teacher."""
    folder = tmp_path_factory.mktemp("taught") / "student"
    shutil.copytree(student_run, folder)
    info = json.loads((folder / "run.json").read_text())
    info["teacher"] = {
        "run": str(teacher_run),
        "weights_sha256": sha256(teacher_run / "weights.h5"),
        "figures": {"val_accuracy": 0.75, "validation_images": 64},
    }
    info["figures"] = {"val_accuracy": 0.5, "validation_images": 64}
    (folder / "run.json").write_text(json.dumps(info))
    return folder


@pytest.fixture(scope="module")
def bundle(taught, tmp_path_factory):
    """int8, with a bench that measures 5, 10 and 20 fps."""
    out = tmp_path_factory.mktemp("bundle") / "door"
    return open_bundle(
        quantize(
            Request(taught, "int8", out=out, calibration=64, quiet=True, fps=lambda paths: [5.0, 10.0, 20.0])
        ).bundle
    )


def test_teacher_student_and_this_model(bundle, taught):
    assert [step["step"] for step in bundle.chain] == ["teacher", "student", "int8"]
    teacher, student, int8 = bundle.chain
    assert teacher["name"] == "teacher"
    model = load_model(open_run(taught))
    assert student["macs"] == int8["macs"] == multiply_adds(model)
    assert teacher["macs"] > student["macs"]
    assert int8["bytes"] == bundle.size
    assert (teacher["fps"], student["fps"], int8["fps"]) == (5.0, 10.0, 20.0)
    assert (teacher["build"]["width"], student["build"]["width"], int8.get("build")) == (1.0, 0.5, None)
    assert network_of(teacher) is not None
    assert network_of({**teacher, "build": None}) is None
    assert network_of({**teacher, "build": {"colour": "red"}}) is None
    assert bundle.accuracy is not None
    assert (student["accuracy"], int8["accuracy"]) == (bundle.accuracy["before"], bundle.accuracy["after"])


def test_a_teacher_that_is_gone_leaves_what_was_written_down(taught, tmp_path):
    moved = tmp_path / "student"
    shutil.copytree(taught, moved)
    info = json.loads((moved / "run.json").read_text())
    info["teacher"]["run"] = str(tmp_path / "gone")
    (moved / "run.json").write_text(json.dumps(info))
    run = open_run(moved)
    teacher, student = run_chain(run, load_model(run))
    assert (teacher["step"], teacher["name"], teacher["accuracy"], teacher["macs"]) == ("teacher", "gone", 0.75, None)
    assert student["accuracy"] == 0.5


def test_recorded_steps_come_first(taught, tmp_path):
    pruned = tmp_path / "pruned"
    shutil.copytree(taught, pruned)
    info = json.loads((pruned / "run.json").read_text())
    taught_by, info["teacher"] = info["teacher"], None
    info["chain"] = [
        {"step": "teacher", "name": "big", "accuracy": 0.9, "macs": 100},
        {"step": "pruned", "name": "pruned", "accuracy": 0.4, "fps": 5.0},
    ]
    (pruned / "run.json").write_text(json.dumps(info))
    run = open_run(pruned)
    model = load_model(run)
    teacher, own = run_chain(run, model)
    assert (teacher["name"], teacher["bytes"]) == ("big", None)
    assert (own["step"], own["accuracy"], own["fps"]) == ("pruned", 0.4, 5.0)
    assert own["macs"] > 0
    moved = pruned.rename(tmp_path / "elsewhere")
    assert [(step["step"], step["name"]) for step in run_chain(open_run(moved), model)] == [
        ("teacher", "big"),
        ("pruned", "elsewhere"),
    ]
    # Another teacher taught it to live with fewer channels.
    (moved / "run.json").write_text(json.dumps({**info, "teacher": taught_by}))
    assert [(step["step"], step["name"]) for step in run_chain(open_run(moved), model)] == [
        ("teacher", "big"),
        ("teacher", "teacher"),
        ("pruned", "elsewhere"),
    ]
    info["quantization"] = {
        "ranges": {}
    }  # trained for int8 in a folder of the same name: it recorded what came before it
    (moved / "run.json").write_text(json.dumps(info))
    same = moved.rename(pruned)
    assert [step["step"] for step in run_chain(open_run(same), model)] == [
        "teacher",
        "pruned",
        "trained for int8",
    ]


def test_the_teacher_of_int8_training_is_told_once(student_run, teacher_run):
    """`student_run` was trained alone."""
    run = open_run(student_run)
    alone = run_chain(run, load_model(run))
    both = chain.taught(alone, teacher_run)
    assert [(step["step"], step["name"]) for step in both] == [("student", "student"), ("teacher", teacher_run.name)]
    assert both[-1]["macs"] > 0
    assert chain.taught(both, teacher_run) == both
    assert chain.taught(alone, None) == alone


def test_a_run_that_began_with_a_bundle_tells_of_it(bundle, student_run, tmp_path):
    longer = tmp_path / "longer"
    shutil.copytree(student_run, longer)
    info = json.loads((longer / "run.json").read_text())
    info["init"] = {"bundle": str(bundle.path), "model_sha256": bundle.model_sha256}
    (longer / "run.json").write_text(json.dumps(info))
    run = open_run(longer)
    assert [step["step"] for step in run_chain(run, load_model(run))] == ["teacher", "student", "int8", "student"]
    info["init"]["model_sha256"] = "another"
    (longer / "run.json").write_text(json.dumps(info))
    run = open_run(longer)
    assert [step["step"] for step in run_chain(run, load_model(run))] == ["student"]


def test_the_card_shows_it(bundle):
    card = (bundle.path / "MODEL_CARD.md").read_text()
    rows = [line for line in card.splitlines() if line.startswith(("| teacher |", "| student |", "| int8 |"))]
    assert len(rows) == 3
    assert "not measured" in rows[0]  # its run's folder holds no accuracy
    assert [row.split("|")[6].strip() for row in rows] == ["5.0", "10.0", "20.0"]


def test_steps_that_nothing_is_known_of_are_not_measured(taught, tmp_path):
    """The teacher's run is gone, so only the student and this model can be timed."""
    moved = tmp_path / "student"
    shutil.copytree(taught, moved)
    info = json.loads((moved / "run.json").read_text())
    info["teacher"]["run"] = str(tmp_path / "gone")
    (moved / "run.json").write_text(json.dumps(info))
    request = Request(moved, "float16", out=tmp_path / "door", quiet=True, fps=lambda paths: [10.0, 20.0])
    assert [step["fps"] for step in quantize(request).chain] == [None, 10.0, 20.0]


def test_a_run_that_began_with_a_run_tells_of_it(taught, tmp_path):
    """The run it began with was pruned; both were taught by the same teacher, which is told once."""
    pruned, longer = tmp_path / "pruned", tmp_path / "longer"
    shutil.copytree(taught, pruned)
    run = open_run(taught)
    info = {**run.info, "chain": [*run_chain(run, load_model(run)), {"step": "pruned", "name": "pruned"}]}
    (pruned / "run.json").write_text(json.dumps(info))
    shutil.copytree(taught, longer)
    begun = {**run.info, "init": {"run": str(pruned), "weights_sha256": info["weights_sha256"]}}
    (longer / "run.json").write_text(json.dumps(begun))
    run = open_run(longer)
    model = load_model(run)
    assert [step["step"] for step in run_chain(run, model)] == ["teacher", "student", "pruned", "student"]
    (pruned / "run.json").write_text(json.dumps({**info, "weights_sha256": "another"}))
    assert [step["step"] for step in run_chain(run, model)] == ["teacher", "student"]


def test_inspect(bundle):
    result = CliRunner().invoke(app, ["inspect", str(bundle.path), "--json"])
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    filled_up = 18 * 18 * 64 * 5  # zeros in the kernel of the stem over rows of pixels
    assert found["macs"] == bundle.chain[-1]["macs"] + filled_up  # gathering is copying
    assert found["not_int8"] == []
    assert found["operators"]["CONV_2D"] == 17
    assert found["arena_bytes"] > 40 * 40 * 3 * 4
    stem = next(tensor for tensor in found["tensors"] if tensor["shape"] == [64, 5, 1, 16])
    assert stem["dtype"] == "int8"
    assert len(stem["scales"]) == 64
    assert set(stem["zero_points"]) == {0}
    shown = CliRunner().invoke(app, ["inspect", str(bundle.path)]).stdout
    assert "operators not in int8: none" in shown
    assert "(64 channels)" in shown
    assert "tensors" not in CliRunner().invoke(app, ["inspect", str(bundle.path), "--quiet"]).stdout
    assert CliRunner().invoke(app, ["inspect", str(bundle.path / "nothing")]).exit_code == 2
