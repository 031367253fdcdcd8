"""`edgeface reproduce` and `edgeface report` as a user calls them: few photos, adopted runs of one block."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time

import pytest
from typer.testing import CliRunner

from edgeface.bench.reproduction import rows
from edgeface.bench.reproduction.plan import Settings, make_plan
from edgeface.cli import app
from edgeface.data.layouts import load_dataset
from edgeface.data.synthetic import draw_faces
from edgeface.files import sha256

EDGEFACE = [sys.executable, "-c", "from edgeface.cli import main; main()"]
SIZE = 32
RECIPE = """
size = 32
batch_size = 8
[distillation]
views = 1
[stage1]
epochs = 1
basic_augmentation = true
"""


def run(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def faces(tmp_path_factory):
    folder = tmp_path_factory.mktemp("reproduce") / "faces"
    draw_faces(folder, identities=3, images=28, size=64)
    (folder.parent / "quick.toml").write_text(RECIPE)
    return folder


def adopt(out, faces, plan, row):
    """A plain student of one block and random weights at the place of a planned run, as if trained elsewhere."""
    from edgeface.tensorflow_setup import quiet_tensorflow

    quiet_tensorflow()
    from edgeface.data.layouts import default_face_input
    from edgeface.models import build_network

    planned, dataset = next(run for run in plan.runs if run.row == row), load_dataset(faces)
    build = {"classes": len(dataset.identities), "size": SIZE, "width": planned.width, "blocks": [1, 0, 0, 0]}
    folder = out / "runs" / planned.key
    folder.mkdir(parents=True)
    build_network("squeezenext_23v5", build).save_weights(folder / "weights.h5")
    (folder / "identities.txt").write_text("".join(f"{name}\n" for name in dataset.identities))
    shutil.copy(out / "recipes" / f"{planned.key}.toml", folder / "recipe.toml")
    info = {"format": 1, "network": "squeezenext_23v5", "build": build, "seed": 0,
            "teacher": None, "figures": {"finished": True},
            "face_input": default_face_input(dataset, SIZE).to_dict(),
            "dataset": {"path": str(faces), "hash": dataset.content_hash()}, "recipe": "mine",
            "weights_sha256": sha256(folder / "weights.h5")}  # fmt: skip
    (folder / "run.json").write_text(json.dumps(info))
    return planned


@pytest.mark.slow
def test_adopted_runs_are_quantized_scored_measured_reported_and_nothing_is_done_twice(faces, tmp_path):
    out, recipe = tmp_path / "out", faces.parent / "quick.toml"
    options = ["--recipe", recipe, "--seeds", "1", "--qat-epochs", "1", "--out", out, "--only", "1.0-plain"]
    settings = Settings("comparison", recipe, "quick", seeds=1, quantize=True, qat_epochs=1)
    plan = make_plan(settings, rows.comparison(), load_dataset(faces), out)
    student = adopt(out, faces, plan, "1.0-plain")
    arguments = ["reproduce", "comparison", faces, *options, "--device", "cpu", "--json", "--quiet"]
    first = run(*arguments)
    assert first.exit_code == 0, first.stderr
    (table,) = json.loads(first.stdout)["tables"]
    by_name = {row["name"]: row for row in table["rows"]}
    plain = by_name["1.0-plain"]
    assert plain["figures"]["float32_val"]["n"] == plain["figures"]["int8_val"]["n"] == 1
    assert plain["bytes"]["int8"] < plain["bytes"]["float32"]
    assert plain["speed"]["int8"][0]["fps"] > 0
    assert plain["int8_mode"] == "qat"
    assert by_name["teacher"]["figures"]["float32_val"] is None
    assert "1.0-SqNxt-23v5" in (out / "report.html").read_text()

    score = out / "scores" / f"{student.key}.json"
    written = score.stat().st_mtime_ns
    assert run(*arguments).exit_code == 0
    assert score.stat().st_mtime_ns == written
    planned = json.loads(run("reproduce", "comparison", faces, *options, "--plan", "--json").stdout)
    assert {row["state"] for row in planned["runs"]} == {"finished"}
    assert planned["seconds_left"] == 0
    page = run("report", out, "--out", tmp_path / "page.html", "--with-photos", "--json")
    assert page.exit_code == 0, page.stderr
    assert "Machine and versions" in (tmp_path / "page.html").read_text()


@pytest.mark.slow
def test_an_ablation_is_interrupted_and_resumed(faces, tmp_path):
    out = tmp_path / "out"
    arguments = ["reproduce", "ablation", faces, "--recipe", faces.parent / "quick.toml", "--out", out]
    arguments += ["--only", "nothing", "--quiet", "--json"]
    process = subprocess.Popen([*EDGEFACE, *map(str, arguments)], stdout=subprocess.DEVNULL)
    while process.poll() is None and not list(out.glob("runs/1.0-plain*/tensorboard")):
        time.sleep(0.1)
    os.kill(process.pid, signal.SIGINT)
    assert process.wait(300) == 130
    assert not list(out.glob("scores/*"))
    assert (out / "results.md").is_file()
    second = run(*arguments)
    assert second.exit_code == 0, second.stderr
    row = json.loads(second.stdout)["tables"][0]["rows"][0]
    assert (row["name"], row["figures"]["float32_val"]["n"], row["runs"][0]["state"]) == ("nothing", 1, "finished")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["reproduce", "comparison", "{missing}"], "is not a folder"),
        (["reproduce", "comparison", "{faces}", "--recipe", "nothing"], "no such recipe"),
        (["reproduce", "comparison", "{faces}", "--only", "3.0-plain"], "rows are teacher"),
        (["reproduce", "ablation", "{faces}", "--network", "3.0"], "choose one of"),
        (["reproduce", "ablation", "{faces}", "--set", "stage1.epoch=3"], "unknown field"),
        (["reproduce", "comparison", "{faces}", "--device", "rpi44"], "did you mean rpi4"),
        (["reproduce", "comparison", "{faces}", "--device", "rpi4", "--no-bench"], "leave it or --no-bench out"),
        (["report", "{missing}", "--data", "{faces}"], "give it with --with-photos"),
        (["reproduce", "step", "{missing}", "comparison", "key"], "holds no reproduction"),
        (["report", "{missing}"], "holds no reproduction"),
    ],
)
def test_bad_input_exits_2_in_a_line(faces, tmp_path, arguments, says):
    places = {"missing": tmp_path / "missing", "faces": faces}
    arguments = [argument.format(**places) for argument in arguments]
    if arguments[0] == "reproduce" and arguments[1] != "step":
        arguments += ["--out", tmp_path / "out"]
    result = run(*arguments)
    assert result.exit_code == 2, result.output
    assert says in result.stderr
    assert len(result.stderr.strip().splitlines()) <= 2
