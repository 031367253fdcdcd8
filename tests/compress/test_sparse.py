"""`edgeface prune --unstructured` and `--pattern`: zeros that last through quantization, and what they save."""

from __future__ import annotations

import json

import numpy as np
import pytest
from typer.testing import CliRunner

from edgeface.cli import app
from edgeface.errors import RunError
from edgeface.recipe import load_recipe
from edgeface.run import open_run
from edgeface.tensorflow_setup import quiet_tensorflow

quiet_tensorflow()

from edgeface.compress.audit import operators_with_weights
from edgeface.compress.export import to_tflite
from edgeface.compress.prune import Request, prune
from edgeface.compress.qat import Lesson, Plan, fine_tune
from edgeface.compress.qat_model import fake_quantized
from edgeface.compress.sparse import Sparsity, file_sparsity, no_faster, parse_pattern
from edgeface.compress.stem import default_stem, stem_of
from edgeface.models import load_model
from edgeface.train.recipes import recipe_path
from edgeface.train.session import Request as TrainRequest
from edgeface.train.session import train

SHORT = ["stage1.epochs=1", "warmup_steps=0"]


@pytest.fixture(scope="module")
def sparse(student_run, tmp_path_factory):
    """2:4."""
    out = tmp_path_factory.mktemp("sparse") / "sparse"
    recipe = load_recipe(recipe_path("prune")[0], "student", SHORT, load_recipe(student_run / "recipe.toml", "student"))
    return prune(Request(student_run, out, recipe, "prune", sparsity=Sparsity(pattern=(2, 4)), quiet=True))


@pytest.mark.slow
def test_a_pattern_lasts_through_both_ways_of_quantization(sparse, splits, samples):
    run = open_run(sparse.run)
    model = load_model(run)
    assert run.info["sparsity"] == {"share": None, "pattern": [2, 4]}
    assert sparse.figures["before"]["macs"] == sparse.figures["after"]["macs"]
    stem = default_stem(run)  # rows of pixels would have other neighbours than the mask
    int8 = to_tflite(model, "int8", calibration=samples, stem=stem)
    quantized = fake_quantized(model, samples, (-1.0, 1.0))
    begun = [weights.copy() for weights in quantized.get_weights()]
    recipe = load_recipe(run.recipe, "student")
    lesson = Lesson(*splits, run.face_input, recipe)
    fine_tune(quantized, lesson, Plan(epochs=1, learning_rate=1e-3, frozen_share=0.0), quiet=True)
    assert any(not np.array_equal(old, new) for old, new in zip(begun, quantized.get_weights(), strict=True))
    for content in (int8, to_tflite(quantized, "qat", stem=stem)):
        assert stem_of(content) == "plain"
        weights = operators_with_weights(content)
        assert len(weights) == 17  # stem, 4 entries, 2 blocks of 5, head, logits
        assert all(values.dtype == np.int8 and keeps_pattern(values, 2, 4) for _, values in weights)
        assert all(row["sparsity"] >= 0.45 for row in file_sparsity(content) if row["layer"] != "stem")
    line = no_faster(model, run.network)
    assert "5 of 16 convolutions of another kind" in line
    assert "edgeface prune --keep-macs" in line
    assert "--keep-macs" not in no_faster(model, "mobilefacenet")  # which it is refused for


@pytest.mark.slow
def test_a_sparse_run_is_not_resumed_without_its_masks(sparse, faces):
    recipe = load_recipe(sparse.run / "recipe.toml", "student")
    with pytest.raises(RunError, match="'edgeface prune' that began it"):
        train(TrainRequest(faces, sparse.run, recipe, "prune", width=0.5, resume=True, quiet=True))


def keeps_pattern(weights: np.ndarray, n: int, m: int) -> bool:
    """Whether at most n of every m neighbours along the last axis, as a .tflite file has them, are not zero."""
    rows = weights.reshape(-1, weights.shape[-1]) != 0
    padded = np.pad(rows, ((0, 0), (0, -rows.shape[1] % m)))
    return bool((padded.reshape(len(rows), -1, m).sum(axis=2) <= n).all())


def test_patterns_and_shares_of_sparsity():
    assert parse_pattern("2:4") == (2, 4)
    assert [round(Sparsity(0.8).at(n, 4).share, 4) for n in (1, 2, 3, 4)] == [0.4625, 0.7, 0.7875, 0.8]


@pytest.mark.slow
def test_unstructured_from_the_command_line_reports_downloads(student_run, tmp_path):
    out = tmp_path / "sparse"
    arguments = ["prune", str(student_run), "--unstructured", "0.8", "--rounds", "2", "--out", str(out)]
    result = CliRunner().invoke(app, [*arguments, *(part for text in SHORT for part in ("--set", text)), "--json"])
    assert result.exit_code == 0, result.stderr
    report = json.loads(result.stdout)
    before, after = report["gzip_bytes"]
    assert after < before
    assert all(row["sparsity"] >= 0.75 for row in report["layers"])
    assert "will not run faster" in report["no_faster"]
    text = CliRunner().invoke(app, [*arguments, *(part for text in SHORT for part in ("--set", text))])
    assert text.exit_code == 0, text.stderr
    assert "gzip of the int8 file" in text.stdout
