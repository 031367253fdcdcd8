"""What is made of the figures of runs: summaries, gaps, errors, the images of pictures, axes; and measuring speed."""

import json
import math
import sys
from xml.etree import ElementTree

import numpy as np
import pytest

from edgeface.bench.reproduction import speed, svg, tables
from edgeface.bench.reproduction.results import difference, summary, taught_gaps
from edgeface.bench.reproduction.score import flat_map, pick_images
from edgeface.bench.reproduction.speed import checked_devices, measure_speed, threads_of
from edgeface.errors import MissingDependencyError, RunError


def test_summaries_and_gaps_by_hand():
    assert summary([None, None]) is None
    assert summary([0.5]) == {"mean": 0.5, "std": None, "n": 1}
    taught, plain = summary([0.80, 0.82, 0.84]), summary([0.70, None, 0.74])
    assert taught["mean"] == pytest.approx(0.82)
    assert taught["std"] == pytest.approx(0.02)
    gap = difference(taught, plain)
    assert gap["points"] == pytest.approx(10.0)
    error = 100 * math.sqrt(0.02**2 / 3 + (0.02 * math.sqrt(2)) ** 2 / 2)
    assert gap["standard_error"] == pytest.approx(error)
    assert gap["over_spread"] == pytest.approx(10 / error)
    assert difference(taught, summary([0.7]))["standard_error"] is None
    figures = [{"name": f"1.0-{kind}", "figures": {"float32_val": value, "int8_val": None}} for kind, value in
               (("taught", taught), ("plain", plain))]  # fmt: skip
    assert [(gap["network"], gap["kind"]) for gap in taught_gaps(figures)] == [("1.0", "float32")]


def test_an_ablation_says_how_far_an_accuracy_is_known():
    figures = [{"float32_val": value and summary([value])} for value in (0.8, 0.9, 0.95, None)]
    score = {"float32": {"val": {"images": 400}, "test": None}}
    table = {"rows": [{"figures": one, "runs": [{"score": score}]} for one in figures]}
    (line,) = tables._chance(table)
    assert line.startswith("On 400 images an accuracy of 90.0 % has a standard error of 1.50 points; with one seed")
    assert "less than about 3.0 points" in line
    assert tables._chance({"rows": [{"figures": figures[3], "runs": [{"score": None}]}]}) == []
    table["rows"] = [{"figures": {"float32_val": summary([1.0])}, "runs": [{"score": score}]}]
    assert "error of 0.18 points" in tables._chance(table)[0]


def test_pictures_show_the_identities_with_most_images_or_as_many_as_there_are():
    labels = np.repeat(np.arange(3), [20, 17, 16])
    picked = pick_images(labels, identities=2)
    assert np.bincount(labels[picked]).tolist() == [16, 16]
    few = np.repeat(np.arange(3), [20, 3, 1])
    assert np.bincount(few[pick_images(few)]).tolist() == [16, 3, 1]
    assert flat_map(np.ones((2, 8), np.float32)).shape == (2, 2)


def test_speeds_tell_their_threads():
    assert [threads_of([{"threads": number} for number in given]) for given in ((), (1, 1), (4, 1))] == [
        "", "1 thread", "1 or 4 threads",
    ]  # fmt: skip


def test_a_chart_of_lines_names_each_row_once_below_the_plot():
    series = [svg.Series(name, ((0, 1), (9, 3)), place) for place, name in enumerate(["plain", "plain", "taught <2>"])]
    axis = svg.Axis(0, 10, "steps")
    root = ElementTree.fromstring(svg.standalone(svg.lines(series, axis, axis, "curves")))
    texts = [(text.text, float(text.get("y"))) for text in root.iter("{http://www.w3.org/2000/svg}text")]
    (first, top), (second, _) = texts[-2:]
    assert (first, second) == ("plain", "taught <2>")
    assert [text for text, _ in texts].count("plain") == 1
    assert svg.HEIGHT < top < float(root.get("viewBox").split()[3])


def test_labels_of_dots_stay_within_the_plot_and_clear_of_each_other():
    points = [(1.0, 0.0), (3.0, 0.1), (1.0, 0.4), (3.0, 0.5)]
    series = [svg.Series("", (point,), place, (f"network-{place} int8",)) for place, point in enumerate(points)]
    root = ElementTree.fromstring(svg.standalone(svg.dots(series, svg.Axis(0, 10, "x"), svg.Axis(0, 10, "y"), "dots")))
    texts = [text for text in root.iter("{http://www.w3.org/2000/svg}text") if (text.text or "").startswith("network")]
    boxes = [(float(text.get("x")), float(text.get("y")), len(text.text) * svg._LETTER) for text in texts]
    assert all(left >= 2 and left + width <= svg.WIDTH - 2 and top <= svg.HEIGHT - 40 for left, top, width in boxes)
    for number, (left, top, width) in enumerate(boxes):
        for other, height, long in boxes[number + 1 :]:
            assert abs(top - height) >= 12 or left >= other + long or other >= left + width


def test_axes_have_round_ticks():
    assert svg.Axis(0, 10, "").ticks() == [0, 2, 4, 6, 8, 10]
    assert svg.Axis(71, 88, "").ticks() == [75, 80, 85]
    assert svg.Axis(0.9, 30, "", True).ticks() == [1, 2, 5, 10, 20]
    assert svg.Axis(1, 100, "", True).place(10) == pytest.approx(0.5)


def test_speed_is_measured_on_the_one_device_asked_for_and_a_failure_is_told_in_its_words(tmp_path):
    bundle = tmp_path / "bundle"
    bundle.mkdir()
    (bundle / "bundle.json").write_text('{"files": {"model.tflite": {"sha256": "a"}}}')
    code = "import sys, json; open(sys.argv[sys.argv.index('--out') + 1], 'w').write(json.dumps({'said': sys.argv}))"
    measure_speed((sys.executable, "-c", code), [bundle], ["rpi4"], tmp_path / "speed.json")
    said = json.loads((tmp_path / "speed.json").read_text())["said"]
    assert said[said.index("--device") + 1] == "rpi4"
    failing = (sys.executable, "-c", "import sys; sys.exit('error: no room')")
    with pytest.raises(RunError, match=r"^edgeface bench failed: no room;"):
        measure_speed(failing, [bundle], ["cpu"], tmp_path / "speed.json")
    assert checked_devices(["cpu,rpi4", "rpi4"]) == ("cpu", "rpi4")


def test_speed_is_measured_again_once_a_device_can_be_simulated(tmp_path, monkeypatch):
    (tmp_path / "bundle").mkdir()
    (tmp_path / "bundle" / "bundle.json").write_text('{"files": {"model.tflite": {"sha256": "a"}}}')
    code = (
        "import sys, json; from edgeface import machine; "
        "found = {'rows': [], 'date': '', 'machine': machine.describe(), 'settings': {}, 'warnings': []}; "
        "open(sys.argv[sys.argv.index('--out') + 1], 'w').write(json.dumps(found))"
    )
    out, times = tmp_path / "speed.json", []
    for missing in (True, True, False):
        with monkeypatch.context() as patch:
            if missing:
                patch.setattr(speed, "check_extra", _not_installed)
            measure_speed((sys.executable, "-c", code), [tmp_path / "bundle"], ["rpi4"], out)
        times.append(out.stat().st_mtime_ns)
    assert times[0] == times[1] < times[2]


def _not_installed(device):
    raise MissingDependencyError("install it")
