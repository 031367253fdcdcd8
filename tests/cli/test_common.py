"""Errors that reach the command line."""

import errno
import os
import signal

import pytest
import typer
from typer.testing import CliRunner

import edgeface
from edgeface.cli import app
from edgeface.cli.common import command


def test_an_unforeseen_file_error_is_one_line_and_exit_code_2(capsys):
    @command
    def read():
        raise PermissionError(errno.EACCES, "Permission denied", "/root/x")

    with pytest.raises(typer.Exit) as left:
        read()
    assert left.value.exit_code == 2
    assert capsys.readouterr().err == "error: /root/x: Permission denied; check the path and its permissions\n"


def test_the_version_is_told_without_a_command():
    done = CliRunner().invoke(app, ["--version"])
    assert (done.exit_code, done.stdout) == (0, f"edgeface {edgeface.__version__}\n")


def test_sigterm_ends_a_command_as_ctrl_c_does(capsys):
    left_alone = []

    @command
    def train():
        try:
            os.kill(os.getpid(), signal.SIGTERM)
            signal.pause()
        finally:
            left_alone.append("tidied up")

    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(typer.Exit) as left:
        train()
    assert (left.value.exit_code, left_alone) == (130, ["tidied up"])
    assert capsys.readouterr().err == "interrupted\n"
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_reader_that_has_gone_is_left_to_the_framework():
    @command
    def write():
        raise BrokenPipeError(errno.EPIPE, "Broken pipe")

    with pytest.raises(BrokenPipeError):
        write()
