"""`edgeface devices setup arm`, `devices emulate`, `devices count`: the real Arm kernels under emulation."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from edgeface.cli.common import Json, Quiet, command, note, print_json

setup_app = typer.Typer(help="Set up what a backend needs.", no_args_is_help=True)


@setup_app.command()
@command
def arm(
    source: Annotated[
        Path | None, typer.Option("--from", help="Take the packages from this folder, not from apt-get and pip.")
    ] = None,
    remove: Annotated[bool, typer.Option("--remove", help="Remove the emulator.")] = False,
    list_files: Annotated[bool, typer.Option("--list", help="List the packages with their SHA-256.")] = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Set up Arm emulation: QEMU, an instruction counter compiled here, and LiteRT for Arm.

    For x86-64 Linux, without root: 40 MB come through this machine's apt-get (with a configuration of its own) and pip,
    are checked against pinned versions and SHA-256, and go to `$EDGEFACE_ARM_HOME`, else to your data folder. Nothing is
    installed. Run it again after an interruption to get the rest.

    Examples:

        edgeface devices setup arm

        edgeface devices setup arm --list

        edgeface devices setup arm --from downloads

        edgeface devices setup arm --remove
    """
    from edgeface.bench.arm import setup
    from edgeface.errors import UsageError

    if remove + list_files + (source is not None) > 1:
        raise UsageError("--from, --remove and --list exclude each other")
    if list_files:
        _list(as_json)
        return
    if remove:
        removed = setup.remove()
        result: dict[str, Any] = {"removed": removed}
        text = "removed" if removed else "it was not set up"
    else:
        place = setup.setup(source, lambda line: note(line, quiet=quiet))
        size = sum(path.stat().st_size for path in place.rglob("*") if path.is_file() and not path.is_symlink())
        result = {"folder": str(place), "bytes": size}
        text = f"arm emulation is set up in {place} ({size / 1e6:.0f} MB)"
    if as_json:
        print_json(result)
    else:
        print(text)


def _list(as_json: bool) -> None:
    import dataclasses

    from edgeface.bench.arm.packages import needed_packages

    packages = needed_packages()
    if as_json:
        print_json([dataclasses.asdict(package) for package in packages])
        return
    for package in packages:
        print(f"{package.sha256}  {package.file}")


def register(devices: typer.Typer) -> None:
    """Add the commands to `edgeface devices`."""
    devices.add_typer(setup_app, name="setup")
