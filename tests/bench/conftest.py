"""A result document of made-up rows, in the shape that a run writes, and simulated devices that need no backend."""

from __future__ import annotations

import sys
import types
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from edgeface.bench.document import DEFINITIONS, FORMAT, MEASURED, VERSION, Row
from edgeface.bench.reproduction import rows
from edgeface.bench.reproduction.plan import Plan, Settings, make_plan
from edgeface.bench.reproduction.state import write_plan
from edgeface.data.layouts import load_dataset
from edgeface.errors import UsageError

RECIPE = """
batch_size = 8
[distillation]
views = 2
[stage0]
epochs = 1
[stage1]
epochs = 2
basic_augmentation = true
center_loss = 1e-5
pre_logit_norm = 1e-5
[stage2]
epochs = 1
basic_augmentation = true
seaweed = true
center_loss = 1e-4
pre_logit_norm = 1e-4
hard_instance_mining = true
triplet = 0.5
[teacher.stage1]
epochs = 5
"""
"""What the tables of these tests are planned with: a recipe that has all three stages."""
MEASURED_ACCURACY = {"top1": 0.91234, "images": 500, "data": "people", "split": "val", "runtime": "LiteRT 2.3.0"}
PER_OP = {
    "total_us": 1000.0,
    "runs": 200,
    "method": "by the stopwatch",
    "by_type": [
        {"name": "conv1x1", "us": 750.0, "share": 0.75, "count": 3},
        {"name": "pool", "us": 250.0, "share": 0.25, "count": 1},
    ],
    "by_block": [
        {"name": "stem", "us": 600.0, "share": 0.6, "count": 2},
        {"name": "head", "us": 400.0, "share": 0.4, "count": 2},
    ],
    "ops": [],
}


def measured_row(name: str, p50: float, **changes: Any) -> dict[str, Any]:
    """A row of the device cpu as JSON."""
    times = {"p50": p50, "p90": p50 * 1.1, "p95": p50 * 1.2, "p99": p50 * 2, "mean": p50, "std": p50 / 10}
    row = Row(
        name=name, what="bundle", mode="float32", network="squeezenext_23v5", file_bytes=4_500_000, sha256=name,
        input_size=96, identities=51, device="cpu", kind=MEASURED, backend="host", threads=1, ms=p50,
        band_ms=[p50 * 0.98, p50 * 1.02], fits=True, memory={"arena": 1_290_000},
        ratio={"value": 41.234, "low": 39.9, "high": 42.55}, runtime="tflite-runtime 2.14.0",
        delegate={"name": "XNNPACK", "operators": 164, "of": 164, "evidence": ""}, pinned_cores=[1], runs=200,
        processes=5, warm_up_runs=21, latency_ms={**times, "min": p50 * 0.9, "max": p50 * 3}, cold_start_ms=300.0,
        load_ms=60.0, first_inference_ms=1.2, rss_mb={"base": 60.0, "init": 75.0, "peak": 80.0},
        batch={"images": 32, "fps": 1100 / p50, "p50": 29.0 * p50, "p90": 30.0, "mean": 29.5, "std": 1.0, "runs": 5},
        pipeline_ms={"p50": p50 + 1, "p90": p50 + 2, "mean": p50 + 1, "std": 0.1, "runs": 50, "photo": "a photo"},
        round_p50_ms=[p50] * 40, round_p10_ms=[p50] * 40, round_spread=0.01,
    ).to_dict()  # fmt: skip
    return {**row, **changes}


def estimated_row(name: str, device: str, ms: float | None, **changes: Any) -> dict[str, Any]:
    """A row of a simulated device as JSON, its band 20 % to both sides."""
    row = Row(
        name=name, what="bundle", mode="int8", network="squeezenext_23v5", file_bytes=1_260_000, sha256=name,
        input_size=96, identities=51, device=device, kind="calibrated-estimate", backend="profile", threads=1, ms=ms,
        band_ms=None if ms is None else [ms * 0.8, ms * 1.2], fits=ms is not None,
        reason=None if ms is not None else "needs 2.1 MB of RAM, the board has 1 MB",
        memory={"weights": 1_200_000, "arena": 322_000}, notes=["one thread"], accuracy=MEASURED_ACCURACY,
    ).to_dict()  # fmt: skip
    return {**row, **changes}


@pytest.fixture
def make_row() -> Callable[..., dict[str, Any]]:
    """`make_row(name, ms, **changes)` is a measured row as JSON."""
    return measured_row


@pytest.fixture
def result() -> dict[str, Any]:
    """A document with measured and simulated rows, long names, one row that does not fit, and a profile."""
    keras = {"name": "none", "operators": None, "of": None, "evidence": "TensorFlow's own kernels, oneDNN off"}
    return {
        "format": FORMAT,
        "version": VERSION,
        "date": "2030-01-01T00:00:00+00:00",
        "edgeface": "0.1.0",
        "machine": {"cpu": "A very long processor name " * 5, "cores": 2, "arch": "x86_64", "features": ["avx2", "fma"],
                    "os": "Linux 6", "python": "3.11.7"},
        "settings": {"devices": ["cpu", "rpi4", "cortex-m7"], "threads": [1]},
        "definitions": DEFINITIONS,
        "warnings": ["noise: load average 3.0"],
        "notes": ["int8 is slow here"],
        "rows": [
            measured_row("teacher", 123.4, what="run", ratio=None, runtime="TensorFlow 2.21.0", memory={},
                         accuracy={**MEASURED_ACCURACY, "top1": 0.93}, delegate=keras),
            measured_row("a-bundle-whose-name-" + "x" * 80, 2.994),
            measured_row("small", 0.08, rss_mb={"base": None, "init": None, "peak": None}, per_op=PER_OP,
                         accuracy=MEASURED_ACCURACY),
            estimated_row("small", "rpi4", 12.5),
            estimated_row("small", "cortex-m7", None),
        ],
    }  # fmt: skip


@dataclass(frozen=True)
class FakeEstimate:
    """What the bench reads of an Estimate."""

    device: str
    latency_ms: float | None
    band_ms: tuple[float, float] | None
    backend: str = "profile"
    kind: str = "calibrated-estimate"
    fits: bool = True
    reason: str | None = None
    memory: dict[str, int] = field(default_factory=lambda: {"weights": 1000, "arena": 2000})
    details: dict[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ("one thread",)


@pytest.fixture
def fake_devices(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str, int]]:
    """Three devices in place of the real ones: `board` takes 10 ms a thread, `tiny` has no room, `npu` takes only int8.

    Gives the list of (bundle, device, threads) that were simulated.
    """
    asked: list[tuple[str, str, int]] = []

    def load_device(name: str) -> types.SimpleNamespace:
        if name not in ("board", "tiny", "npu"):
            raise UsageError(f"unknown device {name!r}; nearest: board")
        return types.SimpleNamespace(name=name)

    def simulate(model: Path, device: types.SimpleNamespace, threads: int = 1) -> FakeEstimate:
        asked.append((model.parent.name, device.name, threads))
        if device.name == "tiny":
            return FakeEstimate("tiny", None, None, fits=False, reason="needs 2 MB of RAM, the board has 1 MB")
        if device.name == "npu" and "float32" in model.parent.name:
            raise UsageError(f"{model}: float32; the NPU takes int8 only")
        return FakeEstimate(device.name, 10.0 / threads, (8.0 / threads, 12.0 / threads), details={"instructions": 5e7})

    devices, simulation = types.ModuleType("edgeface.bench.devices"), types.ModuleType("edgeface.bench.simulate")
    monkeypatch.setattr(devices, "load_device", load_device, raising=False)
    monkeypatch.setattr(simulation, "simulate", simulate, raising=False)
    monkeypatch.setitem(sys.modules, "edgeface.bench.devices", devices)
    monkeypatch.setitem(sys.modules, "edgeface.bench.simulate", simulation)
    return asked


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """What a comparison is planned by."""
    path = tmp_path / "mine.toml"
    path.write_text(RECIPE)
    return Settings("comparison", path, "mine", seeds=2, quantize=True)


@pytest.fixture
def plan(settings: Settings, tiny_data: Path, tmp_path: Path) -> Plan:
    """A comparison, planned in `tmp_path / "out"`."""
    made = make_plan(settings, rows.comparison(), load_dataset(tiny_data), tmp_path / "out")
    write_plan(tmp_path / "out", made)
    return made
