"""`edgeface devices` as a user runs it."""

import json

import pytest
from typer.testing import CliRunner

from edgeface.bench.calibration.builder import Builder
from edgeface.cli import app


@pytest.fixture(autouse=True)
def own_data_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("EDGEFACE_ARM_HOME", str(tmp_path / "arm"))


@pytest.fixture
def model(tmp_path):
    net = Builder("int8")
    image = net.image(16)
    (tmp_path / "bundle").mkdir()
    path = tmp_path / "bundle" / "model.tflite"
    path.write_bytes(net.finish([image], [net.dense(net.global_pool(net.conv(image, 8, 3)), 4)]))
    return path


def run(*arguments):
    return CliRunner().invoke(app, ["devices", *map(str, arguments)])


def test_the_list_tells_core_clock_memory_backend_and_calibration():
    result = run()
    assert result.exit_code == 0
    (line,) = [line for line in result.stdout.splitlines() if line.startswith("rpi4")]
    for words in ("cortex-a72", "1.5 GHz", "4096 MiB", "profile", " 7/4 ", "float32: 7 (", "int8: 5 ("):
        assert words in line
    assert max(map(len, result.stdout.splitlines())) <= 120
    assert "cpu, the default of 'edgeface bench', is this machine, measured" in result.stdout
    assert "arm emulation is not set up: edgeface devices setup arm" in result.stdout
    rows = {row["name"]: row for row in json.loads(run("--json").stdout)}
    assert rows["ethos-u65"]["backend"] == "vela"
    assert rows["rpi3"]["emulation"] == {"float32": 4, "int8": 0}
    assert rows["stm32mp1"]["emulation"] == rows["mcu"]["emulation"] == {}
    assert rows["phone-low"]["calibration"]["int8"] == {"points": 0, "lent": 7, "words": "0 (7 of family)"}


def test_a_calibration_is_printed_kept_and_listed(model):
    result = run("calibrate", "rpi4", "--point", f"{model}=0.5", "--point", f"{model.parent}=0.6")
    assert result.exit_code == 0, result.output
    assert "multiply-adds a cycle" in result.stdout
    assert "leave-one-out with your 1 points" in result.stdout  # the bundle's model is the same model
    stored = json.loads(next((model.parents[1] / "data").rglob("rpi4.json")).read_text())
    assert stored["points"][0]["ms"] == 0.6
    assert set(stored["after"]) >= {"mean", "median", "p90"}
    assert "1 of yours" in run().stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("calibrate", "rpi44", "--point", "a=1"), "did you mean rpi4"),
        (("calibrate", "cpu", "--point", "a=1"), "cpu is this machine"),
        (("calibrate", "rpi4", "--point", "gone.tflite=1"), "gone.tflite"),
        (("calibrate", "rpi4", "--point", "12.3"), "MODEL=MILLISECONDS"),
        (("calibrate", "rpi4", "--point", "a.tflite=fast"), "MODEL=MILLISECONDS"),
        (("validate", "--keep", "somewhere"), "--rebuild"),
    ],
)
def test_bad_input_ends_with_2_and_one_line(arguments, message):
    result = run(*arguments)
    assert result.exit_code == 2
    assert message in result.stderr
    assert len(result.stderr.strip().splitlines()) <= 2
    assert "Traceback" not in result.output


def test_validate_writes_table_document_and_plot(tmp_path):
    result = run("validate", "--plot", tmp_path / "plot.png", "--out", tmp_path / "errors.json")
    assert result.exit_code == 0, result.output
    assert "profile, one thread" in result.stdout
    document = json.loads((tmp_path / "errors.json").read_text())
    assert (document["format"], document["version"]) == ("edgeface-device-validation", 1)
    assert document["summary"]["mean"] <= 0.15
    assert (tmp_path / "plot.png").read_bytes().startswith(b"\x89PNG")
