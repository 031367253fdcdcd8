"""Simulated devices: profiles in TOML files beside this one, and a user's own, read and checked.

    load_device("rpi4")          a shipped profile, with the user's calibration points
    load_device("my-board.toml") a profile of one's own, in the same form
    device_names()               all shipped profiles

`_cores.toml` holds what belongs to a processor core rather than to a board.
"""

from __future__ import annotations

import dataclasses
import difflib
import functools
import importlib.util
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgeface.errors import DeviceError, MissingDependencyError, UsageError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

FOLDER = Path(__file__).parent
BACKENDS = ("cpu", "cortex-m", "ethos-u", "tflite-micro")
DTYPES = ("float32", "int8")
_EXTRAS = {"ethos-u": ("ethosu", "ethos-u-vela", "npu"), "tflite-micro": ("tflite_micro", "tflite-micro", "mcu")}
"""By backend: the module that it needs, the package that has it, and EdgeFace's extra."""


@dataclass(frozen=True)
class Point:
    """One published latency: `net` of edgeface.bench.calibration.networks, milliseconds of one inference.

    `core`, `clock_ghz` and the bandwidths are the profile's unless the point says otherwise. `left_out` is the reason
    why a point takes no part in the fit; it is shown by `edgeface devices validate` all the same.
    """

    net: str
    dtype: str
    ms: float
    runtime: str
    source: str
    core: str
    clock_ghz: float
    bandwidth_gbs: float
    bandwidth_all_gbs: float
    threads: int = 1
    left_out: str = ""


@dataclass(frozen=True)
class Device:
    """One board, phone or accelerator.

    `backend` is "cpu" (Linux or Android on Arm), "cortex-m", "ethos-u" or "tflite-micro". Caches in KiB, memories in
    MiB (0: none or unknown), `bandwidth_gbs` of one core in 10^9 bytes a second, `bandwidth_all_gbs` of all cores
    together where that is more. `accelerator`, `system_config` and `memory_mode` are Vela's. `points` are the published
    latencies that the file holds.
    """

    name: str
    title: str
    backend: str
    core: str
    clock_ghz: float
    cores: int = 1
    l1d_kb: int = 0
    l2_kb: int = 0
    l3_kb: int = 0
    ram_mb: float = 0.0
    flash_mb: float = 0.0
    bandwidth_gbs: float = 0.0
    bandwidth_all_gbs: float = 0.0
    bandwidth_source: str = ""
    accelerator: str = ""
    system_config: str = ""
    memory_mode: str = ""
    note: str = ""
    points: tuple[Point, ...] = ()


@dataclass(frozen=True)
class Family:
    """Cores whose kernels are alike: they lend each other calibration."""

    name: str
    title: str


@dataclass(frozen=True)
class Core:
    """A processor core: for each dtype its family and its nominal multiply-adds a cycle, by which families compare."""

    name: str
    families: Mapping[str, str]
    peak: Mapping[str, float]


@dataclass(frozen=True)
class Cores:
    """The content of `_cores.toml`."""

    families: Mapping[str, Family]
    cores: Mapping[str, Core]


def device_names() -> tuple[str, ...]:
    """The shipped profiles, sorted."""
    return tuple(sorted(path.stem for path in FOLDER.glob("*.toml") if not path.stem.startswith("_")))


def load_device(name: str) -> Device:
    """A shipped profile by its name, or the profile in a .toml file.

    Raises UsageError for an unknown name, with those nearest to it, and DeviceError for a file that is missing, cut
    short or edited into something impossible.
    """
    if name.endswith(".toml"):
        return _read(Path(name))
    if name == "cpu":
        raise UsageError("cpu is this machine: 'edgeface bench' measures it, nothing is simulated or calibrated")
    if name not in device_names():
        near = difflib.get_close_matches(name.lower(), ("cpu", *device_names()), 3, 0.4)
        hint = f"did you mean {' or '.join(near)}?" if near else f"choose from {', '.join(('cpu', *device_names()))}"
        raise UsageError(f"unknown device {name!r}; {hint} ('edgeface devices' lists all)")
    return _read(FOLDER / f"{name}.toml")


def check_extra(device: Device) -> None:
    """Raise MissingDependencyError where what simulates a device is an extra that is not installed."""
    module, package, extra = _EXTRAS.get(device.backend, ("", "", ""))
    if module and importlib.util.find_spec(module) is None:
        raise MissingDependencyError(f"{device.name} needs {package}; install it with: pip install 'edgeface[{extra}]'")


def all_devices() -> tuple[Device, ...]:
    """Every shipped profile."""
    return tuple(load_device(name) for name in device_names())


@functools.cache
def load_cores() -> Cores:
    """What belongs to the cores. Raises DeviceError when the file is damaged."""
    path = FOLDER / "_cores.toml"
    table = _parse(path)
    try:
        families = {name: Family(name, str(values["title"])) for name, values in table["families"].items()}
        cores = {
            name: Core(
                name,
                {dtype: values[dtype]["family"] for dtype in DTYPES if dtype in values},
                {dtype: float(values[dtype]["peak"]) for dtype in DTYPES if dtype in values},
            )
            for name, values in table["cores"].items()
        }
        unknown = {family for core in cores.values() for family in core.families.values()} - set(families)
        if unknown:
            raise ValueError(f"unknown family {sorted(unknown)[0]}")
        return Cores(families, cores)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise DeviceError(f"{path}: {error}; install EdgeFace again") from None


def _parse(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DeviceError(f"{path}: cannot be read ({error.strerror}); 'edgeface devices' lists the profiles") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise DeviceError(f"{path}: is cut short or edited: not valid TOML ({error})") from None


def _read(path: Path) -> Device:
    """A profile, checked. `published_points` in the file is the number of its points, so that a cut is noticed."""
    table = _parse(path)
    points = table.pop("points", [])
    promised = table.pop("published_points", 0)
    if not isinstance(points, list) or len(points) != promised:
        count = len(points) if isinstance(points, list) else 0
        raise DeviceError(f"{path}: holds {count} points where published_points = {promised}: cut short or edited")
    device = _build(Device, {"name": path.stem, **table}, path)
    defaults = {key: getattr(device, key) for key in ("core", "clock_ghz", "bandwidth_gbs", "bandwidth_all_gbs")}
    device = dataclasses.replace(
        device, points=tuple(_build(Point, {**defaults, **point}, path, "points: ") for point in points)
    )
    _check(device, path)
    return device


def _build(kind: type, table: Any, path: Path, where: str = "") -> Any:
    """A dataclass from a table whose keys and types must be its fields'."""
    if not isinstance(table, dict):
        raise DeviceError(f"{path}: {where}is not a table")
    types = {field.name: field.type for field in dataclasses.fields(kind)}
    values = {}
    for key, value in table.items():
        wanted = types.get(key)
        if wanted == "float" and type(value) is int:
            value = float(value)
        if wanted not in ("str", "int", "float") or type(value).__name__ != wanted:
            raise DeviceError(f"{path}: {where}{key} = {value!r} is unknown or of the wrong type: edited?")
        values[key] = value
    missing = [
        field.name
        for field in dataclasses.fields(kind)
        if field.default is dataclasses.MISSING and field.name not in values
    ]
    if missing:
        raise DeviceError(f"{path}: {where}{missing[0]} is missing: cut short or edited")
    return kind(**values)


def _check(device: Device, path: Path) -> None:
    """Refuse what cannot be."""

    def require(holds: bool, message: str) -> None:
        if not holds:
            raise DeviceError(f"{path}: {message}")

    require(device.backend in BACKENDS, f"backend = {device.backend!r} is none of {', '.join(BACKENDS)}")
    require(0 < device.clock_ghz < 10, f"clock_ghz = {device.clock_ghz} must lie within 0..10")
    require(0 < device.cores <= 1024, f"cores = {device.cores} must lie within 1..1024")
    require(min(device.ram_mb, device.flash_mb, device.bandwidth_gbs) >= 0, "a memory is negative")
    if device.backend in ("cpu", "cortex-m"):
        require(device.core in load_cores().cores, f"core = {device.core!r} is not in _cores.toml")
        require(device.bandwidth_gbs > 0 and device.ram_mb > 0, "bandwidth_gbs and ram_mb must be above 0")
    if device.backend == "ethos-u":
        require(bool(device.accelerator and device.system_config and device.memory_mode), "Vela's settings are missing")
    for point in device.points:
        require(point.core in load_cores().cores, f"points: core = {point.core!r} is not in _cores.toml")
        require(point.dtype in DTYPES, f"points: dtype = {point.dtype!r} is none of {', '.join(DTYPES)}")
        require(min(point.ms, point.clock_ghz, point.bandwidth_gbs, point.threads) > 0, "points: not above 0")
