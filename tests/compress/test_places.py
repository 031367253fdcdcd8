"""Folders that the bundle would swallow are refused before anything is opened, trained or written."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

from edgeface.cli import app


@pytest.mark.parametrize("inside", ["out", "out/run", "out/../out/run"])
@pytest.mark.parametrize(
    "command",
    [
        ["quantize", "run", "--mode", "qat", "--out", "out", "--save-run"],
        ["compress", "run", "--budget", "drop<=1", "--out", "out", "--work"],
    ],
)
def test_a_folder_within_the_bundle_is_refused(tmp_path, monkeypatch, command, inside):
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(app, [*command, inside])
    assert result.exit_code == 2
    assert f"{command[-1]} {inside}: lies within the bundle's folder out" in result.stderr
    assert not list(tmp_path.iterdir())
