"""`edgeface doctor`: whether this machine can run a bundle."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from edgeface.cli.common import Json, Quiet, command, print_json


@command
def doctor(
    bundle: Annotated[
        Path | None, typer.Argument(help="A bundle to open and to test against its stored outputs.")
    ] = None,
    threads: Annotated[int, typer.Option(min=1, help="CPU threads that you mean to use.")] = 1,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Look at Python, NumPy, runtime, CPU, threads, camera and bundle; one line each, with what to install.

    Exit code 1 when something does not work. With `--quiet` only what is not in order is shown.

    Examples:

        edgeface doctor

        edgeface doctor bundles/door --json
    """
    from edgeface.doctor import FAIL, OK, examine
    from edgeface.errors import GateFailed
    from edgeface.machine import describe

    checks = []
    for check in examine(describe(), bundle, threads):
        checks.append(check)
        if not as_json and not (quiet and check.state == OK):
            typer.echo(check.line())
    failed = [check.name for check in checks if check.state == FAIL]
    if as_json:
        print_json({"ok": not failed, "checks": [asdict(check) for check in checks]})
    if failed:
        raise GateFailed(f"not in order: {', '.join(failed)}")


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(doctor)
