"""A network trained for int8, kept as a run: ordinary for every command, and the same int8 model again."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest

from edgeface.bundle import open_bundle
from edgeface.embedder import Recognizer
from edgeface.errors import RunError, UsageError
from edgeface.tensorflow_setup import quiet_tensorflow

quiet_tensorflow()

from edgeface.compress.qat import Plan
from edgeface.compress.quantize import Request, quantize
from edgeface.models import load_run_model
from edgeface.run import open_run

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def trained(student_run, tmp_path_factory):
    """Taught by its own float self, last layer in floats."""
    folder = tmp_path_factory.mktemp("qat")
    request = Request(
        student_run, "qat", out=folder / "bundle", calibration=64, plan=Plan(1, 1e-3), quiet=True,
        self_distill=True, float_layers="last", save_run=folder / "student-qat",
    )  # fmt: skip
    return quantize(request)


def test_its_own_float_network_teaches(trained):
    assert {"own_embedding", "own_labels", "cross_entropy"} <= set(trained.training[1])
    assert trained.training[1]["own_embedding"] < 0.5  # relative to the float network's pre-logits
    assert trained.float_layers == ("logits",)
    assert any("left in floats as asked: logits" in warning for warning in trained.warnings)
    assert open_bundle(trained.bundle).source["quantization"]["self_distill"] is True


def test_it_reloads_to_the_same_model(trained, splits, tmp_path):
    request = Request(trained.run, "qat", out=tmp_path / "again", plan=Plan(0), quiet=True)
    again = quantize(replace(request, save_run=tmp_path / "kept"))
    # Not the bytes: a tensor's name counts the networks that were made in this process.
    first, second = (Recognizer(one.bundle).logits(splits[1].images, prepared=True) for one in (trained, again))
    np.testing.assert_array_equal(first, second)
    assert again.bytes == pytest.approx(trained.bytes, abs=64)
    assert again.training == []
    assert trained.calibration is not None
    assert again.calibration is None  # the run brings its ranges
    kept, before = (open_run(place).figures for place in (tmp_path / "kept", trained.run))
    assert kept["val_accuracy"] == before["val_accuracy"]
    assert kept["validation_images"] == before["validation_images"] == len(splits[1])
    assert [step["step"] for step in again.chain] == ["student", "trained for int8", "qat"]
    told, first_told = (open_bundle(one.bundle).source["quantization"] for one in (again, trained))
    assert (told["epochs"], told["self_distill"]) == (first_told["epochs"], True) == (1, True)


def test_it_is_an_ordinary_run(trained, student_run, splits):
    model, face_input, identities = load_run_model(trained.run)
    assert identities == open_run(student_run).identities
    images = face_input.normalise(np.asarray(splits[1].images))
    logits = model(images, training=False)["logits"].numpy()
    assert abs(np.mean(logits.argmax(axis=1) == splits[1].labels) - trained.accuracy) < 0.1


def test_refusals(trained, student_run, tmp_path):
    out = tmp_path / "out"
    with pytest.raises(UsageError, match="--epochs 0: give at least 1"):
        quantize(Request(student_run, "qat", out=out, plan=Plan(0)))
    with pytest.raises(UsageError, match="its float layers are settled"):
        quantize(Request(trained.run, "qat", out=out, plan=Plan(0), float_layers="first"))
    with pytest.raises(UsageError, match="brings its ranges; leave --calibration out"):
        quantize(Request(trained.run, "qat", out=out, calibration=64, plan=Plan(0)))
    with pytest.raises(UsageError, match="exists; choose another folder with --save-run"):
        quantize(Request(student_run, "qat", out=out, save_run=trained.run))
    with pytest.raises(UsageError, match="--self-distill teaches, and --epochs 0 trains nothing"):
        quantize(Request(trained.run, "qat", out=out, plan=Plan(0), self_distill=True))
    for option in ({"self_distill": True}, {"float_layers": "last"}, {"save_run": tmp_path / "run"}):
        with pytest.raises(UsageError, match="is for --mode qat"):
            quantize(Request(student_run, "int8", out=out, **option))
    damaged = tmp_path / "damaged"
    shutil.copytree(trained.run, damaged)
    info = json.loads((damaged / "run.json").read_text())
    info["quantization"]["ranges"].popitem()
    (damaged / "run.json").write_text(json.dumps(info))
    with pytest.raises(RunError, match="do not fit the network"):
        quantize(Request(damaged, "qat", out=out, plan=Plan(0)))
