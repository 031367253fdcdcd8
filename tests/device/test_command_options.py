"""Options that do not apply, names of figures, and errors of files, as the command line says them."""

from __future__ import annotations

import errno
import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from edgeface.cli import app
from edgeface.cli.common import command, missing


def run(*arguments: object):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.mark.parametrize(
    "option",
    [("--figure", "roc.png"), ("--detector", "yunet"), ("--detector-model", "yunet.onnx")],
)
def test_eval_refuses_options_of_lfw_without_it(tiny_bundle: Path, tmp_path: Path, option: tuple[str, ...]) -> None:
    done = run("eval", tiny_bundle, tmp_path, *option)
    assert done.exit_code == 2
    assert done.stderr == f"error: {option[0]} is for --lfw FOLDER only; leave it out\n"


@pytest.mark.parametrize(
    "option", [("--predictions", "answers.csv"), ("--split", "val"), ("--strict",), ("--worst", "10")]
)
def test_eval_refuses_options_of_a_dataset_with_lfw(tiny_bundle: Path, tmp_path: Path, option: tuple[str, ...]) -> None:
    done = run("eval", tiny_bundle, "--lfw", tmp_path, *option)
    assert done.exit_code == 2
    assert done.stderr == f"error: {option[0]} does not go with --lfw; leave it out\n"


def test_a_figure_is_called_a_png(tiny_bundle: Path, tmp_path: Path) -> None:
    figure = tmp_path / "door.jpg"
    for arguments in (("calibrate", tiny_bundle, tmp_path), ("eval", tiny_bundle, "--lfw", tmp_path)):
        done = run(*arguments, "--figure", figure)
        assert done.exit_code == 2
        assert done.stderr == f"error: {figure}: the figure is a PNG; name it so\n"


def test_matplotlib_alone_is_recommended_for_figures() -> None:
    assert missing("matplotlib").endswith("pip install matplotlib")
    assert missing("tensorflow").endswith("pip install 'edgeface[train]'")


def test_packages_of_the_base_install_are_recommended_by_their_own_names() -> None:
    assert missing("cv2").endswith("needs cv2; install it with: pip install opencv-python")
    assert missing("numpy.linalg").endswith("pip install numpy")


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (ImportError("libGL.so.1: cannot open shared object file"), "OpenCV does not load (libGL.so.1: cannot open"),
        (ImportError("DLL load failed", name="cv2"), "OpenCV does not load (DLL load failed); see"),
        (ImportError("\n\nIMPORTANT: read this\nand that"), "a package does not load (IMPORTANT: read this); see"),
    ],
)
def test_a_package_that_does_not_load_is_one_line(
    capsys: pytest.CaptureFixture[str], error: ImportError, says: str
) -> None:
    @command
    def look() -> None:
        raise error

    with pytest.raises(typer.Exit) as left:
        look()
    assert left.value.exit_code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"error: {says}")
    assert line.endswith("edgeface doctor")


def test_an_import_that_is_wrong_in_our_own_code_is_not_blamed_on_a_package() -> None:
    @command
    def look() -> None:
        raise ImportError("cannot import name 'x' from 'edgeface.gallery'", name="edgeface.gallery")

    with pytest.raises(ImportError, match="cannot import name"):
        look()


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (
            OSError(errno.ENOSPC, "No space left on device"),
            "the output: No space left on device; free some space, or write elsewhere",
        ),
        (OSError(errno.EIO, "Input/output error"), "Input/output error; check where the output goes"),
        (
            PermissionError(errno.EACCES, "Permission denied", "/root/x"),
            "/root/x: Permission denied; check the path and its permissions",
        ),
    ],
)
def test_file_errors_say_what_to_look_at(capsys: pytest.CaptureFixture[str], error: OSError, says: str) -> None:
    @command
    def write() -> None:
        raise error

    with pytest.raises(typer.Exit) as left:
        write()
    assert left.value.exit_code == 2
    assert capsys.readouterr().err == f"error: {says}\n"


def test_devices_list_is_a_command() -> None:
    listed = run("devices", "list")
    assert listed.exit_code == 0, listed.output
    assert listed.stdout == run("devices").stdout
    assert json.loads(run("devices", "list", "--json").stdout) == json.loads(run("devices", "--json").stdout)
