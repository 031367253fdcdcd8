"""Fitting rates to points, leave-one-out, and the calibration networks."""

import dataclasses
import math

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter

from edgeface.bench.calibration import facts
from edgeface.bench.calibration.errors import Outcome, band, leave_one_out, published_outcomes, summary
from edgeface.bench.calibration.fit import Sample, fit, macs_per_cycle, predict, published_samples
from edgeface.bench.calibration.networks import build
from edgeface.bench.calibration.scatter import scatter
from edgeface.bench.calibration.validate import check_networks, text, validate
from edgeface.bench.devices import DTYPES, load_device
from edgeface.bench.tflite_ops import read_graph
from edgeface.errors import DeviceError
from edgeface.stderr import captured_stderr

PLAIN = {"conv1x1": (1, 1_000_000_000, 0)}
FAST = 1e9


def sample(ms, net="net", core="cortex-a76", dtype="float32", threads=1, board="", given=PLAIN, bandwidth=FAST):
    return Sample(net, dtype, core, 2.0, bandwidth, 0.0, threads, ms, given, "made up", board)


def test_the_rate_of_points_that_agree_is_theirs():
    """10^9 multiply-adds in 100 ms at 2 GHz are 5 a cycle."""
    rates = fit([sample(100.0), sample(100.0, "other")])
    assert macs_per_cycle(rates, sample(1.0), "float32") == pytest.approx(5.0)
    assert predict(rates, PLAIN, "float32", sample(1.0)) == pytest.approx(100.0)


def test_memory_is_added_to_computing():
    """10^8 bytes at 2 GB/s take 50 ms more."""
    rates = fit([sample(100.0)])
    moved = {"conv1x1": (1, 1_000_000_000, 0), "elementwise": (1, 0, 100_000_000)}
    assert predict(rates, moved, "float32", sample(1.0, bandwidth=2.0)) == pytest.approx(150.0)


def test_a_core_without_points_is_estimated_by_its_family_and_nominal_rate():
    """Cortex-A55 and A76 have dot products; their nominal rates are 16 and 32 a cycle."""
    rates = fit([sample(10.0, dtype="int8")])
    assert predict(rates, PLAIN, "int8", sample(1.0, core="cortex-a55")) == pytest.approx(20.0)
    assert predict(rates, PLAIN, "float32", sample(1.0)) is None


def test_a_users_board_outweighs_its_core_the_more_points_it_has():
    published = [sample(100.0), sample(100.0, "other")]
    board = load_device("rpi5")
    alone = predict(fit(published), PLAIN, "float32", dataclasses.replace(board, clock_ghz=2.0, bandwidth_gbs=FAST))
    times = []
    for count in (1, 3):
        own = [sample(200.0, f"own{number}", board="rpi5") for number in range(count)]
        times.append(predict(fit(published + own), PLAIN, "float32", dataclasses.replace(own[0])))
    assert alone == pytest.approx(100.0)
    assert times[0] == pytest.approx(100 * math.sqrt(2))  # one own point and one weight for the core
    assert times[0] < times[1] < 200


def test_a_prediction_does_not_know_the_point_that_it_predicts():
    samples = list(published_samples())
    index = next(i for i, s in enumerate(samples) if s.core == "cortex-a73" and s.dtype == "float32")
    (honest,) = leave_one_out(samples, lambda s: s is samples[index])
    changed = dataclasses.replace(samples[index], ms=10 * samples[index].ms)
    samples[index] = changed
    (again,) = leave_one_out(samples, lambda s: s is changed)
    assert again.predicted == honest.predicted


def test_the_target_for_the_calibration_table_is_kept():
    """Mean at most 15 %, and better than multiply-adds alone; no point is missing."""
    document = validate()
    assert document["summary"]["mean"] <= 0.15
    assert document["summary"]["mean"] < document["macs_alone"]["mean"]
    assert document["summary"]["points"] == document["macs_alone"]["points"]
    assert len(document["points"]) == len(published_samples())
    errors = [abs(row["error"]) for row in document["points"] if row["threads"] == 1 and not row["left_out"]]
    assert document["summary"]["mean"] == pytest.approx(sum(errors) / len(errors))
    assert document["summary"]["within_15%"] == pytest.approx(sum(error <= 0.15 for error in errors) / len(errors))
    for row in document["in_band"].values():
        assert row["points"] >= 0.85 * row["of"]
    shown = text(document)
    assert shown.count("left out:") == 3
    assert max(len(line) for line in shown.splitlines() if "left out" not in line and "Leave" not in line) <= 120


def test_a_summary_of_known_errors():
    outcomes = [Outcome("profile", sample(100.0), ms) for ms in (105.0, 80.0, 100.0, 130.0)]
    figures = summary(outcomes)
    assert figures["mean"] == pytest.approx(0.1375)
    assert figures["median"] == pytest.approx(0.125)
    assert (figures["within_10%"], figures["within_25%"]) == (0.5, 0.75)
    assert summary([]) == {"points": 0}


def test_a_band_is_wider_where_a_core_is_uncalibrated_and_never_thin():
    samples = published_samples()
    known, lent = band(samples, "cortex-a76", "int8"), band(samples, "cortex-a55", "int8")
    assert known.calibrated
    assert not lent.calibrated
    assert lent.half > known.half
    assert "none of cortex-a55" in lent.basis
    one_kind_only = band(samples, "cortex-a76", "float32")
    errors = [o for o in published_outcomes() if o.sample.threads == 1 and not o.sample.left_out]
    rms = math.sqrt(sum(math.log(o.predicted / o.sample.ms) ** 2 for o in errors) / len(errors))
    assert one_kind_only.half == pytest.approx(1.645 * rms)


@pytest.mark.parametrize(
    ("name", "macs", "parameters"), [("mobilenet_v1", 569e6, 4.24e6), ("mobilenet_v2", 300e6, 3.5e6)]
)
def test_stored_networks_have_the_papers_work(name, macs, parameters):
    """Table 8 of Howard et al. 2017 and table 4 of Sandler et al. 2018."""
    stored = facts.published_networks()[name, "float32"]
    assert sum(row[1] for row in stored.values()) == pytest.approx(macs, rel=0.01)
    moved = {dtype: sum(row[2] for row in facts.published_networks()[name, dtype].values()) for dtype in DTYPES}
    assert moved["float32"] > 3.9 * moved["int8"]
    assert sum(row[2] for row in stored.values()) > 4 * parameters


@pytest.mark.parametrize("dtype", ["float32", "int8"])
def test_a_rebuilt_network_is_as_stored_and_runs(tmp_path, dtype):
    path = tmp_path / "net.tflite"
    path.write_bytes(build("mobilenet_v2_0.35_128", dtype))
    assert facts.facts_of(read_graph(path)) == facts.published_networks()["mobilenet_v2_0.35_128", dtype]
    assert facts.dtype_of(read_graph(path)) == dtype
    with captured_stderr():
        interpreter = Interpreter(str(path))
        interpreter.allocate_tensors()
        (image,) = interpreter.get_input_details()
        interpreter.set_tensor(image["index"], np.zeros(image["shape"], image["dtype"]))
        interpreter.invoke()
    (output,) = interpreter.get_output_details()
    values = interpreter.get_tensor(output["index"])
    assert (values.dtype, values.shape) == (np.dtype(dtype), (1, 1000))
    if dtype == "float32":
        assert values.sum() == pytest.approx(1.0)  # softmax


@pytest.mark.slow
def test_every_network_rebuilds_to_what_is_stored():
    stored = {}
    for (name, dtype), values in facts.published_networks().items():
        stored.setdefault(name, {})[dtype] = values
    check_networks(facts.rebuild(), stored)
    stored["mobilenet_v1"] = {}
    with pytest.raises(DeviceError, match="mobilenet_v1"):
        check_networks({name: values for name, values in stored.items() if name != "mobilenet_v1"}, stored)


def test_the_plot_is_a_picture_with_every_core_in_colour(tmp_path):
    import cv2

    path = tmp_path / "plot.png"
    scatter(validate()["points"], path, "title")
    page = cv2.imread(str(path))
    assert page.shape == (1100, 1100, 3)
    assert len({tuple(pixel) for pixel in page.reshape(-1, 3)[::7]}) > 9
