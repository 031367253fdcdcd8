"""Estimates of one model on simulated devices, by every backend."""

import copy
import dataclasses
import math
import subprocess
import sys

import flatbuffers
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from edgeface.bench import vela
from edgeface.bench.arena import arena_bytes
from edgeface.bench.calibration.builder import Builder
from edgeface.bench.calibration.own_points import calibrate, own_samples, points_file
from edgeface.bench.devices import all_devices, load_device
from edgeface.bench.estimate import Estimate
from edgeface.bench.simulate import simulate
from edgeface.bench.tflite_ops import Graph, Op, Tensor, read_graph
from edgeface.errors import BundleError, DeviceError, MissingDependencyError, UsageError

PROCESSORS = [device.name for device in all_devices() if device.backend in ("cpu", "cortex-m")]


def small_net(dtype, side=32, channels=16, upsample=False):
    """3x3/2 convolution, depthwise 3x3, 1x1 convolution, identity, mean, dense to 5: six operators."""
    net = Builder(dtype)
    image = net.image(side)
    x = net.conv(image, channels, 3, 2)
    y = net.conv(net.depthwise(x, 3), channels, 1, activation="")
    x = net.add(x, y)
    return net.finish([image], [net.dense(net.global_pool(net.upsample(x, side, side) if upsample else x), 5)])


@pytest.fixture(autouse=True)
def no_emulator(tmp_path, monkeypatch):
    """The profile answers here, on a machine with the Arm emulator, too."""
    monkeypatch.setenv("EDGEFACE_ARM_HOME", str(tmp_path / "nowhere"))


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    for dtype in ("float32", "int8"):
        (folder / dtype).write_bytes(small_net(dtype))
    (folder / "wide").write_bytes(small_net("int8", 64, 64))
    return folder


@pytest.fixture(autouse=True)
def own_data_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))


@pytest.mark.parametrize("name", PROCESSORS)
def test_an_int8_estimate_carries_band_kind_memory_and_operators(models, name):
    estimate = simulate(models / "int8", load_device(name))
    low, high = estimate.band_ms
    assert 0 < low < estimate.latency_ms < high
    assert (estimate.backend, estimate.fits) == ("profile", True)
    assert estimate.kind == ("estimate" if name == "phone-low" else "calibrated-estimate")
    assert any("leave-one-out" in note for note in estimate.notes)
    operators = estimate.details["ops"]
    assert [row["kind"] for row in operators] == ["convkxk", "depthwise", "conv1x1", "elementwise", "pool", "dense"]
    assert sum(row["ms"] for row in operators) == pytest.approx(estimate.latency_ms)
    assert sum(kind["ms"] for kind in estimate.details["by_kind"].values()) == pytest.approx(estimate.latency_ms)
    assert operators[3]["bound"] == "memory"
    assert estimate.memory["arena"] > 0 < estimate.memory["weights"]


def test_more_work_a_slower_clock_and_fewer_threads_take_longer(models):
    rpi4 = load_device("rpi4")
    base = simulate(models / "wide", rpi4).latency_ms
    assert simulate(models / "int8", rpi4).latency_ms < base
    assert simulate(models / "wide", dataclasses.replace(rpi4, clock_ghz=1.0)).latency_ms > base
    assert base / 4 < simulate(models / "wide", rpi4, threads=4).latency_ms < base
    eight = simulate(models / "wide", rpi4, threads=8)
    assert eight.latency_ms == simulate(models / "wide", rpi4, threads=4).latency_ms
    assert any("4 cores" in note for note in eight.notes)


def test_a_microcontroller_is_a_band_of_twice_and_has_no_float_time(models):
    estimate = simulate(models / "int8", load_device("cortex-m7"))
    assert estimate.band_ms[1] / estimate.latency_ms == pytest.approx(2 * estimate.latency_ms / estimate.band_ms[0])
    floats = simulate(models / "float32", load_device("cortex-m7"))
    assert (floats.latency_ms, floats.band_ms, floats.fits) == (None, None, True)
    assert "quantize" in floats.reason


@pytest.mark.parametrize(("name", "memory"), [("rpi4", {"ram_mb": 0.01}), ("cortex-m7", {"flash_mb": 0.05})])
def test_a_model_that_does_not_fit_is_an_answer_and_not_an_error(models, name, memory):
    estimate = simulate(models / "int8", dataclasses.replace(load_device(name), **memory))
    assert (estimate.fits, estimate.latency_ms) == (False, None)
    assert "does not fit: needs" in estimate.reason
    assert next(iter(memory)).split("_")[0] in estimate.reason


def test_an_estimate_without_a_band_or_a_reason_cannot_be_made():
    with pytest.raises(ValueError, match="band"):
        Estimate("rpi4", "profile", "estimate", 1.0, None, True)
    with pytest.raises(ValueError, match="why"):
        Estimate("rpi4", "profile", "estimate", None, None, False)


def test_squeezenexts_own_convolutions_are_said_to_be_untested_and_widen_the_band(models, tmp_path):
    net = Builder("int8")
    image = net.image(16)
    x = net.conv(net.conv(image, 16, (3, 1)), 16, (1, 3))
    (tmp_path / "long").write_bytes(net.finish([image], [net.dense(net.global_pool(x), 4)]))
    seen, unseen = (simulate(path, load_device("rpi5")) for path in (models / "int8", tmp_path / "long"))
    assert [op.kind for op in read_graph(tmp_path / "long").ops][:2] == ["conv3x1", "conv1x3"]
    assert any("untested until a board is measured" in note for note in unseen.notes)
    assert not any("untested" in note for note in seen.notes)
    half = [math.log(estimate.band_ms[1] / estimate.latency_ms) for estimate in (seen, unseen)]
    assert half[1] == pytest.approx(1.5 * half[0])


def test_the_band_holds_the_users_own_point_which_tests_these_convolutions(tmp_path):
    net = Builder("int8")
    image = net.image(32)
    x = net.conv(net.conv(image, 64, (3, 1)), 64, (1, 3))
    path, rpi4 = tmp_path / "long", load_device("rpi4")
    path.write_bytes(net.finish([image], [net.dense(net.global_pool(x), 4)]))
    published = simulate(path, rpi4)
    for factor in (0.4, 1.0, 1.8):
        own = factor * published.latency_ms
        calibrate(rpi4, {path: own}, keep=False)
        low, high = simulate(path, rpi4).band_ms
        assert low < own < high
    measured = simulate(path, rpi4)
    assert not any("untested" in note for note in measured.notes)
    assert any(note.endswith("and 1 of this board") for note in measured.notes)
    assert any("untested" in note for note in simulate(path, load_device("rpi5")).notes)


def test_the_profile_imports_nothing_heavy(models):
    """What keeps four devices under three seconds."""
    heavy = ("numpy", "cv2", "tensorflow", "ai_edge_litert", "flatbuffers")
    code = (
        "import sys\nfrom pathlib import Path\nfrom edgeface.bench.devices import load_device\n"
        "from edgeface.bench.simulate import simulate\nfor name in ('rpi3', 'rpi4', 'rpi5', 'phone-mid'):\n"
        f"    simulate(Path({str(models / 'int8')!r}), load_device(name))\n"
        f"print([name for name in {heavy!r} if name in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


def test_points_of_ones_own_move_the_estimate_and_are_kept(models):
    rpi4 = load_device("rpi4")
    before = simulate(models / "int8", rpi4)
    report = calibrate(rpi4, {models / "int8": 2 * before.latency_ms})
    after = simulate(models / "int8", rpi4)
    assert before.latency_ms < after.latency_ms < 2 * before.latency_ms
    assert report["points"] == report["before"]["points"] == report["after"]["points"] == 1
    assert report["before"]["mean"] == pytest.approx(0.5)
    assert report["rates"]["int8"]["after"] < report["rates"]["int8"]["before"]
    assert simulate(models / "int8", load_device("rpi5")).latency_ms < before.latency_ms  # other boards are untouched
    again = calibrate(rpi4, {models / "int8": before.latency_ms, models / "wide": 5.0})
    assert again["points"] == len(own_samples("rpi4")) == 2
    assert calibrate(rpi4, {models / "wide": 5.0}, keep=False)["points"] == 1
    with pytest.raises(UsageError, match="rpi4 has 4 cores"):
        calibrate(rpi4, {models / "int8": 6.6}, threads=64)


def test_leave_one_out_of_ones_own_points_uses_the_others(models):
    """Both measured twice as slow as estimated: each is predicted better with the other than without."""
    rpi4 = load_device("rpi4")
    slow = {path: 2 * simulate(path, rpi4).latency_ms for path in (models / "int8", models / "wide")}
    report = calibrate(rpi4, slow)
    assert report["after"]["mean"] < report["before"]["mean"] == pytest.approx(0.5)


def test_an_edited_or_cut_file_of_points_is_refused(models):
    rpi4 = load_device("rpi4")
    calibrate(rpi4, {models / "int8": 3.25})
    path = points_file("rpi4")
    whole = path.read_text()
    for content in (
        whole.replace("3.25", "1.25", 1),
        whole[: len(whole) // 2],
        "[]",
        whole.replace('"version": 1', '"version": 9'),
    ):
        path.write_text(content)
        with pytest.raises(DeviceError, match=r"rpi4\.json.*calibrate again"):
            simulate(models / "int8", rpi4)


def test_only_processors_and_positive_times_can_be_calibrated(models):
    with pytest.raises(UsageError, match="ethos-u65"):
        calibrate(load_device("ethos-u65"), {models / "int8": 1.0})
    with pytest.raises(UsageError, match="above 0"):
        calibrate(load_device("rpi4"), {models / "int8": 0.0})
    assert not points_file("rpi4").exists()


def graph(sizes, operators):
    """Tensors of `sizes` bytes; operators as (inputs, outputs). The first tensor comes in, the last goes out."""
    tensors = tuple(Tensor(str(number), "int8", (size,), size, 0) for number, size in enumerate(sizes))
    ops = tuple(
        Op(number, "", "ADD", "elementwise", "int8", "", 0, 0, 0, 0, tuple(read), tuple(written))
        for number, (read, written) in enumerate(operators)
    )
    return Graph(ops, tensors, (0,), (len(sizes) - 1,), 0, 0, 1)


def test_the_arena_of_a_chain_is_its_largest_pair():
    """640 -> 128 -> 384 -> 64: the pairs are 768, 512 and 448; TensorFlow Lite keeps the input beside them."""
    assert arena_bytes(graph([640, 128, 384, 64], [([0], [1]), ([1], [2]), ([2], [3])])) == 1152
    assert arena_bytes(graph([640, 128, 384, 64], [([0], [1]), ([1], [2]), ([2], [3])]), micro=True) == 768


def test_a_tensor_that_is_read_late_keeps_its_place():
    """The identity: tensor 1 lives while 2 is made and added, so three of 64 bytes (60, aligned) lie side by side."""
    assert arena_bytes(graph([60, 60, 60, 60], [([0], [1]), ([1], [2]), ([1, 2], [3])]), micro=True) == 192


def test_a_point_of_a_type_that_a_core_has_no_rate_for_is_refused_and_not_kept(models):
    with pytest.raises(UsageError, match=r"computes in float32, of which nothing is known on a cortex-m7; quantize it"):
        calibrate(load_device("cortex-m7"), {models / "float32": 900.0}, 1)
    assert not points_file("cortex-m7").exists()


def test_float16_weights_are_made_float32_once(models, tmp_path):
    """The same network with float16 constants: no slower, no more activations, and a smaller file."""
    whole, half = models / "float32", tmp_path / "float16"
    half.write_bytes(with_half_weights(whole.read_bytes()))
    once, plain = read_graph(half), read_graph(whole)
    assert [op.type for op in once.ops].count("DEQUANTIZE") == 4
    assert once.weight_bytes < 0.6 * plain.weight_bytes
    assert arena_bytes(once) == arena_bytes(plain)
    pi = load_device("rpi4")
    assert simulate(half, pi).latency_ms == pytest.approx(simulate(whole, pi).latency_ms, rel=0.02)
    # The runtime's own copy is float32 all the same.
    copies = [simulate(path, pi).memory["ram"] - path.stat().st_size for path in (half, whole)]
    assert copies[0] == pytest.approx(copies[1], rel=0.01)


def with_half_weights(content):
    """Every kernel as float16 behind a DEQUANTIZE, as TensorFlow's converter writes it."""
    model = schema.ModelT.InitFromPackedBuf(content)
    graph, operators = model.subgraphs[0], []
    code = schema.BuiltinOperator.DEQUANTIZE
    model.operatorCodes.append(schema.OperatorCodeT(deprecatedBuiltinCode=code, builtinCode=code, version=3))
    for operator in graph.operators:
        kernel = graph.tensors[operator.inputs[1]] if len(operator.inputs) > 2 else None
        if kernel is not None:
            halves = np.frombuffer(bytes(model.buffers[kernel.buffer].data), np.float32).astype(np.float16)
            stored = copy.copy(kernel)
            stored.type, stored.buffer = schema.TensorType.FLOAT16, len(model.buffers)
            model.buffers.append(schema.BufferT(data=np.frombuffer(halves.tobytes(), np.uint8)))
            kernel.buffer = 0
            graph.tensors.append(stored)
            made = {"inputs": [len(graph.tensors) - 1], "outputs": [operator.inputs[1]]}
            operators.append(schema.OperatorT(opcodeIndex=len(model.operatorCodes) - 1, **made))
        operators.append(operator)
    graph.operators = operators
    writer = flatbuffers.Builder(1 << 20)
    writer.Finish(model.Pack(writer), b"TFL3")
    return bytes(writer.Output())


def test_an_npu_refuses_floats_and_damaged_files(models, tmp_path):
    with pytest.raises(UsageError, match=r"float32.*quantize"):
        simulate(models / "float32", load_device("ethos-u55-128"))
    (tmp_path / "cut.tflite").write_bytes((models / "int8").read_bytes()[:300])
    with pytest.raises(BundleError, match=r"cut\.tflite"):
        simulate(tmp_path / "cut.tflite", load_device("ethos-u55-128"))


@pytest.mark.parametrize(("name", "extra"), [("ethos-u65", "npu"), ("mcu", "mcu")])
def test_without_its_extra_a_backend_says_how_to_install_it(models, monkeypatch, name, extra):
    monkeypatch.setattr("importlib.util.find_spec", lambda module: None)
    with pytest.raises(MissingDependencyError, match=rf"edgeface\[{extra}\]"):
        simulate(models / "int8", load_device(name))


@pytest.mark.slow
def test_vela_gives_cycles_memory_and_what_stays_on_the_cpu(models, tmp_path):
    pytest.importorskip("ethosu")
    estimate = simulate(models / "int8", load_device("ethos-u55-128"))
    assert (estimate.kind, estimate.backend, estimate.fits) == ("compiler-estimate", "vela", True)
    assert estimate.details["operators_on_cpu"] == []
    assert estimate.latency_ms == pytest.approx(estimate.details["cycles"] / 500e3)
    assert estimate.band_ms == (estimate.latency_ms, 1.75 * estimate.latency_ms)
    assert estimate.memory["sram"] > 0 < estimate.memory["off_chip_flash"]
    faster = simulate(models / "int8", load_device("ethos-u55-256"))
    assert faster.details["cycles_npu"] < estimate.details["cycles_npu"]
    net = Builder("int8")
    image = net.image(16)
    x = net.conv(image, 8, 3)
    strange = net.depthwise(x, 3, stride=2)
    net.operators[-1].builtinOptions.strideW = 5  # wider than the NPU takes, and another than its height
    (tmp_path / "strange").write_bytes(net.finish([image], [net.dense(net.global_pool(strange), 4)]))
    mixed = simulate(tmp_path / "strange", load_device("ethos-u55-128"))
    assert [row["type"] for row in mixed.details["operators_on_cpu"]] == ["DEPTHWISE_CONV_2D"]
    named = f"1 operators fall back to the CPU, whose time is not in it: DEPTHWISE_CONV_2D {net.tensors[strange].name}"
    assert named in mixed.notes


@pytest.mark.slow
def test_a_model_fits_an_npu_with_a_cache_of_its_own(models):
    pytest.importorskip("ethosu")
    sized = dataclasses.replace(load_device("ethos-u65"), memory_mode="Dedicated_Sram_512KB")
    assert simulate(models / "int8", sized).fits


def test_velas_list_of_operators_is_read_with_names_that_hold_anything():
    printed = (
        "CPU operators = 2 (4.1%)\n   CPU: Passthrough = tfl.quantize (outputs [1, 4])\n   CPU: Add = a (b);c = d\n"
    )
    printed += "   NPU: Conv2D = CPU: x (outputs [1, 1])\n"
    assert vela._operators(printed, "CPU") == ["tfl.quantize", "a (b);c = d"]
    assert vela._operators(printed, "NPU") == ["CPU: x"]


def test_microcontroller_memory_is_the_interpreters_and_outputs_are_bit_equal(models):
    pytest.importorskip("tflite_micro")
    estimate = simulate(models / "int8", load_device("mcu"))
    assert (estimate.backend, estimate.fits, estimate.latency_ms) == ("tflite-micro", True, None)
    planned = arena_bytes(read_graph(models / "int8"), micro=True)
    assert planned <= estimate.memory["arena"] < planned + 32 * 1024  # the interpreter's own tables come on top
    assert estimate.details["outputs"]["reference"]["equal"] == 1.0
    small = simulate(models / "int8", dataclasses.replace(load_device("mcu"), ram_mb=0.01))
    assert (small.fits, "does not fit" in small.reason) == (False, True)
