"""Errors that reach the command line."""

import errno

import pytest
import typer

from edgeface.cli.common import command


def test_an_unforeseen_file_error_is_one_line_and_exit_code_2(capsys):
    @command
    def read():
        raise PermissionError(errno.EACCES, "Permission denied", "/root/x")

    with pytest.raises(typer.Exit) as left:
        read()
    assert left.value.exit_code == 2
    assert capsys.readouterr().err == "error: /root/x: Permission denied; check the path and its permissions\n"


def test_a_reader_that_has_gone_is_left_to_the_framework():
    @command
    def write():
        raise BrokenPipeError(errno.EPIPE, "Broken pipe")

    with pytest.raises(BrokenPipeError):
        write()
