"""`edgeface devices`: the boards, phones and accelerators that can be simulated, and how far to trust it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edgeface.cli import devices_arm
from edgeface.cli.common import Json, Quiet, command, note, print_json, require_png

if TYPE_CHECKING:
    from edgeface.bench.devices import Device

app = typer.Typer(invoke_without_command=True)


_LEGEND = """
cpu, the default of 'edgeface bench', is this machine, measured. calibrated on: published single-thread latencies of
the core, and their leave-one-out error: 'edgeface devices validate'. arm: points of float32/int8 for arm emulation,
which takes the profile's place where it is set up ('edgeface devices setup arm'); 0: by cores like it."""


@app.callback()
@command
def devices(context: typer.Context, as_json: Json = False) -> None:
    """Devices that `edgeface bench --device` simulates: list, calibrate on your own board, validate.

    Alone, it lists them: core, clock, memory, backend, and the measured points that they are calibrated on.

    Examples:

        edgeface devices

        edgeface devices --json
    """
    if context.invoked_subcommand is None:
        _list(as_json)


@app.command("list")
@command
def list_devices(as_json: Json = False) -> None:
    """List the simulated devices, as `edgeface devices` alone does.

    Examples:

        edgeface devices list --json
    """
    _list(as_json)


def _list(as_json: bool) -> None:
    from edgeface.bench.arm import home
    from edgeface.bench.devices import all_devices

    rows = [_facts(device) for device in all_devices()]
    if as_json:
        print_json(rows)
        return
    print(f"{'device':<14}{'core':<14}{'clock':>8}{'cores':>6}{'memory':>16}  {'backend':<14}{'arm':<5}calibrated on")
    for row in rows:
        print(
            f"{row['name']:<14}{row['core']:<14}{row['clock_ghz']:>4g} GHz{row['cores']:>6}{row['memory']:>16}  "
            f"{row['backend']:<14}{row['emulation_words']:<5}{row['calibrated']}"
        )
    print(_LEGEND)
    print(home.not_set_up() or "arm emulation is set up")


@app.command()
@command
def calibrate(
    name: Annotated[str, typer.Argument(help="The device that was measured.")],
    point: Annotated[
        list[str], typer.Option(help="A model (.tflite or bundle) and its milliseconds; may be repeated.")
    ],
    threads: Annotated[int, typer.Option(min=1, help="Threads it was measured with.")] = 1,
    fresh: Annotated[bool, typer.Option("--fresh", help="Forget the points given before.")] = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Add latencies that you measured on a real board; its estimates use them from then on.

    The effective rate is fitted again. How far the published points alone miss yours, and the leave-one-out error with
    them, are printed and kept with your profile. Points go to your data folder; models measured again replace their old
    point.

    Examples:

        edgeface devices calibrate rpi4 --point bundles/door=12.3

        edgeface devices calibrate rpi4 --point a.tflite=12.3 --point b.tflite=30.1 --threads 4
    """
    from edgeface.bench.calibration.own_points import calibrate as add
    from edgeface.bench.devices import load_device

    report = add(load_device(name), dict(_point(item) for item in point), threads, keep=not fresh)
    if as_json:
        print_json(report)
        return
    for dtype, rates in report["rates"].items():
        before = "none" if rates["before"] is None else f"{rates['before']:.2f}"
        print(f"{name} {dtype}: {before} -> {rates['after']:.2f} multiply-adds a cycle (1x1 convolutions)")
    print(f"published points alone miss yours by {_error(report['before'])}")
    print(f"leave-one-out with your {report['points']} points: {_error(report['after'])}")
    note(f"wrote {report['file']}", quiet=quiet)


@app.command()
@command
def validate(
    backend: Annotated[str, typer.Option(help="profile or arm-emulation.")] = "profile",
    plot: Annotated[
        Path | None, typer.Option(help="Write the scatter plot, predicted against published, here.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Write the result as JSON to this file.")] = None,
    rebuild: Annotated[
        bool, typer.Option("--rebuild", help="Build the networks anew and check the stored facts.")
    ] = False,
    keep: Annotated[Path | None, typer.Option(help="With --rebuild: keep the .tflite files in this folder.")] = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Predict every published latency without it, and tell how far that misses.

    Examples:

        edgeface devices validate

        edgeface devices validate --backend arm-emulation

        edgeface devices validate --plot errors.png --out errors.json

        edgeface devices validate --rebuild --keep networks
    """
    from edgeface.bench.calibration import validate as validation
    from edgeface.errors import UsageError

    if plot is not None:
        require_png(plot, "plot")

    if keep is not None and not rebuild:
        raise UsageError("--keep needs --rebuild")
    if backend not in ("profile", "arm-emulation"):
        raise UsageError(f"unknown backend {backend!r}; choose profile or arm-emulation")
    if rebuild:
        _rebuild(keep, quiet)
    document = validation.validate() if backend == "profile" else _validate_emulation()
    if as_json:
        print_json(document)
    else:
        print(validation.text(document))
    _write(document, plot, out, quiet)


def _validate_emulation() -> dict[str, Any]:
    from edgeface.bench.arm.calibration import METHOD, leave_kind_out, leave_one_out
    from edgeface.bench.calibration import validate as validation
    from edgeface.bench.calibration.errors import summary

    unseen = summary([outcome for outcome in leave_kind_out() if not outcome.sample.left_out])
    return validation.validate("arm-emulation", leave_one_out()) | {"method": METHOD, "unseen_kind": unseen}


def _write(document: dict[str, Any], plot: Path | None, out: Path | None, quiet: bool) -> None:
    from edgeface.files import write_json

    if plot is not None:
        from edgeface.bench.calibration.scatter import scatter

        used = [row for row in document["points"] if not row["left_out"]]
        scatter(used, plot, f"Leave-one-out over {len(used)} published latencies, {document['backend']} backend")
    if out is not None:
        write_json(out, document)
    for path in (plot, out):
        if path is not None:
            note(f"wrote {path}", quiet=quiet)


def _rebuild(keep: Path | None, quiet: bool) -> None:
    from edgeface.bench.calibration import facts
    from edgeface.bench.calibration.validate import check_networks

    stored: dict[str, dict[str, Any]] = {}
    for (name, dtype), values in facts.published_networks().items():
        stored.setdefault(name, {})[dtype] = values
    rebuilt = facts.rebuild(keep)
    check_networks(rebuilt, stored)
    note(f"rebuilt {len(rebuilt)} networks, each as float32 and int8: as stored", quiet=quiet)


def _point(text: str) -> tuple[Path, float]:
    from edgeface.errors import UsageError

    path, equals, value = text.rpartition("=")
    try:
        milliseconds = float(value)
    except ValueError:
        equals = ""
    if not equals or not path:
        raise UsageError(f"--point {text}: write it as MODEL=MILLISECONDS, for example model.tflite=12.3")
    model = Path(path)
    return (model / "model.tflite" if model.is_dir() else model), milliseconds


def _error(figures: dict[str, float]) -> str:
    if not figures["points"]:
        return "nothing to compare with"
    return (
        f"{100 * figures['mean']:.1f} % on average, {100 * figures['max']:.1f} % at most ({figures['points']} points)"
    )


def _facts(device: Device) -> dict[str, Any]:
    """One row of the list."""
    from edgeface.bench.calibration.own_points import own_samples

    names = {"cpu": "profile", "cortex-m": "profile", "ethos-u": "vela", "tflite-micro": "tflite-micro"}
    memory = [f"{device.ram_mb:g} MiB"] if device.ram_mb else []
    memory += [f"+ {device.flash_mb:g} flash"] if device.flash_mb else []
    row = {
        "name": device.name,
        "title": device.title,
        "core": device.core,
        "clock_ghz": device.clock_ghz,
        "cores": device.cores,
        "ram_mb": device.ram_mb,
        "flash_mb": device.flash_mb,
        "bandwidth_gbs": device.bandwidth_gbs,
        "memory": " ".join(memory) or "-",
        "backend": names[device.backend],
        "note": device.note,
    }
    emulation = _emulation(device)
    row |= {
        "emulation": emulation,
        "emulation_words": "/".join(str(points) for points in emulation.values()) or "-",
    }
    if names[device.backend] != "profile":
        return row | {"calibration": {}, "own_points": 0, "calibrated": "-"}
    own = len(own_samples(device.name))
    calibration = {dtype: _calibration(device, dtype) for dtype in ("float32", "int8")}
    words = [f"{dtype}: {text['words']}" for dtype, text in calibration.items()]
    words += [f"{own} of yours"] if own else []
    return row | {"calibration": calibration, "own_points": own, "calibrated": ", ".join(words)}


def _emulation(device: Device) -> dict[str, int]:
    """How many published points a core has for its kernels under Arm emulation; empty where it cannot be emulated."""
    from edgeface.bench.arm.calibration import instructions_per_cycle
    from edgeface.bench.arm.cores import CORES

    if device.backend != "cpu" or device.core not in CORES:
        return {}
    found = {dtype: instructions_per_cycle(device.core, dtype) for dtype in ("float32", "int8")}
    return {dtype: trust.points if trust else 0 for dtype, trust in found.items()}


def _calibration(device: Device, dtype: str) -> dict[str, Any]:
    """How many points a core has for a type, and their leave-one-out error."""
    from edgeface.bench.calibration.errors import published_outcomes, summary
    from edgeface.bench.calibration.fit import family_of

    outcomes = [o for o in published_outcomes() if not o.sample.left_out and o.sample.threads == 1]
    own = [o for o in outcomes if (o.sample.core, o.sample.dtype) == (device.core, dtype)]
    figures = summary(own)
    if own:
        return {**figures, "words": f"{len(own)} ({100 * figures['mean']:.0f} %)"}
    lent = sum(family_of(o.sample.core, dtype) == family_of(device.core, dtype) != "" for o in outcomes)
    return {"points": 0, "lent": lent, "words": f"0 ({lent} of family)" if lent else "nothing"}


def register(root: typer.Typer) -> None:
    """Add the commands."""
    devices_arm.register(app)
    root.add_typer(app, name="devices")
