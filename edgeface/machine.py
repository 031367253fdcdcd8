"""What the measurement ran on. Nothing that names a person, a host or a path."""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

_X86 = {"sse4_1", "avx2", "fma", "avx512f", "avx512_vnni", "avx_vnni", "avx512_bf16", "amx_int8"}
INT8_DOT_PRODUCTS = frozenset({"avx_vnni", "avx512_vnni", "amx_int8", "asimddp", "i8mm"})
_ARM = {"neon", "asimd", "asimddp", "i8mm", "sve"}
FEATURES = frozenset(_X86 | _ARM)
"""Instruction sets that decide how fast float and int8 kernels are."""


def describe() -> dict[str, Any]:
    """CPU model, cores, instruction sets, memory, system, Python and load average."""
    info = _read("/proc/cpuinfo")
    return {
        "cpu": _cpu_model(info),
        "cores": os.cpu_count(),
        "features": sorted(
            FEATURES & set(re.findall(r"\S+", " ".join(re.findall(r"(?mi)^(?:flags|features).*", info))))
        ),
        "memory_mb": _memory_mb(),
        "arch": platform.machine(),
        "os": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "load_average": load_average(),
    }


def int8_dot_products(features: Sequence[str]) -> list[str]:
    """Those of a machine's features that multiply and sum int8 in one instruction; without them int8 is no faster."""
    return sorted(INT8_DOT_PRODUCTS & set(features))


def load_average() -> float | None:
    """Processes that wanted a core, averaged over the last minute; None where the system does not tell."""
    try:
        return round(os.getloadavg()[0], 2)
    except (OSError, AttributeError):
        return None


def usable_cores() -> list[int]:
    """The cores that this process may use; empty where the system does not tell."""
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []


def _cpu_model(info: str) -> str:
    board = _read("/proc/device-tree/model").strip("\0\n ")
    match = re.search(r"(?m)^(?:model name|Model|Hardware)\s*:\s*(.+)$", info)
    return board or (match.group(1).strip() if match else "") or platform.processor() or platform.machine() or "unknown"


def _memory_mb() -> int | None:
    match = re.search(r"MemTotal:\s*(\d+) kB", _read("/proc/meminfo"))
    return round(int(match.group(1)) * 1024 / 1e6) if match else None


def _read(path: str) -> str:
    try:
        return Path(path).read_text(errors="replace")
    except OSError:
        return ""
