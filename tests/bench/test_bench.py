"""Bundles and runs through the real measuring processes. No test looks at the clock."""

from __future__ import annotations

import json
import platform
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgeface import machine
from edgeface.bench import document, host, notes, report, targets
from edgeface.bench.latency import Plan
from edgeface.bench.runner import measure
from edgeface.bench.settings import Settings
from edgeface.bench.workers import WorkerProcess
from edgeface.errors import BundleError, DataError, EdgeFaceError, RunError, UsageError
from edgeface.interpreter import installed_runtimes

QUICK = Plan(runs=30, seconds=0.1, rounds=8, fresh=False)
RUNTIME_NAMES = {"litert": "LiteRT", "tflite": "tflite-runtime"}

LATENCIES = {"p50", "p90", "p95", "p99", "mean", "std", "min", "max"}


def check_schema(result: dict[str, Any], tmp_path: Path) -> None:
    """The result as a program reads it back from JSON, and what every measured row must hold."""
    path = tmp_path / "result.json"
    path.write_text(json.dumps(result, allow_nan=False))
    result = document.read(path)
    assert {"cpu", "cores", "features", "memory_mb", "arch", "os", "python", "load_average"} <= set(result["machine"])
    for row in result["rows"]:
        if row["kind"] != "measured":
            continue
        assert set(row["latency_ms"]) == LATENCIES
        assert set(row["delegate"]) == {"name", "operators", "of", "evidence"}
        assert row["runs"] >= 30
        assert row["band_ms"][0] <= row["ms"] <= row["band_ms"][1]
        assert row["cold_start_ms"] > row["load_ms"] + row["first_inference_ms"] > 0
        assert len(row["round_p50_ms"]) == len(row["round_p10_ms"]) == result["settings"]["rounds"]
        assert row["pipeline_ms"]["p50"] > 0
    assert result["rows"][0]["ratio"] is None
    assert all(set(row["ratio"]) == {"value", "low", "high"} for row in result["rows"][1:] if row["kind"] == "measured")


def test_bundles_and_the_same_twice(tiny_bundles: dict[str, Path], tmp_path: Path) -> None:
    seen: list[tuple[str, int, int]] = []
    paths = [tiny_bundles["float32"], tiny_bundles["int8"], tiny_bundles["float32"]]
    result = measure(paths, Settings(plan=QUICK), lambda *progress: seen.append(progress))
    check_schema(result, tmp_path)
    assert [row["name"] for row in result["rows"]] == ["tiny-float32", "tiny-int8", "tiny-float32 #2"]
    assert [row["mode"] for row in result["rows"]] == ["float32", "int8", "float32"]
    assert seen[:24] == [("measuring", number, 24) for number in range(1, 25)]
    assert seen[24:] == [("batches", number, 15) for number in range(1, 16)]
    first, _, again = result["rows"]
    assert first["sha256"] == again["sha256"]
    assert first["accuracy"] is None
    assert first["rss_mb"]["peak"] >= first["rss_mb"]["init"] >= first["rss_mb"]["base"] > 0
    assert (first["batch"]["images"], first["batch"]["fps"] > 0) == (32, True)
    assert first["pipeline_ms"]["photo"] == "a drawn JPEG photo of 178 x 218"
    assert first["network"] == "squeezenext_23v5"
    assert "not measured" in report.text(result)


def test_every_group_of_rounds_has_new_processes(tiny_bundle: Path, tmp_path: Path) -> None:
    result = measure([tiny_bundle], Settings(plan=Plan(30, 0.1, rounds=8), batch=0))
    check_schema(result, tmp_path)
    (row,) = result["rows"]
    assert row["processes"] == 8
    assert row["warm_up_runs"] >= 8 * 4


def test_accuracy_in_the_same_row(tiny_bundles: dict[str, Path], tiny_data: Path, tmp_path: Path) -> None:
    seen: list[tuple[str, int, int]] = []
    result = measure(
        [tiny_bundles["int8"]], Settings(plan=QUICK, data=tiny_data), lambda *progress: seen.append(progress)
    )
    check_schema(result, tmp_path)
    accuracy = result["rows"][0]["accuracy"]
    assert (accuracy["images"], accuracy["data"], accuracy["split"]) == (5, "faces", "val")
    assert accuracy["top1"] * 5 == round(accuracy["top1"] * 5)
    assert seen[-1] == ("accuracy of tiny-int8", 5, 5)
    assert "5 images: faces, split val" in report.text(result)


def test_several_runtimes_are_rows_of_their_own(tiny_bundle: Path, tmp_path: Path) -> None:
    installed = tuple(name for name in RUNTIME_NAMES if name in installed_runtimes())
    result = measure([tiny_bundle], Settings(plan=QUICK, runtimes=installed))
    check_schema(result, tmp_path)
    assert [row["runtime"].split()[0] for row in result["rows"]] == [RUNTIME_NAMES[name] for name in installed]
    if len(installed) > 1:
        assert [row["name"] for row in result["rows"]] == [f"tiny-float32 ({name})" for name in installed]


@pytest.mark.slow
def test_a_keras_run_beside_its_bundle(
    tiny_run: Path, tiny_bundle: Path, tiny_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TF_ENABLE_ONEDNN_OPTS", "1")  # as training leaves it
    result = measure([tiny_run, tiny_bundle], Settings(plan=QUICK, data=tiny_data))
    check_schema(result, tmp_path)
    run, bundle = result["rows"]
    assert (run["what"], run["delegate"]["name"]) == ("run", "none")
    assert run["runtime"].startswith("TensorFlow ")
    assert "oneDNN off" in run["delegate"]["evidence"]
    assert "Keras runs: TensorFlow's own kernels, oneDNN off" in report.text(result)
    assert run["file_bytes"] == (tiny_run / "weights.h5").stat().st_size
    assert run["accuracy"]["top1"] == bundle["accuracy"]["top1"]
    assert (run["memory"], bundle["memory"]["arena"] > 0) == ({}, True)
    assert run["batch"]["fps"] > 0
    assert run["pipeline_ms"]["photo"] == "a photo of the data"


def test_targets_that_cannot_be_used(tiny_bundles: dict[str, Path], tmp_path: Path) -> None:
    damaged = Path(shutil.copytree(tiny_bundles["int8"], tmp_path / "damaged"))
    (damaged / "model.tflite").write_bytes(b"cut")
    run = tmp_path / "run"
    run.mkdir()
    (run / "run.json").write_text("{")
    for path, error in (
        (damaged, BundleError),
        (run, RunError),
        (tmp_path, BundleError),
        (tmp_path / "x", BundleError),
    ):
        with pytest.raises(error, match=str(path)):
            measure([tiny_bundles["int8"], path], Settings(plan=QUICK))


@pytest.mark.usefixtures("fake_devices")
def test_options_that_cannot_be_used(tiny_bundle: Path, tmp_path: Path) -> None:
    for settings, message in (
        (Settings(devices=("toaster",)), "unknown device 'toaster'; nearest: board"),
        (Settings(devices=("cpu", "cpu")), "given twice"),
        (Settings(devices=()), "need a value"),
        (Settings(threads=(1, 10_000)), "usable cores"),
        (Settings(threads=(0,)), "usable cores"),
        (Settings(batch=-1), "--batch 0 or more"),
        (Settings(plan=Plan(seconds=0)), "above 0"),
        (Settings(plan=Plan(seconds=float("nan"))), "above 0"),
        (Settings(data=tmp_path / "nothing"), "no such data folder"),
        (Settings(plan=QUICK, runtimes=("onnx",)), "unknown runtime"),
    ):
        with pytest.raises(UsageError, match=message):
            measure([tiny_bundle], settings)
    with pytest.raises(UsageError, match="nothing to measure"):
        measure([], Settings())


def test_data_that_does_not_fit_is_refused_before_measuring(
    tiny_bundle: Path, tiny_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: object) -> None:
        raise AssertionError("measured in vain")

    monkeypatch.setattr(host, "WorkerProcess", never)
    with pytest.raises(DataError, match="test"):
        measure([tiny_bundle], Settings(data=tiny_data, split="test"))
    for split in ("train", "val"):
        (tiny_data / split / "person_3").rename(tiny_data / split / "stranger")
    with pytest.raises(DataError, match="'stranger' is not among the people of tiny-float32"):
        measure([tiny_bundle], Settings(data=tiny_data))


def test_a_worker_that_dies_is_reported(tiny_bundle: Path) -> None:
    with WorkerProcess("tiny", tiny_bundle) as worker:
        worker._process.kill()
        with pytest.raises(EdgeFaceError, match="tiny: the measuring process ended by itself"):
            worker.load(1, None, [])


def test_errors_in_a_worker_keep_their_kind(tiny_bundle: Path, tmp_path: Path) -> None:
    with WorkerProcess("gone", tmp_path) as worker, pytest.raises(RunError, match=r"run\.json"):
        worker.load(1, None, [])
    with WorkerProcess("odd", tiny_bundle) as worker, pytest.raises(RuntimeError, match="KeyError"):
        worker.ask(do="dance")


def test_workers_end_with_the_block(tiny_bundle: Path) -> None:
    with WorkerProcess("tiny", tiny_bundle) as worker:
        process = worker._process
        worker.load(1, None, [])
    assert process.returncode == 0
    worker = WorkerProcess("tiny", tiny_bundle)
    worker.__exit__(KeyboardInterrupt)
    assert worker._process.returncode is not None


def test_bundles_are_measured_without_tensorflow(tiny_bundle: Path) -> None:
    code = """
import sys
from collections.abc import Callable
from pathlib import Path
from edgeface.bench import targets
targets.load(Path(sys.argv[1]), 1, None).infer()
assert not {"tensorflow", "tf_keras"} & set(sys.modules)
assert not [name for name in sys.modules if name.startswith(("edgeface.train", "edgeface.compress"))]
"""
    done = subprocess.run([sys.executable, "-c", code, tiny_bundle], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_machine_names_no_host_and_no_path() -> None:
    text = json.dumps(machine.describe())
    assert platform.node() not in text
    assert "/" not in text.replace("kB/s", "")


def test_describe_needs_no_tensorflow(tiny_run: Path, tiny_bundle: Path) -> None:
    facts, labels = targets.describe(tiny_run)
    assert (facts["what"], facts["name"], facts["network"], len(labels)) == ("run", "tiny", "squeezenext_23v5", 5)
    facts, labels = targets.describe(tiny_bundle)
    assert (facts["what"], facts["input_size"], facts["identities"], len(labels)) == ("bundle", 32, 5, 5)


def test_noise_is_said() -> None:
    row = {"name": "a", "round_spread": 0.5}
    calm = {"name": "b", "round_spread": 0.01}
    assert notes.noise([calm], {"load_average": 0.1, "cores": 4}) == []
    assert len(notes.noise([row, calm], {"load_average": 3.9, "cores": 4})) == 2
    assert notes.noise([calm], {"load_average": None, "cores": None}) == []
    assert notes.noise([], {"load_average": 3.9, "cores": 4}) == []


def test_int8_beside_fp32_tells_what_the_cpu_can_do(make_row: Callable[..., dict[str, Any]]) -> None:
    plain = make_row("plain", 1.0, file_bytes=3_260_000)
    wide = make_row("wide", 4.0, file_bytes=12_000_000)
    small = make_row("small", 2.0, mode="int8", file_bytes=1_260_000)
    x86 = {"features": ["avx2"], "arch": "x86_64"}
    (line,) = notes.explanations([wide, plain, small], x86)
    assert line.startswith("small runs at 0.50x the speed of plain; this CPU has no int8 dot products (avx_vnni, ")
    (line,) = notes.explanations([plain, small], {"features": ["asimddp", "neon"], "arch": "aarch64"})
    assert "four at a time (asimddp)" in line
    slow = [{"name": "stem", "us": 900.0}, {"name": "head", "us": 110.0}]
    fast = [{"name": "stem", "us": 300.0}, {"name": "head", "us": 100.0}]
    pair = [{**plain, "per_op": {"by_block": fast}}, {**small, "per_op": {"by_block": slow}}]
    assert "(block stem: 900 us against 300 us; all blocks: +610 us)" in notes.explanations(pair, x86)[0]
    assert notes.explanations([wide, small], x86) == []


def test_a_photo_that_cannot_be_read_does_not_cost_the_measurement(tiny_data: Path) -> None:
    """Photo to label is timed on the first photo that can be read; with none it is said before measuring."""
    first, *others = sorted((tiny_data / "val").rglob("*.png"))
    first.write_bytes(b"")
    with host._photo([], Settings(data=tiny_data)) as photo:
        assert photo == others[0]
    for path in others:
        path.write_bytes(b"")
    with pytest.raises(DataError, match="no photo of split val can be used"), host._photo([], Settings(data=tiny_data)):
        pass
