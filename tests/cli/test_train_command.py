"""`edgeface train`, `eval`, `models` and `recipes` as a user calls them: few blocks, few photos."""

import json
import shutil
from functools import partial

import numpy as np
import pytest
from typer.testing import CliRunner

from edgeface.cli import app
from edgeface.data.synthetic import draw_faces
from edgeface.models import load_model
from edgeface.run import open_run

QUICK = ["--set", "stage0.epochs=0", "--set", "stage1.epochs=1", "--set", "stage2.epochs=0", "--set", "size=48",
         "--set", "batch_size=8", "--set", "distillation.views=1", "--quiet"]  # fmt: skip


def run(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture(scope="session")
def faces(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data") / "faces"
    draw_faces(folder, identities=3, images=10, size=112)
    return folder


@pytest.fixture
def short_students(monkeypatch):
    """The students by their names, of a few blocks: the whole SqueezeNext trains in the README's road and the demo."""
    from edgeface.models import NETWORKS, mobilefacenet, squeezenext_23v5

    few = ((2, 64, 1, 2), (2, 128, 1, 2))
    monkeypatch.setitem(NETWORKS, "squeezenext_23v5", partial(squeezenext_23v5, blocks=(1, 0, 0, 0)))
    monkeypatch.setitem(NETWORKS, "mobilefacenet", partial(mobilefacenet, bottlenecks=few))


@pytest.mark.usefixtures("short_students")
def test_train_eval_and_resume_from_the_command_line(faces, tmp_path):
    out = tmp_path / "run"
    out.mkdir()
    (out / "run.json").write_text("{}")  # as a run leaves it that was killed before its first checkpoint
    first = run("train", "student", faces, "--out", out, *QUICK, "--json")
    assert first.exit_code == 0, first.stderr
    report = json.loads(first.stdout)
    assert 0 <= report["val_accuracy"] <= 1
    assert report["finished"]
    names = {path.name for path in out.iterdir()}
    assert {
        "recipe.toml",
        "identities.txt",
        "weights.h5",
        "checkpoints",
        "metrics.jsonl",
        "tensorboard",
        "run.json",
    } <= names

    other = run("train", "student", faces, "--out", out, "--resume", "--seed", "5")
    assert other.exit_code == 2
    assert "another --seed" in other.stderr

    again = run("train", "student", faces, "--out", out, *QUICK)
    assert again.exit_code == 2
    assert "--resume" in again.stderr

    scored = run("eval", out, faces, "--json", "--predictions", tmp_path / "answers.csv")
    assert scored.exit_code == 0, scored.stderr
    assert json.loads(scored.stdout)["top1"] == pytest.approx(report["val_accuracy"])
    lines = (tmp_path / "answers.csv").read_text().splitlines()
    assert lines[0] == "id,label"
    assert len(lines) == 1 + json.loads(scored.stdout)["images"]

    threads = run("eval", out, faces, "--threads", "1")
    assert threads.exit_code == 2
    assert "computed by TensorFlow" in threads.stderr

    weights = out / "weights.h5"
    weights.write_bytes(weights.read_bytes()[:-7])
    broken = run("eval", out, faces)
    assert broken.exit_code == 2
    assert str(weights) in broken.stderr
    assert "Traceback" not in broken.stderr


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["train", "student", "{faces}", "--recipe", "nothing"], "no such recipe"),
        (["train", "student", "{faces}", "--set", "stage1.epoch=3"], "unknown field"),
        (["train", "student", "{empty}"], "holds no photos"),
        (["train", "student", "{missing}"], "is not a folder"),
        (["train", "student", "{faces}", "--resume", "--out", "{missing}"], "holds no run"),
        (["train", "student", "{faces}", "--teacher", "{missing}"], "no such run"),
        (["train", "student", "{faces}", "--set", "batch_size=64", "--out", "{new}"], "training images"),
        (["train", "teacher", "{faces}", "--set", "size=64", "--set", "batch_size=8", "--out", "{new}"], "75 px"),
        (["train", "student", "{faces}", "--strategy", "clever", "--out", "{new}"], "choose one of"),
        (["train", "student", "{faces}", "--strategy", "multiworker", "--out", "{new}"], "TF_CONFIG"),
        (["train", "student", "{faces}", "--out", "{file}"], "is a file"),
        (["train", "student", "{faces}", "--network", "resnet", "--set", "batch_size=8"], "choose one of squeezenext"),
        (
            ["train", "student", "{faces}", "--network", "mobilefacenet", "--width", "2", "--set", "batch_size=8"],
            "mobilefacenet has one width",
        ),
        (["train", "student", "{faces}", "--width", "0", "--set", "batch_size=8"], "must lie within 0.125..8"),
        (["train", "student", "{faces}", "--init", "{missing}"], "no such run"),
        (["train", "student", "{faces}", "--init", "{missing}", "--width", "2"], "leave out --width"),
        (["train", "student", "{faces}", "--init", "{missing}", "--resume"], "leave out --init"),
        (["eval", "{missing}", "{faces}"], "no such folder"),
    ],
)
def test_bad_input_exits_2_with_a_short_message_and_writes_nothing(faces, tmp_path, arguments, says):
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("x")
    places = {name: tmp_path / name for name in ("empty", "missing", "new", "file")} | {"faces": faces}
    arguments = [argument.format(**places) for argument in arguments]
    if "--out" not in arguments and arguments[0] == "train":
        arguments += ["--out", str(tmp_path / "new")]
    result = run(*arguments)
    assert result.exit_code == 2, result.output
    assert says in result.stderr
    assert len(result.stderr.strip().splitlines()) <= 2
    assert "Traceback" not in result.stderr
    assert not (tmp_path / "new").exists()


def test_a_validation_identity_absent_from_train_is_refused(faces, tmp_path):
    folder = tmp_path / "faces"
    shutil.copytree(faces, folder, ignore=shutil.ignore_patterns(".edgeface-cache"))
    (folder / "val" / "person_00").rename(folder / "val" / "stranger")
    result = run("train", "student", folder, "--out", tmp_path / "new")
    assert result.exit_code == 2
    assert "stranger" in result.stderr


def test_recipes_are_listed_shown_and_explained():
    listed = run("recipes").stdout
    assert json.loads(run("recipes", "--json").stdout)["cpu"] in listed
    assert run("recipes", "--json", "--fields").exit_code == 2
    assert all(name in listed for name in ("cpu", "demo", "reference"))
    assert "[stage1]" in run("recipes", "--show", "cpu").stdout
    assert "seaweed_share" in run("recipes", "--fields").stdout


@pytest.mark.slow
def test_models_reports_the_reference_counts():
    rows = {row["network"]: row for row in json.loads(run("models", "--json").stdout)}
    assert rows["inception_resnet_v1"]["trainable"] == 26_781_288
    assert rows["squeezenext_23v5 2.0"]["trainable"] == 3_399_352
    assert rows["squeezenext_23v5 1.0"]["trainable"] == 1_106_456


@pytest.mark.parametrize(("network", "warns"), [("mobilefacenet_prelu", True), ("mobilefacenet", False)])
def test_prelu_is_named_before_training_begins(faces, tmp_path, network, warns):
    arguments = ["--network", network, "--width", "2", "--out", tmp_path / "new", "--quiet"]  # refused after that
    result = run("train", "student", faces, *arguments, "--set", "size=48", "--set", "batch_size=8")
    assert ("warning: layer stem_prelu (PReLU) cannot be trained for int8" in result.stderr) == warns
    assert f"{network} has one width" in result.stderr


@pytest.mark.usefixtures("short_students")
def test_mobilefacenet_trains_like_any_student(faces, tmp_path):
    out = tmp_path / "run"
    trained = run("train", "student", faces, "--network", "mobilefacenet", "--out", out, *QUICK, "--json")
    assert trained.exit_code == 0, trained.stderr
    assert json.loads((out / "run.json").read_text())["network"] == "mobilefacenet"
    scored = run("eval", out, faces, "--json")
    assert json.loads(scored.stdout)["top1"] == pytest.approx(json.loads(trained.stdout)["val_accuracy"])

    again = run("train", "student", faces, "--out", out, "--resume", "--json", "--quiet")  # what Ctrl-C advises
    assert again.exit_code == 0, again.stderr
    assert json.loads(again.stdout)["val_accuracy"] == json.loads(trained.stdout)["val_accuracy"]

    longer = tmp_path / "longer"
    still = run(
        "train", "student", faces, "--init", out, "--out", longer, *QUICK, "--set", "stage1.learning_rate=1e-12"
    )
    assert still.exit_code == 0, still.stderr
    about = json.loads((longer / "run.json").read_text())
    assert (about["network"], about["init"]["run"]) == ("mobilefacenet", str(out.resolve()))
    begun, gone_on = (load_model(open_run(folder)).get_layer("logits").get_weights() for folder in (out, longer))
    for one, other in zip(begun, gone_on, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)

    wrong = run("train", "teacher", faces, "--init", out, "--out", tmp_path / "no", *QUICK, "--set", "size=75")
    assert wrong.exit_code == 2
    assert "edgeface train student" in wrong.stderr
    people = tmp_path / "people"
    draw_faces(people, identities=2, images=10, size=112)
    wrong = run("train", "student", people, "--init", out, "--out", tmp_path / "no", *QUICK)
    assert wrong.exit_code == 2
    assert "other identities" in wrong.stderr


@pytest.mark.usefixtures("short_students")
def test_bf16_trains_and_evaluates(faces, tmp_path):
    trained = run("train", "student", faces, "--out", tmp_path / "run", *QUICK, "--precision", "bf16", "--json")
    assert trained.exit_code == 0, trained.stderr
    assert 'precision = "bf16"' in (tmp_path / "run" / "recipe.toml").read_text()
    scored = run("eval", tmp_path / "run", faces, "--json")
    assert scored.exit_code == 0, scored.stderr


@pytest.mark.slow
@pytest.mark.usefixtures("short_students")
def test_a_live_teacher_teaches_and_its_speed_is_compared_with_a_cached_one(faces, tmp_path):
    common = ["--set", "size=80", "--set", "distillation.views=0"]
    taught = run("train", "teacher", faces, "--out", tmp_path / "teacher", *QUICK, *common)
    assert taught.exit_code == 0, taught.stderr
    learned = run(
        "train", "student", faces, "--out", tmp_path / "student", "--teacher", tmp_path / "teacher", *QUICK, *common
    )
    assert learned.exit_code == 0, learned.stderr
    losses = json.loads((tmp_path / "student" / "metrics.jsonl").read_text().splitlines()[0])
    assert {"teacher_embedding", "teacher_projected", "teacher_labels"} <= losses.keys()
    speed = ["--width", "1.0", "--teacher", tmp_path / "teacher", "--steps", "2", "--json", *QUICK[:-1], *common]
    report = json.loads(run("train", "speed", faces, *speed).stdout)
    assert set(report["images_per_second"]) == {"bare", "pipeline", "cached_teacher", "live_teacher"}
    assert report["cached_over_live"] > 0


@pytest.mark.parametrize(
    ("arguments", "says"),
    [(["--width", "0"], "must lie within 0.125..8"), (["--set", "size=64"], "75 px")],
)
def test_speed_refuses_networks_that_cannot_be_built(faces, arguments, says):
    result = run("train", "speed", faces, *arguments)
    assert result.exit_code == 2
    assert says in result.stderr


@pytest.mark.usefixtures("short_students")
@pytest.mark.parametrize("precision", ["float32", "bf16"])
def test_speed_is_measured_in_the_recipes_precision(faces, monkeypatch, precision):
    from edgeface.train import speed

    computed = []
    monkeypatch.setattr(
        speed, "Learner", lambda model, *_, **__: computed.append(model.get_layer("stem").compute_dtype)
    )
    monkeypatch.setattr(speed, "make_step", lambda *_: lambda *_: {"loss": 0.0})
    arguments = ["--width", "0.25", "--steps", "1", *QUICK[:-1], "--set", "size=48", "--set", f"precision={precision}"]
    assert run("train", "speed", faces, *arguments).exit_code == 0
    assert computed == [{"float32": "float32", "bf16": "bfloat16"}[precision]]


def test_a_run_begun_with_anothers_weights_needs_a_name(faces, tmp_path):
    result = run("train", "student", faces, "--init", tmp_path)
    assert result.exit_code == 2
    assert "say with --out" in result.stderr


def test_a_seed_that_numpy_refuses_is_a_usage_error(faces):
    assert run("train", "student", faces, "--seed", 2**31).exit_code == 2


def test_the_recipe_longer_asks_for_a_teacher(tmp_path):
    result = run("train", "student", tmp_path / "none", "--recipe", "longer")
    assert result.exit_code == 2
    assert "warning: the recipe longer is made for a teacher" in result.stderr
