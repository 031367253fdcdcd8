"""Simulated devices beside the measured one. The devices are made up; their backends have tests of their own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from edgeface.bench import host, report
from edgeface.bench.latency import Plan
from edgeface.bench.reproduction.speed import checked_devices
from edgeface.bench.runner import measure
from edgeface.bench.settings import Settings
from edgeface.errors import MissingDependencyError, UsageError

QUICK = Plan(runs=30, seconds=0.1, rounds=8, fresh=False)


def test_rows_for_every_device(
    tiny_bundles: dict[str, Path], fake_devices: list[tuple[str, str, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(host, "WorkerProcess", None)  # nothing may be measured
    paths = [tiny_bundles["float32"], tiny_bundles["int8"], tiny_bundles["int8"]]
    result = measure(paths, Settings(devices=("board", "tiny", "npu"), threads=(1, 2)))
    assert len(fake_devices) == 3 * 2 * 2  # devices, bundles (each once), threads
    rows = {(row["name"], row["device"]): row for row in result["rows"]}
    board = rows["tiny-int8 (2 threads)", "board"]
    assert (board["ms"], board["band_ms"], board["fps"], board["fps_band"]) == (5, [4, 6], 200, [1000 / 6, 250])
    assert (board["kind"], board["backend"], board["threads"]) == ("calibrated-estimate", "profile", 2)
    assert board["memory"] == {"weights": 1000, "arena": 2000}
    full = rows["tiny-int8 (1 thread)", "tiny"]
    assert (full["ms"], full["fits"], full["reason"]) == (None, False, "needs 2 MB of RAM, the board has 1 MB")
    refused = rows["tiny-float32 (1 thread)", "npu"]
    assert (refused["ms"], refused["fits"]) == (None, None)
    assert refused["reason"] == "float32; the NPU takes int8 only"  # and no path
    assert rows["tiny-int8 (1 thread)", "npu"]["ms"] == 10
    assert "the NPU takes int8 only" in report.text(result).replace("\n  ", " ")


@pytest.mark.usefixtures("fake_devices")
def test_accuracy_stands_in_the_row_of_every_device(tiny_bundles: dict[str, Path], tiny_data: Path) -> None:
    settings = Settings(devices=("cpu", "board"), data=tiny_data, plan=QUICK, batch=0)
    measured, simulated = measure([tiny_bundles["int8"]], settings)["rows"]
    assert measured["accuracy"] == simulated["accuracy"]
    assert (measured["batch"], measured["kind"]) == (None, "measured")
    alone = measure([tiny_bundles["int8"]], Settings(devices=("board",), data=tiny_data))
    assert alone["rows"][0]["accuracy"] == simulated["accuracy"]
    assert any("computed with that bundle on this machine" in note for note in alone["notes"])


@pytest.mark.usefixtures("fake_devices")
def test_when_nothing_can_be_simulated(tiny_bundles: dict[str, Path], tiny_run: Path) -> None:
    with pytest.raises(UsageError, match="the NPU takes int8 only"):
        measure([tiny_bundles["float32"]], Settings(devices=("npu",)))
    with pytest.raises(UsageError, match="a Keras run has no"):
        measure([tiny_run], Settings(devices=("board",)))
    result = measure([tiny_run, tiny_bundles["int8"]], Settings(devices=("board",)))
    assert len(result["rows"]) == 1
    assert any("tiny is a Keras run" in warning for warning in result["warnings"])


@pytest.mark.usefixtures("fake_devices")
def test_a_device_that_refuses_all_leaves_the_measured_rows(tiny_bundles: dict[str, Path]) -> None:
    result = measure([tiny_bundles["float32"]], Settings(devices=("cpu", "npu"), plan=QUICK, batch=0))
    assert [(row["device"], row["ms"] is None) for row in result["rows"]] == [("cpu", False), ("npu", True)]
    assert "tiny-float32 on npu: float32; the NPU takes int8 only" in report.text(result)


def test_two_devices_of_one_name_are_refused(tiny_bundle: Path, tmp_path: Path) -> None:
    for folder, name in (("a", "board"), ("b", "board"), ("c", "rpi4"), ("d", "cpu")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / f"{name}.toml").write_text(
            f'title = "{folder}"\nbackend = "cpu"\ncore = "cortex-a72"\nclock_ghz = 1.5\nbandwidth_gbs = 4.0\n'
            "ram_mb = 1024.0\n"
        )
    a, b, c, d = (str(path) for path in sorted(tmp_path.glob("*/*.toml")))
    for devices in ((a, b), ("rpi4", c), (d,)):
        with pytest.raises(UsageError, match=r"is called '(board|rpi4|cpu)', as .* is; rename the file"):
            measure([tiny_bundle], Settings(devices=devices))
        with pytest.raises(UsageError, match="rename the file"):
            checked_devices(devices)
    assert [row["device"] for row in measure([tiny_bundle], Settings(devices=(a, "rpi4")))["rows"]] == ["board", "rpi4"]


def test_a_reproduction_refuses_a_device_without_its_extra_before_training(monkeypatch: pytest.MonkeyPatch) -> None:
    assert checked_devices(["cpu,rpi4"]) == ("cpu", "rpi4")
    monkeypatch.setattr("importlib.util.find_spec", lambda module: None)
    for device, extra in (("ethos-u55-128", "npu"), ("mcu", "mcu")):
        with pytest.raises(MissingDependencyError, match=rf"edgeface\[{extra}\]"):
            checked_devices(["cpu", device])


def test_simulating_loads_no_runtime_and_no_tensorflow(tiny_bundle: Path) -> None:
    """What keeps the command quick to start for simulated devices alone."""
    code = """
import sys, types
from pathlib import Path
for name, member in (("devices", "load_device"), ("simulate", "simulate")):
    module = types.ModuleType("edgeface.bench." + name)
    setattr(module, member, lambda *_: types.SimpleNamespace(
        name="board", device="board", backend="profile", kind="estimate", latency_ms=1.0, band_ms=(0.5, 2.0),
        fits=True, reason=None, memory={}, details={}, notes=()))
    sys.modules[module.__name__] = module
from edgeface.bench.runner import measure
from edgeface.bench.settings import Settings
measure([Path(sys.argv[1])], Settings(devices=("board",)))
heavy = ("tensorflow", "tf_keras", "ai_edge_litert", "tflite_runtime")
assert not [name for name in sys.modules if name.split(".")[0] in heavy]
"""
    done = subprocess.run([sys.executable, "-c", code, tiny_bundle], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
