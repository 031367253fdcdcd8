"""Estimate: what a simulated device gives for one model, never a bare number."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Estimate:
    """One model on one simulated device.

    `backend` is "profile", "arm-emulation", "vela" or "tflite-micro". `kind` is "compiler-estimate" (a vendor's
    compiler says so), "calibrated-estimate" (the core and type have published or the user's own measurements) or
    "estimate" (they have none). `latency_ms` is one inference, always with `band_ms` (low, high); None when `fits` is
    false or the backend gives no time, and `reason` says why. `memory` is in bytes, `details` is JSON-serialisable.
    """

    device: str
    backend: str
    kind: str
    latency_ms: float | None
    band_ms: tuple[float, float] | None
    fits: bool
    reason: str | None = None
    memory: Mapping[str, int] = field(default_factory=dict)
    details: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if (self.latency_ms is None) != (self.band_ms is None):
            raise ValueError("a latency and its band belong together")
        if self.latency_ms is None and not self.reason:
            raise ValueError("an estimate without a latency says why")
