"""`edgeface prune`: smaller runs that are like any other, interruption, sparsity that lasts, refusals."""

from __future__ import annotations

import json
import shutil
import signal
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from typer.testing import CliRunner

from edgeface.cli import app
from edgeface.errors import DataError, RunError, UsageError
from edgeface.interpreter import Interpreter
from edgeface.recipe import load_recipe
from edgeface.run import open_run
from edgeface.tensorflow_setup import quiet_tensorflow

quiet_tensorflow()

from edgeface.compress import prune as room
from edgeface.compress.channels import group_sizes
from edgeface.compress.export import to_tflite
from edgeface.compress.goal import Goal
from edgeface.compress.last_round import last_round_recipe
from edgeface.compress.prune import Request, prune
from edgeface.compress.sparse import Sparsity
from edgeface.models import load_model, mobilefacenet_prelu
from edgeface.models.summary import multiply_adds
from edgeface.train import trainer
from edgeface.train.recipes import recipe_path
from edgeface.train.session import Request as TrainRequest
from edgeface.train.session import train

SHORT = ["stage1.epochs=1", "warmup_steps=0"]


def request_for(run, out, **options):
    recipe = load_recipe(recipe_path("prune")[0], "student", SHORT, load_recipe(run / "recipe.toml", "student"))
    return Request(run, out, recipe, "prune", **{"align": 4, "quiet": True, **options})


@pytest.fixture(scope="module")
def pruned(student_run, teacher_run, tmp_path_factory):
    """60 % of the MACs, in one round, taught by the teacher."""
    out = tmp_path_factory.mktemp("pruned") / "small"
    return prune(request_for(student_run, out, goal=Goal("macs", 0.6), teacher=teacher_run, rounds=1))


def test_the_recipe_of_pruning_leaves_the_rest_to_the_run(student_run):
    recipe = load_recipe(recipe_path("prune")[0], "student", None, load_recipe(student_run / "recipe.toml", "student"))
    assert (recipe.size, recipe.batch_size, recipe.augmentation.rotation, recipe.distillation.views) == (40, 16, 5.0, 2)
    assert recipe.stage1.epochs == 6
    assert recipe.stage1.learning_rate == 7e-4


def test_the_last_round_may_be_longer(student_run, tmp_path, monkeypatch):
    trained = []

    def train_nothing(request):
        """Leave the unpruned run as the result of the round; the second round is stopped."""
        trained.append(request)
        shutil.copytree(student_run, request.out, dirs_exist_ok=True)
        info = json.loads((request.out / "run.json").read_text())
        info["figures"]["finished"] = True
        (request.out / "run.json").write_text(json.dumps(info))
        return SimpleNamespace(stopped=len(trained) == 2)

    monkeypatch.setattr(room, "train", train_nothing)
    request = request_for(student_run, tmp_path / "small", sparsity=Sparsity(0.5), rounds=2)
    request = replace(request, last_recipe=last_recipe(student_run, 60))
    assert prune(request).stopped
    assert [asked.recipe.stage1.epochs for asked in trained] == [1, 60]
    with pytest.raises(RunError, match="was begun with another --last-epochs"):
        prune(replace(request, last_recipe=None))
    with pytest.raises(RunError, match="was begun with another --threads; remove it to begin anew, or choose another"):
        prune(replace(request, threads=2))


def last_recipe(run, epochs, *overrides):
    base = load_recipe(run / "recipe.toml", "student")
    return last_round_recipe(recipe_path("prune")[0], epochs, [*SHORT[:1], *overrides], base)


def test_the_recipe_of_the_last_round(student_run):
    recipe = last_recipe(student_run, 60)
    assert (recipe.stage1.learning_rate, recipe.warmup_steps, recipe.distillation.views) == (1.5e-3, 100, 24)
    assert recipe.description == "The last round of 'edgeface prune', 60 epochs long."
    own = last_recipe(student_run, 60, "stage1.learning_rate=1e-4", "warmup_steps=7", "distillation.views=2")
    assert (own.stage1.learning_rate, own.warmup_steps, own.distillation.views) == (1e-4, 7, 2)
    assert last_recipe(student_run, 60, "distillation.views=0").distillation.views == 0  # the teacher runs live
    with pytest.raises(UsageError, match="must train in stage 1 alone"):
        last_recipe(student_run, 60, "stage2.epochs=1")


def test_a_damaged_round_loses_no_weights(pruned, student_run, teacher_run, tmp_path):
    out = tmp_path / "small"
    shutil.copytree(pruned.run, out)
    request = request_for(student_run, out, goal=Goal("macs", 0.6), teacher=teacher_run, rounds=1)
    (out / "run.json").write_text("{")
    with pytest.raises(RunError, match=r"run\.json: cannot be read"):
        prune(request)
    assert (out / "weights.h5").read_bytes() == (pruned.run / "weights.h5").read_bytes()


def test_a_pruned_run_is_an_ordinary_smaller_one(pruned, student_run, splits):
    run = open_run(pruned.run)
    before, after = pruned.figures["before"], pruned.figures["after"]
    assert 0.5 < after["macs"] / before["macs"] <= 0.6
    assert after["parameters"] < before["parameters"]
    model = load_model(run)
    assert multiply_adds(model) == after["macs"]
    sizes = group_sizes(run.build["widths"])
    assert all(count % 4 == 0 for count in sizes.values())
    assert {type(layer).__name__ for layer in model.layers} == {
        type(layer).__name__ for layer in load_model(open_run(student_run)).layers
    }
    assert run.figures["finished"]
    steps = [(entry["step"], entry["name"]) for entry in run.info["chain"]]
    assert steps == [("student", "student"), ("pruned", "small")]
    assert run.info["chain"][-1]["macs"] == after["macs"]
    losses = json.loads((pruned.run / "metrics.jsonl").read_text().splitlines()[0])
    assert "teacher_embedding" in losses
    images = run.face_input.normalise(np.asarray(splits[1].images[:4]))
    exported = Interpreter(to_tflite(model, "float32")).run("embed", images)["embedding"]
    np.testing.assert_allclose(exported, model(images, training=False)["embedding"], atol=1e-4)


def test_a_pruned_run_resumes_like_any_other(pruned, faces, teacher_run, student_run):
    run = open_run(pruned.run)
    recipe = load_recipe(run.recipe, "student")
    again = TrainRequest(faces, pruned.run, recipe, "prune", width=0.5, teacher=teacher_run, resume=True, quiet=True)
    assert train(again).figures["val_accuracy"] == pruned.figures["after"]["accuracy"]
    assert open_run(pruned.run).build["widths"] == run.build["widths"]
    with pytest.raises(RunError, match="another --network or --width"):
        train(replace(again, network="mobilefacenet", width=None))
    with pytest.raises(RunError, match="was begun with another --importance"):
        prune(request_for(student_run, pruned.run, goal=Goal("macs", 0.6), teacher=teacher_run, rounds=1,
                          importance="bn"))  # fmt: skip


def test_prelu_is_named_though_all_else_is_quiet(student_run, tmp_path, monkeypatch, capsys):
    small = mobilefacenet_prelu(3, size=32, bottlenecks=((2, 64, 1, 2),))
    monkeypatch.setattr(room, "load_model", lambda run: small)
    monkeypatch.setattr(room, "_finished", lambda folder: True)
    with pytest.raises(RunError):  # nothing was pruned
        prune(request_for(student_run, tmp_path / "out", goal=Goal("macs", 0.6), rounds=1))
    assert capsys.readouterr().err.startswith("warning: layer stem_prelu (PReLU) cannot be trained for int8")


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({}, UsageError, "say what to prune"),
        ({"goal": Goal("macs", 0.5), "sparsity": Sparsity(0.5)}, UsageError, "say what to prune"),
        ({"goal": Goal("macs", 1.2)}, UsageError, "--keep-macs 1.2: give the share"),
        ({"goal": Goal("params", 0.01)}, UsageError, "--keep-params 0.01: .* keeps at least .*--align 1"),
        ({"goal": Goal("speed", 0.5)}, UsageError, "--speedup 0.5: give how many times"),
        ({"goal": Goal("speed", 1.5)}, UsageError, "needs something that measures"),
        ({"goal": Goal("macs", 0.5), "importance": "luck"}, UsageError, "choose one of taylor"),
        ({"goal": Goal("macs", 0.5), "rounds": 0}, UsageError, "--rounds and --align"),
        ({"sparsity": Sparsity(1.0)}, UsageError, "--unstructured 1"),
        ({"sparsity": Sparsity(pattern=(4, 4))}, UsageError, "--pattern 4:4"),
    ],
)
def test_refuses_before_it_writes(student_run, tmp_path, options, error, message):
    with pytest.raises(error, match=message):
        prune(request_for(student_run, tmp_path / "out", **options))
    assert not (tmp_path / "out").exists()


def test_refuses_folders_data_and_teachers_of_something_else(student_run, tiny_run, tiny_data, tmp_path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "me.jpg").touch()
    goal = Goal("macs", 0.6)
    with pytest.raises(UsageError, match="holds something else"):
        prune(request_for(student_run, tmp_path / "photos", goal=goal))
    with pytest.raises(UsageError, match="is the run to prune"):
        prune(request_for(student_run, student_run, goal=goal))
    with pytest.raises(DataError, match="nowhere"):
        prune(request_for(student_run, tmp_path / "out", goal=goal, data=tmp_path / "nowhere"))
    wanted = request_for(student_run, tmp_path / "out", goal=goal)
    with pytest.raises(RunError, match="sees other images"):
        prune(replace(wanted, recipe=replace(wanted.recipe, size=48)))
    with pytest.raises(DataError, match="holds other people"):
        prune(replace(wanted, data=tiny_data))
    with pytest.raises(RunError, match="knows other identities"):
        prune(replace(wanted, teacher=tiny_run))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--keep-macs", "0.6", "--speedup", "2"], "give one of"),
        (["--unstructured", "0.5", "--pattern", "2:4"], "not both"),
        (["--pattern", "half"], "write it as n:m"),
        (["--keep-macs", "0.6", "--recipe", "nothing"], "no such recipe"),
        (["--keep-macs", "0.6", "--teacher", "nothing"], "no such run"),
        (["--keep-macs", "0.6", "--device", "rpi4"], "is of what --speedup measures"),
        (["--keep-macs", "0.6", "--threads", "2"], "is of what --speedup measures"),
        (["--speedup", "2", "--threads", "6400"], "usable cores"),
        (["--unstructured", "0.5", "--align", "4"], "--align is of channels"),
        (["--pattern", "2:4", "--importance", "bn"], "--importance is of channels"),
        (["--pattern", "2:4", "--rounds", "3"], "--pattern comes at once"),
        (["--keep-macs", "0.6", "--unstructured", "0.5"], "by one of"),
        (["--speedup", "2", "--device", "toaster"], "toaster"),
        (["--unstructured", "0.5", "--set", "average_decay=0.9"], "--set average_decay=0"),
        ([], "say what to prune"),
    ],
)
def test_command_exits_2_on_bad_input(student_run, tmp_path, arguments, says):
    result = CliRunner().invoke(app, ["prune", str(student_run), "--out", str(tmp_path / "out"), *arguments])
    assert result.exit_code == 2, result.output
    assert says in result.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_interrupted_in_the_second_round_it_ends_like_uninterrupted(student_run, tmp_path, monkeypatch):
    def request(out):
        return request_for(student_run, out, goal=Goal("params", 0.6), rounds=2, importance="bn")

    whole = prune(request(tmp_path / "whole" / "net"))
    advance, count = trainer.Bar.advance, iter(range(10_000))

    def counted(self, text):
        advance(self, text)
        if next(count) == 11:  # 8 steps a round
            signal.raise_signal(signal.SIGINT)

    with monkeypatch.context() as patch:
        patch.setattr(trainer.Bar, "advance", counted)
        stopped = prune(request(tmp_path / "parts" / "net"))
    assert stopped.stopped
    assert open_run(tmp_path / "parts" / "net" / "rounds" / "1").figures["finished"]
    resumed = prune(request(tmp_path / "parts" / "net"))
    assert not resumed.stopped
    assert resumed.figures == whole.figures
    ours, theirs = (load_model(open_run(outcome.run)).get_weights() for outcome in (resumed, whole))
    assert all(np.array_equal(a, b) for a, b in zip(ours, theirs, strict=True))
    assert prune(request(tmp_path / "parts" / "net")).figures == whole.figures
