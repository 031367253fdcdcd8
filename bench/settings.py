"""What to measure and how: the options of one run, checked, and the targets as entries."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from edgeface import machine
from edgeface.bench import targets
from edgeface.bench.latency import Plan
from edgeface.errors import UsageError

CPU = "cpu"


@dataclass(frozen=True)
class Settings:
    """What to measure and how. `runtimes` are names of `edgeface.interpreter.RUNTIMES`; empty: the first installed.

    `batch` is the number of images of the batch figure, 0 for none; `per_op` asks for times by operator.
    """

    devices: tuple[str, ...] = (CPU,)
    threads: tuple[int, ...] = (1,)
    runtimes: tuple[str, ...] = ()
    data: Path | None = None
    split: str = "val"
    batch: int = 32
    per_op: bool = False
    plan: Plan = field(default_factory=Plan)


@dataclass(frozen=True)
class Entry:
    """A target in one runtime with so many threads. `facts` is what is known of it before it runs."""

    path: Path
    facts: dict[str, Any]
    runtime: str | None
    threads: int

    @property
    def name(self) -> str:
        """How tables and messages call it: no two entries of a device share a name."""
        return self.facts["name"]


def check(paths: Sequence[Path], settings: Settings) -> None:
    """Raise UsageError for options that cannot be used, before anything is measured."""
    if not paths:
        raise UsageError("nothing to measure; give a bundle or a run")
    if not settings.devices or not settings.threads:
        raise UsageError("--device and --threads need a value")
    if len(set(settings.devices)) < len(settings.devices) or len(set(settings.threads)) < len(settings.threads):
        raise UsageError("a device or a number of threads is given twice")
    check_threads(settings)
    if settings.plan.runs < 1 or not 0 < settings.plan.seconds < float("inf") or settings.batch < 0:
        raise UsageError("--runs and --seconds must be numbers above 0, --batch 0 or more")
    if settings.data is not None and not settings.data.is_dir():
        raise UsageError(f"{settings.data}: no such data folder")


def check_threads(settings: Settings) -> None:
    """Raise UsageError for more threads than this machine has cores, where it is measured, and for less than one."""
    usable = len(machine.usable_cores())
    for threads in settings.threads:
        if threads < 1 or (CPU in settings.devices and usable and threads > usable):
            raise UsageError(f"--threads {threads}: this machine has {usable or 'at least 1'} usable cores")


def check_devices(names: Sequence[str]) -> None:
    """Raise UsageError for a simulated device that is unknown, or called like another one, before anything takes time.

    Tables, comparisons and a user's own points know a device by its name, whatever file it comes from.
    """
    if not names:
        return
    from edgeface.bench.devices import load_device

    called = {CPU: CPU}
    for name in names:
        device = load_device(name)
        if device.name in called:
            raise UsageError(
                f"{name}: is called {device.name!r}, as {called[device.name]} is; rename the file, or its 'name'"
            )
        called[device.name] = name


@dataclass(frozen=True)
class Target:
    """A bundle or a run that was found whole: its facts (see `targets.describe`) and identities."""

    path: Path
    facts: dict[str, Any]
    labels: tuple[str, ...]


def open_targets(paths: Sequence[Path], settings: Settings) -> list[Target]:
    """The targets, checked, also against the data. Raises EdgeFaceError for one that cannot be used."""
    found = [Target(path, *targets.describe(path)) for path in paths]
    if settings.data is not None:
        for target in found:
            targets.check_data(target.facts["name"], target.labels, settings.data, settings.split)
    return found


def entries(found: Sequence[Target], settings: Settings) -> list[Entry]:
    """Targets x runtimes x threads, each with a name of its own. A run has only TensorFlow's own runtime."""
    made: list[Entry] = []
    seen: dict[str, int] = {}
    for target in found:
        runtimes = (settings.runtimes or (None,)) if target.facts["what"] == "bundle" else (None,)
        for runtime, threads in ((runtime, threads) for runtime in runtimes for threads in settings.threads):
            notes = [runtime] if runtime is not None and len(settings.runtimes) > 1 else []
            notes += [f"{threads} thread{'s' if threads > 1 else ''}"] if len(settings.threads) > 1 else []
            name = target.facts["name"] + (f" ({', '.join(notes)})" if notes else "")
            seen[name] = seen.get(name, 0) + 1
            unique = name if seen[name] == 1 else f"{name} #{seen[name]}"
            made.append(Entry(target.path, {**target.facts, "name": unique}, runtime, threads))
    return made


def entries_to_simulate(found: Sequence[Target], settings: Settings) -> list[Entry]:
    """Bundles x threads, each bundle once: a simulated device brings its own runtime, and a run has no .tflite file."""
    bundles = {target.path.resolve(): target for target in found if target.facts["what"] == "bundle"}
    return entries(list(bundles.values()), replace(settings, runtimes=()))
