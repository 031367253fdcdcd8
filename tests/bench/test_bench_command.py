"""`edgeface bench` from the command line: views of a result, comparison, and input that cannot be used."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from edgeface.bench import document
from edgeface.cli import app


def run(*arguments: str | Path) -> Any:
    return CliRunner().invoke(app, ["bench", *map(str, arguments)])


@pytest.fixture
def saved(result: dict[str, Any], tmp_path: Path) -> Path:
    path = tmp_path / "old.json"
    path.write_text(json.dumps(result))
    return path


def test_all_views_of_one_result(saved: Path, tmp_path: Path) -> None:
    names = {"--out": "again.json", "--markdown": "r.md", "--csv": "r.csv", "--html": "r.html"}
    asked = [part for option, name in names.items() for part in (option, tmp_path / name)]
    done = run("--from", saved, *asked)
    assert done.exit_code == 0, done.output
    assert "small" in done.stdout
    assert document.read(tmp_path / "again.json") == document.read(saved)
    assert (tmp_path / "r.md").read_text().count("|") > 50
    assert (tmp_path / "r.csv").read_text().startswith("model,")
    assert (tmp_path / "r.html").read_text().startswith("<!doctype html>")
    assert json.loads(run("--from", saved, "--json").stdout) == document.read(saved)


def test_a_gate_fails_with_the_rows(saved: Path, result: dict[str, Any], tmp_path: Path) -> None:
    worse = copy.deepcopy(result)
    worse["rows"][3] |= {"fps": worse["rows"][3]["fps"] * 0.9, "ms": worse["rows"][3]["ms"] / 0.9}
    new = tmp_path / "new.json"
    new.write_text(json.dumps(worse))
    failed = run("--from", new, "--compare", saved, "--fail-if", "fps<0.95x", "--fail-if", "accuracy<-0.5")
    assert failed.exit_code == 1
    assert "small on rpi4 (fps<0.95x)" in failed.stderr
    assert "FAILED fps<0.95x: small on rpi4" in failed.stdout
    passed = run("--from", new, "--compare", saved, "--fail-if", "fps<0.85x", "--json")
    assert passed.exit_code == 0
    comparison = json.loads(passed.stdout)["comparison"]
    assert comparison["failed"] == []
    assert {change["metric"] for change in comparison["changes"]} >= {"fps", "latency", "size", "accuracy"}


def test_simulated_devices_from_the_command_line(
    tiny_bundles: dict[str, Path], fake_devices: list[tuple[str, str, int]], tmp_path: Path
) -> None:
    out = tmp_path / "r.json"
    done = run(tiny_bundles["int8"], "--device", "board", "--device", "tiny", "--threads", "1,2", "--out", out)
    assert done.exit_code == 0, done.output
    assert len(fake_devices) == 4
    assert "calibrated-estimate" in done.stdout
    assert [row["device"] for row in document.read(out)["rows"]] == ["board", "board", "tiny", "tiny"]


@pytest.mark.usefixtures("fake_devices")
def test_input_that_cannot_be_used(saved: Path, tiny_bundle: Path, tmp_path: Path) -> None:
    cut = tmp_path / "cut.json"
    cut.write_text(saved.read_text()[:500])
    for arguments, message in (
        (["--from", cut], "cannot be read"),
        (["--from", tmp_path / "none.json"], "no such file"),
        (["--from", saved, "--compare", cut], "cannot be read"),
        (["--from", saved, "--fail-if", "fps<0.95x"], "needs --compare"),
        (["--from", saved, "--compare", saved, "--fail-if", "fps<0.95"], "did not change"),
        (["--from", saved, "--compare", saved, "--fail-if", "speed<1x"], "write METRIC<LIMIT"),
        (["--from", saved, tiny_bundle], "without bundles"),
        ([], "nothing to measure"),
        ([tiny_bundle, "--threads", "two"], "give numbers"),
        ([tiny_bundle, "--threads", "0"], "usable cores"),
        ([tiny_bundle, "--device", "toaster"], "nearest: board"),
        ([tmp_path / "nothing"], "does not exist"),
    ):
        done = run(*arguments)
        assert done.exit_code == 2, arguments
        assert message in done.stderr
        assert len(done.stderr.strip().splitlines()) <= 2
        assert "Traceback" not in done.output
