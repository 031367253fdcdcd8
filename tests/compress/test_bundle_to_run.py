"""A bundle turned back into a run, its weights as they are: `edgeface train student --init BUNDLE` with 0 epochs."""

from __future__ import annotations

import json

import numpy as np
import pytest
from typer.testing import CliRunner

from edgeface.cli import app
from edgeface.embedder import Recognizer
from edgeface.recipe import load_recipe
from edgeface.run import open_run
from edgeface.tensorflow_setup import quiet_tensorflow

quiet_tensorflow()

from edgeface.compress.qat import Lesson
from edgeface.compress.quantize import Request, quantize
from edgeface.models import load_model
from edgeface.train.batches import Images
from edgeface.train.outputs import make_predictor, outputs_over

UNTRAINED = ["--set", "stage0.epochs=0", "--set", "stage1.epochs=0", "--set", "batch_size=16"]


def command(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def bundle(student_run, tmp_path_factory):
    """The student in int8."""
    out = tmp_path_factory.mktemp("bundles") / "int8"
    return quantize(Request(student_run, "int8", out=out, calibration=64, quiet=True))


@pytest.fixture(scope="module")
def back(bundle, faces, tmp_path_factory):
    """(the run made of it, what the command printed)."""
    out = tmp_path_factory.mktemp("runs") / "back"
    arguments = ["--init", bundle.bundle, "--out", out, *UNTRAINED, "--set", "size=40", "--json", "--quiet"]
    result = command("train", "student", faces, *arguments)
    assert result.exit_code == 0, result.stderr
    return open_run(out), json.loads(result.stdout)


def test_the_run_computes_what_the_bundle_does(back, bundle, student, splits):
    run, _ = back
    found, first = (
        outputs_over(make_predictor(model), splits[1], run.face_input)["logits"] for model in (load_model(run), student)
    )
    expected = Recognizer(bundle.bundle).logits(splits[1].images, prepared=True)
    assert np.mean(found.argmax(axis=1) == expected.argmax(axis=1)) > 0.98

    def error(other: np.ndarray) -> float:
        """RMS over RMS: the largest error of one logit hangs on the ranges that a training happened on."""
        return float(np.sqrt(np.mean((found - other) ** 2) / np.mean(other**2)))

    assert error(first) <= 2e-2  # by the weights alone
    assert error(expected) <= 5e-2  # and by the bundle's int8 activations


def test_the_run_is_finished_and_was_validated_once(back, splits):
    run, printed = back
    logits = outputs_over(make_predictor(load_model(run)), splits[1], run.face_input)["logits"]
    assert run.figures["val_accuracy"] == np.mean(logits.argmax(axis=1) == splits[1].labels) == printed["val_accuracy"]
    assert run.figures["finished"]
    assert run.figures["validation_images"] == len(splits[1])
    assert not {"stage", "epoch"} & set(run.figures)
    assert (run.path / "metrics.jsonl").read_text() == ""


def test_it_resumes_as_a_finished_run(back, faces):
    run, printed = back
    weights = run.weights.read_bytes()
    again = command("train", "student", faces, "--out", run.path, "--resume", "--json", "--quiet")
    assert again.exit_code == 0, again.stderr
    assert {**json.loads(again.stdout), "seconds": printed["seconds"]} == printed
    assert run.weights.read_bytes() == weights


@pytest.mark.slow
def test_quantize_prune_and_a_student_take_it(back, faces, tmp_path):
    run, _ = back
    for mode, plan in (("int8", []), ("qat", ["--epochs", "1", "--frozen", "0"])):
        arguments = ["--mode", mode, "--calibration", "64", *plan, "--quiet"]
        made = command("quantize", run.path, *arguments, "--out", tmp_path / mode, "--json")
        assert made.exit_code == 0, made.stderr
        assert json.loads(made.stdout)["float_accuracy"] == run.figures["val_accuracy"]
    pruned = command("prune", run.path, "--keep-macs", "0.6", "--align", "4", "--rounds", "1", "--out",
                     tmp_path / "pruned", "--set", "stage1.epochs=1", "--quiet")  # fmt: skip
    assert pruned.exit_code == 0, pruned.stderr
    taught = command("train", "student", faces, "--init", run.path, "--teacher", run.path, "--out", tmp_path / "taught",
                     *UNTRAINED, "--set", "size=40", "--quiet")  # fmt: skip
    assert taught.exit_code == 0, taught.stderr


def test_int8_training_goes_on_with_the_augmentation_the_recipe_describes(back):
    run, _ = back
    nothing = Images(np.zeros((1, 40, 40, 3), np.uint8), np.zeros(1, np.int32))
    recipe = load_recipe(run.recipe, "student", trains=False)
    assert Lesson(nothing, nothing, run.face_input, recipe).stage == recipe.stage2


@pytest.mark.parametrize(
    ("options", "says"),
    [(["--init", "{bundle}"], "--set size=40"), ([], "all stages have 0 epochs")],
)
def test_another_size_and_a_run_from_nothing_are_refused(bundle, faces, tmp_path, options, says):
    options = [option.format(bundle=bundle.bundle) for option in options]
    result = command("train", "student", faces, *options, "--out", tmp_path / "run", *UNTRAINED)
    assert result.exit_code == 2
    assert says in result.stderr
    assert not (tmp_path / "run").exists()
