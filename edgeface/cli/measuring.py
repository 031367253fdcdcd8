"""Frames a second for the compress room, which may not import the bench: the command line passes these functions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path


def fps_of_bundles(paths: Sequence[Path], device: str = "cpu", threads: int = 1) -> list[float | None]:
    """Frames a second of each bundle, measured in one interleaved run; None for one that does not fit the device."""
    from edgeface.bench.runner import measure
    from edgeface.bench.settings import Settings

    rows = measure(list(paths), Settings(devices=(device,), threads=(threads,), batch=0))["rows"]
    return [row["fps"] for row in rows]


def fps_on(device: str, threads: int) -> Callable[[Sequence[Path]], list[float | None]]:
    """`fps_of_bundles` for one device. Raises UsageError for an unknown one now, not after what is to be measured."""
    from edgeface.bench.devices import load_device

    if device != "cpu":
        load_device(device)
    return lambda paths: fps_of_bundles(paths, device, threads)
