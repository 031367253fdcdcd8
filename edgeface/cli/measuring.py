"""Frames a second for the compress room, which may not import the bench: the command line passes these functions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path


def fps_on(device: str, threads: int) -> Callable[[Sequence[Path]], list[float | None]]:
    """What measures frames a second of bundles on a device, in one interleaved run; None for one that does not fit it.

    Raises UsageError for an unknown device or too many threads now, not after what is to be measured.
    """
    from edgeface.bench.settings import Settings, check_threads

    settings = Settings(devices=(device,), threads=(threads,), batch=0)
    check_threads(settings)
    if device != "cpu":
        from edgeface.bench.devices import load_device

        load_device(device)

    def measured(paths: Sequence[Path]) -> list[float | None]:
        from edgeface.bench.runner import measure
        from edgeface.signing import own_bundles

        with own_bundles():
            rows = measure(list(paths), settings)["rows"]
        return [row["fps"] for row in rows]

    return measured
