"""Resident memory of this process, in megabytes (10^6 bytes)."""

from __future__ import annotations

import sys
from pathlib import Path


def resident_mb() -> float | None:
    """Memory in use now; None where the system does not tell."""
    kilobytes = _status().get("VmRSS")
    return None if kilobytes is None else kilobytes * 1024 / 1e6


def peak_mb() -> float | None:
    """The most that was in use since the process started; None where the system does not tell."""
    kilobytes = _status().get("VmHWM")
    if kilobytes is not None:
        return kilobytes * 1024 / 1e6
    try:
        import resource
    except ImportError:  # Windows
        return None
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6


def _status() -> dict[str, int]:
    """Linux's account of this process: its peak starts at exec, where getrusage's would include the parent's memory."""
    values = {}
    try:
        for line in Path("/proc/self/status").read_text().splitlines():
            key, _, rest = line.partition(":")
            if key in ("VmRSS", "VmHWM"):
                values[key] = int(rest.split()[0])
    except (OSError, ValueError, IndexError):
        return {}
    return values
