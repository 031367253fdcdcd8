"""From counted instructions to milliseconds: calibration, its leave-one-out error, and the estimate of a device."""

import json
import math
from types import SimpleNamespace

import pytest
from typer.testing import CliRunner

from edgeface.bench import simulate
from edgeface.bench.arm import calibration, counting, emulate, home
from edgeface.bench.arm.run import COUNTERS, Counts, Emulation
from edgeface.bench.calibration.builder import Builder
from edgeface.bench.calibration.errors import summary
from edgeface.bench.devices import load_device
from edgeface.cli import app
from edgeface.errors import EmulatorError, UsageError


def counts(total, **others):
    return Counts(**(dict.fromkeys(COUNTERS, 0) | {"total": total} | others))


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    net = Builder("int8")
    image = net.image(32)
    path = tmp_path_factory.mktemp("model") / "small.tflite"
    path.write_bytes(net.finish([image], [net.dense(net.global_pool(net.conv(image, 16, (3, 1))), 10)]))
    return path


@pytest.fixture
def emulated(monkeypatch):
    """An emulator that is set up and gives what the test says: a list of totals, and equal outputs or not."""

    def make(totals=(1_020_000, 1_000_000, 1_000_010), host=b"\1" * 20):
        def run(model, core, inputs, processors=4, kernels="xnnpack"):
            if isinstance(totals, Exception):
                raise totals
            return Emulation(b"\1" * 20, tuple(counts(total, vector_multiply=total // 2) for total in totals))

        monkeypatch.setattr(emulate, "emulate_run", run)
        monkeypatch.setattr(emulate, "host_runtimes", lambda: {"1.4.0": "folder"} if host else {})
        monkeypatch.setattr(emulate, "host_outputs", lambda folder, model, inputs: host)
        monkeypatch.setattr(home, "not_set_up", lambda: None)

    return make


def point(net, core, log_ipc):
    sample = SimpleNamespace(net=net, dtype="int8", core=core, ms=10.0, clock_ghz=1.0, source="XNNPACK", left_out="")
    return calibration._Point(sample, (core, "int8", "xnnpack"), net.split("_")[0], log_ipc)


@pytest.fixture
def published(monkeypatch):
    """Published points of the test's own."""

    def make(*points):
        monkeypatch.setattr(calibration, "counted_points", lambda: points)
        for function in (calibration.leave_one_out, calibration.leave_kind_out):
            function.cache_clear()

    yield make
    for function in (calibration.leave_one_out, calibration.leave_kind_out):
        function.cache_clear()


def test_every_published_point_of_an_emulated_core_was_counted():
    assert set(counting.wanted()) <= set(counting.stored_counts())
    assert len(calibration.counted_points()) >= 35


def test_leave_one_out_meets_its_target():
    figures = summary([o for o in calibration.leave_one_out() if not o.sample.left_out])
    assert figures["points"] >= 36
    assert figures["mean"] <= 0.085
    assert figures["within_15%"] >= 0.9


def test_no_published_point_is_left_without_a_prediction():
    predicted = [outcome.sample for outcome in calibration.leave_one_out()]
    assert predicted == [point.sample for point in calibration.counted_points()]


def test_one_kind_of_network_gives_the_geometric_mean(published):
    published(point("net_1", "kryo", math.log(1)), point("net_2", "kryo", math.log(4)))
    fit = calibration._fit(calibration.counted_points())
    assert math.exp(fit.of(("kryo", "int8", "xnnpack"))[0]) == pytest.approx(2)
    # Each is predicted with the other's figure: 10 ms at 1 per cycle are 2.5 ms at 4 per cycle.
    assert [outcome.predicted for outcome in calibration.leave_one_out()] == pytest.approx([2.5, 40])
    assert calibration.leave_kind_out() == ()


def test_what_a_kind_of_network_does_on_all_cores_is_told_from_the_cores(published):
    cores = ("cortex-a72", "cortex-a73")
    published(*(point(net, core, value) for core in cores for net, value in (("slow", 0.0), ("fast", 1.0))))
    fit = calibration._fit(calibration.counted_points())
    # Residuals are -0.5 and 0.5 of two points each, drawn to zero with the weight of two more.
    assert fit.kinds == pytest.approx({"slow": -0.25, "fast": 0.25})
    assert fit.of(("cortex-a72", "int8", "xnnpack"))[0] == pytest.approx(0.5)
    slow, fast = (o.predicted for o in calibration.leave_kind_out() if o.sample.core == "cortex-a72")
    assert (slow, fast) == pytest.approx((10 * math.exp(-1), 10 * math.exp(1)))


def test_a_core_without_points_is_not_called_calibrated():
    trust = calibration.instructions_per_cycle("cortex-a53", "int8")
    assert trust.points == 0
    assert trust.half > calibration.instructions_per_cycle("cortex-a72", "int8").half


def test_a_damaged_file_of_counts(tmp_path, monkeypatch):
    path = tmp_path / "counts.json"
    monkeypatch.setattr(counting, "COUNTS_FILE", path)
    for text in ("", "{", json.dumps({"litert": "0.1", "counters": list(COUNTERS), "counts": {}})):
        path.write_text(text)
        counting.stored_counts.cache_clear()
        with pytest.raises(EmulatorError, match=r"counts.json: is cut short or edited"):
            counting.stored_counts()
    counting.stored_counts.cache_clear()


def test_counting_goes_on_where_it_stopped(tmp_path, monkeypatch):
    keys = [("mobilenet_v2_0.35_128_flowers", "int8", core, "xnnpack") for core in ("cortex-a53", "cortex-a72")]
    asked = []

    def run(model, core, inputs, processors=4, kernels="xnnpack"):
        asked.append(core)
        if len(asked) == 2:
            raise EmulatorError("killed")
        return Emulation(b"", (counts(7),))

    monkeypatch.setattr(counting, "wanted", lambda: keys)
    monkeypatch.setattr(counting, "emulate_run", run)
    out = tmp_path / "counts.json"
    with pytest.raises(EmulatorError, match="killed"):
        counting.count(out, str)
    assert list(json.loads(out.read_text())["counts"]) == [" ".join(keys[0])]
    assert counting.count(out, str) == 1
    assert asked == ["cortex-a53", "cortex-a72", "cortex-a72"]
    assert json.loads(out.read_text())["counts"][" ".join(keys[1])] == [7] + [0] * 11
    out.write_text("[]")
    with pytest.raises(EmulatorError, match="does not hold counts"):
        counting.count(out, str)


def test_an_estimate_is_counted_instructions_by_calibrated_ipc(emulated, model):
    emulated()
    estimate = emulate.emulate(model, load_device("rpi4"))
    trust = calibration.instructions_per_cycle("cortex-a72", "int8")
    assert estimate.latency_ms == pytest.approx(1_000_005 / (trust.ipc * 1.5e6))
    assert estimate.band_ms[1] / estimate.latency_ms == pytest.approx(math.exp(trust.half))
    assert (estimate.backend, estimate.kind, estimate.fits) == ("arm-emulation", "calibrated-estimate", True)
    assert estimate.details["spread"] == pytest.approx(1e-5, rel=1e-3)
    assert estimate.details["outputs"]["host"]["1.4.0"]["bit_equal"]
    assert any("bit-equal" in note for note in estimate.notes)
    assert any("untested until a board is measured" in note for note in estimate.notes)
    json.dumps(estimate.details)
    four = emulate.emulate(model, load_device("rpi4"), threads=4)
    assert estimate.latency_ms / 4 <= four.latency_ms < estimate.latency_ms


def test_outputs_that_differ_or_were_not_compared_are_said(emulated, model):
    emulated(host=b"\1" * 18 + b"\0\2")
    notes = emulate.emulate(model, load_device("rpi4")).notes
    assert notes[0].startswith("outputs of 3 random inputs differ in 10 % of values, by 1 steps at most")
    emulated(host=None)
    assert emulate.emulate(model, load_device("rpi4")).notes[0].startswith("outputs not compared")


def test_a_core_without_published_latency_is_only_an_estimate(emulated, model):
    emulated()
    estimate = emulate.emulate(model, load_device("rpi-zero2"))
    assert estimate.kind == "estimate"
    assert estimate.details["calibration_points"] == 0
    with pytest.raises(UsageError, match="cortex-m7 cannot be emulated"):
        emulate.emulate(model, load_device("cortex-m7"))


def test_simulate_uses_the_emulator_when_it_can_and_says_when_not(emulated, model, monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    monkeypatch.setenv("EDGEFACE_ARM_HOME", str(tmp_path / "nowhere"))
    rpi4 = load_device("rpi4")
    without = simulate.simulate(model, rpi4)
    assert without.backend == "profile"
    assert without.notes[0].startswith("by the profile: arm emulation")
    emulated(EmulatorError(f"{model}: the emulator was killed by SIGKILL; run it again"))
    killed = simulate.simulate(model, rpi4)
    assert killed.notes[0] == "by the profile: the emulator was killed by SIGKILL; run it again"
    assert (killed.backend, killed.latency_ms) == ("profile", without.latency_ms)
    emulated()
    assert simulate.simulate(model, rpi4).backend == "arm-emulation"
    assert simulate.simulate(model, load_device("cortex-m7")).backend == "profile"


def test_own_measurements_go_before_emulation(emulated, model, monkeypatch, tmp_path):
    from edgeface.bench.calibration.own_points import calibrate

    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    emulated()
    calibrate(load_device("rpi4"), {model: 3.0})
    estimate = simulate.simulate(model, load_device("rpi4"))
    assert estimate.backend == "profile"
    assert "your own int8 measurements" in estimate.notes[0]


def test_own_measurements_of_one_type_leave_the_other_to_the_emulation(emulated, model, monkeypatch, tmp_path):
    from edgeface.bench.calibration.own_points import calibrate

    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    emulated()
    net = Builder("float32")
    image = net.image(32)
    (tmp_path / "floats").write_bytes(net.finish([image], [net.dense(net.global_pool(net.conv(image, 16, 3)), 10)]))
    calibrate(load_device("rpi4"), {tmp_path / "floats": 3.0})
    assert simulate.simulate(model, load_device("rpi4")).backend == "arm-emulation"
    assert simulate.simulate(tmp_path / "floats", load_device("rpi4")).backend == "profile"


def test_the_emulate_command(emulated, model):
    emulated()
    arguments = ["devices", "emulate", str(model), "--device", "rpi4"]
    result = CliRunner().invoke(app, [*arguments, "--device", "rpi5", "--repeat", "2", "--json"])
    assert result.exit_code == 0
    rows = json.loads(result.stdout)
    assert [(row["device"], row["bit_equal"], row["spread"]) for row in rows] == [("rpi4", True, 0), ("rpi5", True, 0)]
    text = CliRunner().invoke(app, arguments).stdout
    assert "1.000 million instructions, LiteRT 1.4.0, one thread" in text
    assert "bit-equal (3 inputs)" in text


def test_the_emulate_command_fails_when_int8_outputs_differ(emulated, model):
    emulated(host=b"\0" * 20)
    result = CliRunner().invoke(app, ["devices", "emulate", str(model), "--device", "rpi4"])
    assert result.exit_code == 1
    assert "20 of 20 values differ" in result.output


def test_validate_of_the_emulation():
    document = json.loads(
        CliRunner().invoke(app, ["devices", "validate", "--backend", "arm-emulation", "--json"]).stdout
    )
    assert document["backend"] == "arm-emulation"
    assert document["summary"]["mean"] < document["macs_alone"]["mean"]
    assert document["unseen_kind"]["mean"] > document["summary"]["mean"]
    assert CliRunner().invoke(app, ["devices", "validate", "--backend", "gem5"]).exit_code == 2
