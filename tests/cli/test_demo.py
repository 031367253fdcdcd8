"""`make demo`, whole."""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
from typer.testing import CliRunner

from edgeface.bundle import open_bundle
from edgeface.cli import app, demo
from edgeface.errors import UsageError

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.slow
def test_make_demo_learns_and_ends_with_a_table(tmp_path):
    """What `make demo` runs after the installation: the int8 student on faces it has not seen."""
    assert "$(BIN)/edgeface demo --out demo" in (ROOT / "Makefile").read_text(encoding="utf-8")
    result = CliRunner().invoke(app, ["demo", "--out", str(tmp_path / "demo"), "--quiet"])
    assert result.exit_code == 0, f"{result.output}\n{result.exception!r}"
    accuracy = open_bundle(tmp_path / "demo" / "student-int8").accuracy
    assert accuracy["images"] == 22 * 20
    assert accuracy["after"] >= 0.8
    assert "student-int8" in result.stdout
    again = CliRunner().invoke(app, ["demo", "--out", str(tmp_path / "demo"), "--json", "--quiet"])
    assert again.exit_code == 0, again.output


def test_a_demo_goes_on_with_what_it_finds(tmp_path, monkeypatch):
    from edgeface.train import session

    asked = []

    def train(request):
        asked.append(request.resume)
        return SimpleNamespace(stopped=False)

    monkeypatch.setattr(session, "train", train)
    run = tmp_path / "teacher"
    run.mkdir()
    (run / "run.json").write_text(json.dumps({"recipe": "demo", "figures": {}}))
    demo._train(tmp_path, "teacher", None, 0, True, "")  # killed before its first checkpoint: it begins anew
    (run / "checkpoints").mkdir()
    (run / "checkpoints" / "checkpoint").touch()
    (run / "recipe.toml").write_text("stage1.epochs = 1\n")
    demo._train(tmp_path, "teacher", None, 0, True, "")
    (run / "run.json").write_text(json.dumps({"recipe": "demo", "seed": 0, "figures": {"finished": True}}))
    demo._train(tmp_path, "teacher", None, 0, True, "")
    assert asked == [False, True]
    demo._check_seed(tmp_path / "seed.txt", 0)
    with pytest.raises(UsageError, match="was begun with --seed 0; give that, or another folder with --out"):
        demo._check_seed(tmp_path / "seed.txt", 1)
