"""When the speed of a table's bundles is measured again. A script stands for `edgeface bench`."""

import json
import sys

import pytest

from edgeface import machine
from edgeface.bench.devices import FOLDER
from edgeface.bench.reproduction.speed import measure_speed

HERE = {"cpu": "One CPU", "cores": 2, "arch": "x86_64", "features": ["avx2"], "memory_mb": 4000}
BENCH = """
import json, sys
from pathlib import Path
out = Path(sys.argv[sys.argv.index("--out") + 1])
result = {"rows": [], "date": "", "machine": json.loads(MACHINE), "settings": {}, "warnings": []}
out.write_text(json.dumps(result))
with (out.parent / "calls").open("a") as calls:
    calls.write("x")
"""


@pytest.fixture
def calls(tmp_path, monkeypatch):
    """`calls(*devices, **changes)` measures on devices and a changed machine; gives how often that was done in all."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    bundle = tmp_path / "bundle"
    bundle.mkdir()
    (bundle / "bundle.json").write_text(json.dumps({"files": {"model.tflite": {"sha256": "a"}}}))

    def measure(*devices, **changes):
        here = {**HERE, **changes}
        monkeypatch.setattr(machine, "describe", lambda: here)
        bench = [sys.executable, "-c", BENCH.replace("MACHINE", repr(json.dumps(here)))]
        measure_speed(bench, [bundle], devices, tmp_path / "speed.json")
        return len((tmp_path / "calls").read_text())

    return measure


def test_the_same_on_the_same_machine_is_measured_once(calls):
    assert calls("cpu", "rpi4") == 1
    assert calls("cpu", "rpi4", memory_mb=4010, load_average=2.0) == 1


def test_other_devices_or_another_machine_are_measured_again(calls):
    assert calls("cpu") == 1
    assert calls("cpu", "rpi4") == 2
    for number, change in enumerate(({"cores": 8}, {"cpu": "Another"}, {"features": ["avx2", "fma"]}), 3):
        assert calls("cpu", "rpi4", **change) == number


def test_a_profile_that_was_edited_is_measured_again(calls, tmp_path):
    board = tmp_path / "board.toml"
    board.write_text((FOLDER / "rpi4.toml").read_text())
    assert calls(str(board)) == calls(str(board)) == 1
    board.write_text(board.read_text().replace("clock_ghz = 1.5", "clock_ghz = 1.8", 1))
    assert calls(str(board)) == 2
