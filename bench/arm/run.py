"""Runs a model under emulation: outputs, and the instructions of each inference."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
from dataclasses import dataclass, fields
from pathlib import Path

from edgeface.bench.arm.cores import CORES, write_system_files
from edgeface.bench.arm.home import home, not_set_up
from edgeface.errors import EmulatorError, UsageError

GUEST = Path(__file__).with_name("guest.py")
SECONDS = 600.0
"""An emulation that has not ended by then is stopped, whatever it does."""


@dataclass(frozen=True)
class Counts:
    """Instructions of one inference by class, and the bytes that its loads and stores move (in or out of a cache).

    `vector_multiply` are NEON multiplications, multiply-adds and dot products; the classes add up to `total`.
    """

    total: int
    vector_multiply: int
    vector_other: int
    vector_load: int
    vector_store: int
    scalar_load: int
    scalar_store: int
    scalar_float: int
    branch: int
    scalar_other: int
    bytes_loaded: int
    bytes_stored: int


COUNTERS = tuple(field.name for field in fields(Counts))
CLASSES = tuple(name for name in COUNTERS if name != "total" and not name.startswith("bytes"))


@dataclass(frozen=True)
class Emulation:
    """One run: the raw output tensors of all inferences one after the other, and the counts of each inference.

    The first one also sets the kernels up: some ten thousand instructions more.
    """

    outputs: bytes
    counts: tuple[Counts, ...]


def emulate_run(model: Path, core: str, inputs: bytes, processors: int = 4, kernels: str = "xnnpack") -> Emulation:
    """One inference of each input (raw input tensors one after the other) on one thread of a core.

    `kernels` is "xnnpack" or "builtin". Raises EmulatorError when the emulator is not set up, cannot start, refuses the
    model, is killed or takes too long, and UsageError for a core that cannot be emulated.
    """
    if core not in CORES:
        raise UsageError(f"{core} cannot be emulated; choose from {', '.join(CORES)}")
    if reason := not_set_up():
        raise EmulatorError(reason)
    with tempfile.TemporaryDirectory(prefix="edgeface-arm-") as name:
        folder = Path(name)
        root = folder / "root"
        write_system_files(root, CORES[core], processors)
        for part in (home() / "sysroot").iterdir():
            (root / part.name).symlink_to(part.resolve())
        (folder / "inputs").write_bytes(inputs)
        _run(_command(folder, CORES[core].qemu, model, kernels), model)
        counts = _read_counts(folder / "counts")
        return Emulation((folder / "outputs").read_bytes(), counts)


def check() -> None:
    """Start the emulated Python with the plugin and load LiteRT. Raises EmulatorError when that does not work."""
    place = home().resolve()
    with tempfile.TemporaryDirectory(prefix="edgeface-arm-") as name:
        command = [str(place / "bin" / "qemu-aarch64"), "-L", str(place / "sysroot"), "-cpu", "cortex-a72"]
        command += ["-U", "LD_LIBRARY_PATH", "-plugin", f"{place / 'insn_count.so'},out={Path(name) / 'counts'}"]
        command += [str(place / "sysroot" / "usr" / "bin" / "python3.11"), "-I", "-S", "-B", "-c"]
        library = place / "litert" / "libLiteRtRuntimeCApi.so"
        _run([*command, f"import ctypes; ctypes.CDLL({str(library)!r}).TfLiteInterpreterInvoke"], library)


def _command(folder: Path, cpu: str, model: Path, kernels: str) -> list[str]:
    place = home().resolve()
    return [
        str(place / "bin" / "qemu-aarch64"),
        *("-L", str(folder / "root"), "-cpu", cpu, "-U", "LD_LIBRARY_PATH"),
        *("-plugin", f"{place / 'insn_count.so'},out={folder / 'counts'}"),
        *(str(place / "sysroot" / "usr" / "bin" / "python3.11"), "-I", "-S", "-B", str(GUEST)),
        *(str(place / "litert" / "libLiteRtRuntimeCApi.so"), str(model.resolve())),
        *(str(folder / "inputs"), str(folder / "outputs"), kernels),
    ]


def emulator_environment() -> dict[str, str]:
    """The emulator's own libraries, and nothing of the user's settings for Python or threads."""
    return {"PATH": os.environ.get("PATH", os.defpath), "LD_LIBRARY_PATH": str(home().resolve() / "lib")}


def _run(command: list[str], model: Path) -> None:
    try:
        result = subprocess.run(
            command, env=emulator_environment(), stdin=subprocess.DEVNULL, capture_output=True, timeout=SECONDS
        )
    except OSError as error:
        raise EmulatorError(f"{command[0]}: {error.strerror}; set it up again: edgeface devices setup arm") from None
    except subprocess.TimeoutExpired:
        raise EmulatorError(f"{model}: the emulator took more than {SECONDS:.0f} s and was stopped") from None
    if result.returncode < 0:
        name = signal.Signals(-result.returncode).name
        raise EmulatorError(f"{model}: the emulator was killed by {name}; run it again")
    if result.returncode:
        lines = result.stderr.decode(errors="replace").strip().splitlines() or [f"exit code {result.returncode}"]
        raise EmulatorError(f"{model}: emulation failed: {lines[-1]}")


def _read_counts(path: Path) -> tuple[Counts, ...]:
    """The difference between each inference's two marks."""
    try:
        rows = [[int(word) for word in line.split()] for line in path.read_text().splitlines()]
    except (OSError, ValueError):
        rows = []
    whole = all(len(row) == 1 + len(COUNTERS) and row[0] == number for number, row in enumerate(rows))
    if not rows or not whole or len(rows) % 2:
        raise EmulatorError("the instruction counter left no complete record; run it again")
    pairs = zip(rows[::2], rows[1::2], strict=True)
    return tuple(Counts(*(b - a for a, b in zip(begin[1:], end[1:], strict=True))) for begin, end in pairs)
