"""Every command of the README, run as it stands there."""

import os
import re
import shlex
import shutil
import subprocess
import sys
import venv
from pathlib import Path
from unittest.mock import MagicMock

import pytest
import typer
from typer.testing import CliRunner

import edgeface
from edgeface.bundle import open_bundle
from edgeface.cli import app
from edgeface.data.synthetic import draw_faces
from edgeface.gallery import Match
from edgeface.identification import Identified

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def shell_lines(text: str) -> list[str]:
    """The commands of a Markdown page, without their comments."""
    lines = [line for block in re.findall(r"```sh\n(.*?)```", text, re.DOTALL) for line in block.splitlines()]
    return [line.partition(" #")[0].strip() for line in lines if line.strip()]


SHELL = shell_lines(README)
ROAD = [line for line in SHELL if line.startswith("edgeface")]
INLINE = re.findall(r"`(edgeface (?:train|compress) [^`]*runs/[^`]*)`", README)
# The road's own recipe takes hours: the same commands with one short stage.
SHORT = ["--recipe", "demo", "--set", "stage1.epochs=1", "--set", "batch_size=16", "--set", "distillation.views=1"]


def test_every_command_of_the_readme_is_one_that_a_test_runs():
    others = [line for line in SHELL if line not in ROAD]
    assert others == ["make demo", "make test", "pip install ."]
    names = [shlex.split(line)[1] for line in ROAD]
    assert names == ["data", "train", "train", "quantize", "bench", "bench", "predict", "enroll", "identify"]


@pytest.mark.parametrize("page", sorted((ROOT / "docs").glob("*.md")), ids=lambda page: page.stem)
def test_commands_and_options_in_the_docs_exist(page):
    lines = [line for line in shell_lines(page.read_text(encoding="utf-8")) if line.startswith("edgeface")]
    assert lines
    for line in lines:
        command, words = typer.main.get_command(app), shlex.split(line)[1:]
        while hasattr(command, "commands") and words and not words[0].startswith("-"):
            command = command.commands[words.pop(0)]
        known = {option for parameter in command.params for option in parameter.opts}
        assert {word for word in words if word.startswith("--")} <= known, line


def test_the_loop_in_the_docs_prints_known_unknown_and_refused_faces(monkeypatch, capsys):
    ann = (Match("ann", 0.75),)
    faces = [
        Identified((0, 0, 9, 9), "ann", ann),
        Identified((0, 0, 9, 9), None, ann),
        Identified((0, 0, 9, 9), None, (), "too blurred"),
    ]
    monkeypatch.setattr(edgeface, "FaceReader", MagicMock())
    monkeypatch.setattr(edgeface, "Gallery", MagicMock())
    monkeypatch.setattr(edgeface, "identify_faces", lambda *_, **__: faces)
    page = (ROOT / "docs" / "recognition.md").read_text(encoding="utf-8")
    exec(re.search(r"```python\n(.*?)```", page, re.DOTALL)[1], {})
    assert capsys.readouterr().out == "ann 0.75\nunknown 0.75\ntoo blurred\n"


@pytest.mark.slow
def test_the_road_in_the_readme_from_photos_to_an_answer(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    draw_faces(Path("drawn"), identities=4, images=30, val=0)
    shutil.copytree("drawn/train", "photos")
    shutil.copy("photos/person_00/0000.jpg", "photo.jpg")
    printed = {}
    for line in ROAD:
        arguments = shlex.split(line)[1:]
        if arguments[0] == "train":
            arguments += SHORT
        if arguments[0] == "quantize":
            arguments += ["--epochs", "1", "--calibration", "64"]
        if arguments[0] == "bench":
            arguments += ["--runs", "30", "--seconds", "1"]
        result = CliRunner().invoke(app, arguments)
        assert result.exit_code == 0, f"{line}\n{result.output}\n{result.exception!r}"
        printed[arguments[0]] = result.stdout
    assert re.search(r"photo.jpg: person_0\d", printed["predict"])
    assert "ann" in printed["identify"]
    assert open_bundle("bundles/door").mode == "qat"
    for line, cut in zip(INLINE, (["--set", "size=80", *SHORT[2:]], ["--keep", "1", "--modes", "int8"]), strict=True):
        result = CliRunner().invoke(app, [*shlex.split(line)[1:], *cut])
        assert result.exit_code == 0 or "nothing fits the budget" in result.stderr, f"{line}\n{result.output}"
    block = re.search(r"```python\n(.*?)```", README, re.DOTALL)
    shutil.copy("photos/person_01/0000.jpg", "other.jpg")
    answer = subprocess.run([sys.executable, "-c", block[1]], capture_output=True, text=True, check=True)
    assert answer.stdout.startswith("person_0")


@pytest.mark.slow
def test_the_base_install_recognises_a_photo_without_tensorflow(tiny_bundle, tmp_path):
    """`pip install .` in a fresh environment, then the device-side command of the README."""
    draw_faces(tmp_path / "faces", identities=1, images=2)
    photo = next((tmp_path / "faces").rglob("*.jpg"))
    source = tmp_path / "source"
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    for name in tracked:
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / name).is_file():
            shutil.copy(ROOT / name, source / name)
    venv.create(tmp_path / "venv", with_pip=True)
    python = tmp_path / "venv" / "bin" / "python"
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    pip = [python, "-m", "pip", "install", "--quiet", "-c", source / "constraints.txt", source]
    subprocess.run(pip, check=True, env=environment, capture_output=True)
    probe = "import importlib.util as u; print([n for n in ('tensorflow', 'tf_keras', 'edgeface') if u.find_spec(n)])"
    found = subprocess.run(
        [python, "-c", probe], cwd=tmp_path, capture_output=True, text=True, check=True, env=environment
    )
    assert found.stdout.strip() == "['edgeface']"
    command = [tmp_path / "venv" / "bin" / "edgeface", "predict", tiny_bundle, photo]
    answer = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, env=environment)
    assert answer.returncode == 0, answer.stderr
    assert "person_" in answer.stdout
    needs = [tmp_path / "venv" / "bin" / "edgeface", "models"]
    refused = subprocess.run(needs, cwd=tmp_path, capture_output=True, text=True, check=False, env=environment)
    assert refused.returncode == 2
    assert "edgeface[train]" in refused.stderr
    assert "Traceback" not in refused.stderr
