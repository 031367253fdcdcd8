"""Frames a second for the compress room, which may not import the bench: the command line passes these functions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path


def stem_for(device: str) -> str | None:
    """The stem of int8 models for a device, cpu or a simulated one: plain for microcontrollers, else as the run's."""
    from edgeface.bench.devices import load_device

    return "plain" if device != "cpu" and load_device(device).backend in ("cortex-m", "tflite-micro") else None


def fps_on(device: str, threads: int, *, needed: bool = True) -> Callable[[Sequence[Path]], list[float | None]]:
    """What measures frames a second of bundles on a device, in one interleaved run; None for one that does not fit it.

    Raises UsageError now, not after what is to be measured, for an unknown device, too many threads, or one whose speed
    nothing tells where that is `needed`.
    """
    from edgeface.bench.settings import Settings, check_threads
    from edgeface.errors import UsageError

    settings = Settings(devices=(device,), threads=(threads,), batch=0)
    check_threads(settings)
    if device != "cpu":
        from edgeface.bench.devices import load_device

        if load_device(device).backend == "tflite-micro" and needed:
            raise UsageError(f"{device} is run for memory and outputs, not for a speed; give --device cortex-m7")

    def measured(paths: Sequence[Path]) -> list[float | None]:
        from edgeface.bench.runner import measure
        from edgeface.signing import own_bundles

        with own_bundles():
            rows = measure(list(paths), settings)["rows"]
        return [row["fps"] for row in rows]

    return measured
