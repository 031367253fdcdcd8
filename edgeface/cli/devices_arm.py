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

    For x86-64 Linux, without root: 40 MB come through this machine's apt-get (with a configuration of its own) and
    pip, are checked against pinned versions and SHA-256, and go to `$EDGEFACE_ARM_HOME`, else to your data folder. The
    system is left as it is. Run it again after an interruption to get the rest.

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


@command
def emulate(
    model: Annotated[Path, typer.Argument(help="A model (.tflite) or a bundle.")],
    device: Annotated[list[str], typer.Option(help="The device; may be repeated.")],
    images: Annotated[int, typer.Option(min=1, help="Inferences whose outputs are compared with this machine's.")] = 3,
    repeat: Annotated[
        int, typer.Option(min=0, help="Emulate so many times more: the spread of the instruction counts, of 2 or more.")
    ] = 0,
    as_json: Json = False,
) -> None:
    """Run the real Arm kernels on emulated devices: instructions by class, memory traffic, outputs, latency.

    Outputs are compared with the same version of LiteRT on this machine and with the installed one. Exit code 1 when an
    int8 model's outputs differ from those of the same version.

    Examples:

        edgeface devices emulate bundles/door --device rpi4

        edgeface devices emulate model.tflite --device rpi3 --device rpi5 --images 100 --repeat 5
    """
    from edgeface.bench.arm.emulate import emulate as run
    from edgeface.bench.devices import load_device
    from edgeface.errors import GateFailed

    path = _model(model)
    boards = [load_device(name) for name in device]
    rows = []
    for board in boards:
        again = [run(path, board) for _ in range(repeat)]
        rows.append(_row(run(path, board, images=images), again))
    if as_json:
        print_json(rows)
    else:
        print("\n\n".join(_text(row) for row in rows))
    wrong = [row["device"] for row in rows if row["bit_equal"] is False and row["details"]["dtype"] == "int8"]
    if wrong:
        raise GateFailed(f"{path}: int8 outputs on {', '.join(wrong)} are not this machine's")


def _model(path: Path) -> Path:
    """The .tflite file of a bundle, which is verified by opening it, or the file itself."""
    if not path.is_dir():
        return path
    from edgeface.bundle import open_bundle

    return open_bundle(path).model_path


def _row(first: Any, again: list[Any]) -> dict[str, Any]:
    """The first run's estimate, and how far the instruction counts of the others, equal runs, lie apart."""
    import dataclasses

    row = {**dataclasses.asdict(first), "spread": None, "bit_equal": None}
    if "instructions" in first.details:
        totals = [run.details["instructions"] for run in again]
        outputs = first.details["outputs"]
        same = outputs["host"].get(outputs["emulated"])
        row["spread"] = (max(totals) - min(totals)) / totals[0] if len(totals) > 1 else None
        row["bit_equal"] = same["bit_equal"] if same else None
    return row


def _text(row: dict[str, Any]) -> str:
    if row["latency_ms"] is None:
        lines = [f"{row['device']}: {row['reason']}"]
    else:
        low, high = row["band_ms"]
        lines = [f"{row['device']}: {row['latency_ms']:.2f} ms, {low:.2f} to {high:.2f} ({row['kind']})"]
    details = row["details"]
    if "instructions" in details:
        lines.append(f"  {details['instructions'] / 1e6:10.3f} million instructions, {details['runtime']}, one thread")
        for name, value in details["instructions_by_class"].items():
            lines.append(f"  {value / 1e6:10.3f} {name.replace('_', ' ')}")
        lines.append(
            f"  {details['bytes_loaded'] / 1e6:10.3f} MB loaded, {details['bytes_stored'] / 1e6:.3f} MB stored"
        )
    if row["spread"] is not None:
        lines.append(f"  spread of the counts over the runs: {row['spread']:.1e}")
    for version, found in details.get("outputs", {}).get("host", {}).items():
        same = "bit-equal" if found["bit_equal"] else f"{found['different']} of {found['values']} values differ"
        lines.append(
            f"  outputs against LiteRT {version} on this machine: {same} ({details['outputs']['images']} inputs)"
        )
    return "\n".join([*lines, *(f"  {line}" for line in row["notes"])])


@command
def count(
    out: Annotated[Path, typer.Option(help="The JSON file of counts; what it holds already is kept.")],
    quiet: Quiet = False,
) -> None:
    """Count the published networks' instructions on their cores: how EdgeFace's counts.json was made.

    Takes half an hour on one core; interrupted, it goes on where it stopped.

    Example:

        edgeface devices count --out counts.json
    """
    from edgeface.bench.arm.counting import count as run

    done = run(out, lambda line: note(line, quiet=quiet))
    note(f"wrote {out}: {done} counted", quiet=quiet)


def register(devices: typer.Typer) -> None:
    """Add the commands to `edgeface devices`."""
    devices.add_typer(setup_app, name="setup")
    devices.command()(emulate)
    devices.command()(count)
