"""What pruning and further training take from a run: its accuracy on the same images, and its zeros."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
from typer.testing import CliRunner

from edgeface.cli import app
from edgeface.files import sha256
from edgeface.recipe import load_recipe
from edgeface.run import open_run
from edgeface.tensorflow_setup import quiet_tensorflow

quiet_tensorflow()

from edgeface.compress import prune as room
from edgeface.compress.goal import Goal
from edgeface.compress.prune import Request, prune
from edgeface.compress.sparse import Sparsity, sparsify
from edgeface.models import load_model
from edgeface.train import session
from edgeface.train.recipes import recipe_path


def request_for(run, out, **options):
    recipe = load_recipe(recipe_path("prune")[0], "student", None, load_recipe(run / "recipe.toml", "student"))
    return Request(run, out, recipe, "prune", importance="magnitude", rounds=1, align=4, quiet=True, **options)


def test_the_accuracies_before_and_after_are_measured_alike(student_run, splits):
    first = open_run(student_run)
    elsewhere = replace(first, figures={"val_accuracy": 0.0123, "validation_images": 999})
    last = replace(first, figures={"val_accuracy": 0.5, "validation_images": 999})  # in bfloat16, perhaps
    figures = room._figures(elsewhere, last, splits[1])
    logits = load_model(first)(first.face_input.normalise(np.asarray(splits[1].images)), training=False)["logits"]
    assert figures["before"]["accuracy"] == np.mean(np.argmax(logits, axis=1) == splits[1].labels)
    assert (figures["after"]["accuracy"], figures["images"]) == (figures["before"]["accuracy"], len(splits[1]))


@pytest.fixture
def half_zero(student_run, tmp_path):
    """The student with the smaller half of every kernel's weights at zero, as a run."""
    folder = tmp_path / "half"
    shutil.copytree(student_run, folder)
    model = load_model(open_run(folder))
    sparsify(model, Sparsity(0.5))
    model.save_weights(folder / "weights.h5")
    info = json.loads((folder / "run.json").read_text())
    (folder / "run.json").write_text(json.dumps({**info, "weights_sha256": sha256(folder / "weights.h5")}))
    return folder


def test_zeros_that_training_fills_are_told(half_zero, faces, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(session, "fit", lambda job, resume: exit())
    lost = "% of the weights are zero, and training does not keep them so"

    def said(request):
        with pytest.raises(SystemExit):
            prune(request)
        return capsys.readouterr().err

    assert lost in said(request_for(half_zero, tmp_path / "narrow", goal=Goal("macs", 0.6)))
    assert said(request_for(half_zero, tmp_path / "sparse", sparsity=Sparsity(0.8))) == ""
    options = ["--out", tmp_path / "on", "--set", "size=40", "--set", "batch_size=16", "--quiet"]
    result = CliRunner().invoke(app, ["train", "student", str(faces), "--init", str(half_zero), *map(str, options)])
    assert lost in result.stderr
