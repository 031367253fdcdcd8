"""The budget search: what it tries, what it leaves, what it chooses, and that it goes on where it was."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from edgeface.bundle import open_bundle
from edgeface.errors import GateFailed, QuantizationError, UsageError
from edgeface.tensorflow_setup import quiet_tensorflow

quiet_tensorflow()

from edgeface.compress import search as room
from edgeface.compress import tries as made_tries
from edgeface.compress.budget import parse_budget
from edgeface.compress.search import Request, check_fits, search

SHAPES = [
    {"keep": 1.0, "macs": 100.0, "size": 1000, "fps": 10.0, "speedup": 1.0, "problem": None},
    {"keep": 0.5, "macs": 50.0, "size": 600, "fps": 15.0, "speedup": 1.5, "problem": None},
    {"keep": 0.25, "macs": 25.0, "size": 400, "fps": 20.0, "speedup": 2.0, "problem": None},
    {"keep": 0.1, "macs": None, "size": None, "fps": None, "speedup": None, "problem": "too narrow"},
]
LOSSES = {
    "keep-1-int8": 0.01,
    "keep-1-qat": 0.0,
    "keep-0.5-int8": 0.025,
    "keep-0.5-qat": 0.005,
    "keep-0.25-int8": 0.09,
    "keep-0.25-qat": 0.08,
}
REAL: dict[str, dict[str, float]] = {}
"""Figures of a finished try that differ from its shape's."""


def fps(paths: list[Path]) -> list[float | None]:
    """What comes later, because it is pruned more, is faster."""
    return [10.0 * (place + 1) for place in range(len(paths))]


@pytest.fixture
def decide(tmp_path, monkeypatch):
    """Decide over invented shapes and losses: verdicts by try, and the order of what was made."""

    def run(budget: str, **options) -> tuple[dict[str, str], list[str]]:
        made: list[str] = []

        def outcome(request: Request, row: dict) -> dict:
            if row["try"] not in made:
                made.append(row["try"])
            accuracy = 0.9 - LOSSES[row["try"]]
            real = {"size": row["size"], "fps": row["fps"], "speedup": row["speedup"], **REAL.get(row["try"], {})}
            return {
                "float_accuracy": 0.9,
                "accuracy": accuracy,
                "cosine": {},
                "bytes": real["size"],
                "macs": row["macs"],
                "fps": real["fps"],
                "speedup": real["speedup"],
            }

        monkeypatch.setattr(room, "outcome_of", outcome)
        monkeypatch.setattr(made_tries, "outcome_of", outcome)
        request = Request(Path("run"), parse_budget(budget), tmp_path, tmp_path, fps, **options)
        tries = [room._blank(request, dict(shape), mode) for shape in SHAPES for mode in request.modes]
        room._decide(request, tries)
        return {row["try"]: row["verdict"] for row in tries}, made

    return run


def test_the_mildest_that_fits_is_the_last_that_is_trained(decide):
    verdicts, made = decide("size<=600B, drop<=1.0")
    # The network as it is breaks the size whatever happens, and is only measured for reference.
    assert made == ["keep-1-int8", "keep-0.5-int8", "keep-0.5-qat"]
    assert verdicts["keep-1-int8"] == "breaks size<=600B"
    assert verdicts["keep-1-qat"] == "not trained: breaks size<=600B"
    assert verdicts["keep-0.5-int8"] == "breaks drop<=1.0"
    assert verdicts["keep-0.5-qat"] == "fits"
    assert verdicts["keep-0.25-int8"] == "not tried: keep-0.5-qat fits"
    assert verdicts["keep-0.1-int8"] == "cannot be made: too narrow"


def test_what_is_far_off_is_not_trained_further(decide):
    verdicts, made = decide("fps>=2x, drop<=1.0")
    assert made == ["keep-1-int8", "keep-0.25-int8"]
    assert verdicts["keep-0.25-qat"] == "not tried: int8 lost 9.0 points"
    assert verdicts["keep-0.5-int8"] == "not trained: breaks fps>=2x"


def test_what_is_far_off_is_not_pruned_further_either(decide, monkeypatch):
    monkeypatch.setitem(LOSSES, "keep-0.5-int8", 0.09)
    verdicts, made = decide("size<=600B, drop<=1.0")
    assert made == ["keep-1-int8", "keep-0.5-int8"]
    assert verdicts["keep-0.5-qat"] == "not tried: int8 lost 9.0 points"
    assert verdicts["keep-0.25-int8"] == "not tried: keep-0.5 lost 9.0 points already"


def test_an_accuracy_that_nothing_can_reach_is_told(decide):
    verdicts, made = decide("accuracy>=97")
    assert made == ["keep-1-int8", "keep-1-qat", "keep-0.5-int8"]
    assert verdicts["keep-1-int8"] == "breaks accuracy>=97"
    assert verdicts["keep-0.5-qat"].startswith("not tried: int8 lost")


def test_the_run_as_it_is_may_lose_much_in_int8(decide, monkeypatch):
    """Training for int8 is there to mend that."""
    monkeypatch.setitem(LOSSES, "keep-1-int8", 0.2)
    verdicts, made = decide("drop<=1.0")
    assert made == ["keep-1-int8", "keep-1-qat"]
    assert verdicts["keep-1-qat"] == "fits"
    monkeypatch.setitem(LOSSES, "keep-1-qat", 0.2)
    assert decide("drop<=1.0")[1] == ["keep-1-int8", "keep-1-qat", "keep-0.5-int8", "keep-0.5-qat"]


def test_the_finished_try_is_judged_not_its_shape(decide, monkeypatch):
    monkeypatch.setitem(REAL, "keep-0.5-qat", {"speedup": 1.4})
    verdicts, made = decide("fps>=1.5x, drop<=1.0")
    assert made == ["keep-1-int8", "keep-0.5-int8", "keep-0.5-qat", "keep-0.25-int8"]
    assert verdicts["keep-0.5-qat"] == "breaks fps>=1.5x"


def test_a_shape_that_just_breaks_a_limit_is_trained(decide, monkeypatch):
    monkeypatch.setitem(REAL, "keep-0.5-qat", {"size": 575})
    verdicts, made = decide("size<=575B, drop<=1.0")  # the shape has 600
    assert made == ["keep-1-int8", "keep-0.5-int8", "keep-0.5-qat"]
    assert verdicts["keep-0.5-int8"] == "breaks size<=575B, drop<=1.0"
    assert verdicts["keep-0.5-qat"] == "fits"
    assert decide("size<=560B, drop<=1.0")[0]["keep-0.5-qat"] == "not trained: breaks size<=560B"


def test_speed_is_that_of_the_finished_try_beside_the_run(tmp_path):
    measured: list[list[Path]] = []

    def rates(paths: list[Path]) -> list[float | None]:
        measured.append(paths)
        return [20.0, 26.0]

    request = Request(tmp_path / "run", parse_budget("fps>=1.5x"), tmp_path / "out", tmp_path, rates, quiet=True)
    for name in ("keep-1-int8", "keep-0.5-int8"):  # the tries of an older version, which measured none
        (tmp_path / f"{name}.json").write_text(json.dumps(dict.fromkeys(made_tries.FIGURES, 0.9)))
    first, half = (room._blank(request, dict(shape), "int8") for shape in SHAPES[:2])
    assert made_tries.outcome_of(request, first)["fps"] == 10.0  # its shape is the network itself
    assert measured == []
    for threads, times in ((1, 1), (1, 1), (2, 2)):
        found = made_tries.outcome_of(replace(request, fps_threads=threads), half)
        assert (found["fps"], found["speedup"]) == (26.0, 1.3)
        assert measured == times * [[tmp_path / "keep-1-int8", tmp_path / "keep-0.5-int8"]]


def test_a_network_trained_for_int8_is_kept_as_a_run(tmp_path, monkeypatch):
    asked = []

    def stopped(request):
        asked.append((request.save_run, request.save_run is not None and request.save_run.exists()))
        raise KeyboardInterrupt

    monkeypatch.setattr(made_tries, "quantize", stopped)
    request = Request(Path("run"), parse_budget("size<=600B"), tmp_path / "out", tmp_path, fps, quiet=True)
    (tmp_path / "keep-1-qat-run").mkdir()  # of a search that was stopped here
    for name in ("int8", "qat"):
        with pytest.raises(KeyboardInterrupt):
            made_tries.outcome_of(request, room._blank(request, dict(SHAPES[0]), name))
    assert asked == [(None, False), (tmp_path / "keep-1-qat-run", False)]


def test_a_network_that_int8_cannot_hold_is_a_verdict(decide, monkeypatch):
    def made(request, row, reference):
        raise QuantizationError("head: gives nothing but zeros")

    monkeypatch.setattr(room, "made", made)
    verdicts, _ = decide("size<=700B")
    for name in ("keep-0.5-int8", "keep-0.5-qat"):
        assert verdicts[name] == "cannot be made: head: gives nothing but zeros"


def test_all_tries_what_is_left(decide):
    verdicts, made = decide("accuracy>=80", everything=True)
    assert made == list(LOSSES)
    assert verdicts["keep-0.25-int8"] == "fits"


def test_nearest(tmp_path):
    def row(keep: float, size: float, drop: float | None) -> dict:
        accuracy = None if drop is None else 0.9 - drop / 100
        name = f"keep-{keep:g}-int8"
        return {
            "try": name,
            "keep": keep,
            "mode": "int8",
            "size": size,
            "drop": drop,
            "accuracy": accuracy,
            "problem": None,
        }

    budget = parse_budget("size<=500B, drop<=1")
    tries = [row(1.0, 1000, 0.0), row(0.5, 500, 4.0), row(0.25, 300, 2.0)]
    assert room._nearest(tries, budget)["keep"] == 0.25  # a drop of 2 is nearer to 1 than one of 4
    # No shape holds the size: the smallest comes nearest, though its accuracy is not known.
    tries = [row(1.0, 1000, 0.0), row(0.5, 700, None), row(0.25, 600, None)]
    assert room._nearest(tries, budget)["keep"] == 0.25
    # A shape that held it was trained and broke it: nearer than one that was left because of what that lost.
    assert room._nearest([row(1.0, 1000, 0.0), row(0.5, 510, 6.0), row(0.25, 300, None)], budget)["keep"] == 0.5
    result = {"chosen": None, "nearest": "keep-0.25-int8", "tries": tries, "last_epochs": None}
    with pytest.raises(GateFailed, match=r"keep-0\.25-int8 came nearest and breaks size<=500B; it was not trained"):
        check_fits(result, budget, Path("none"))
    # A pruned network that lost too much in the rounds alone may get it back.
    result = {"chosen": None, "nearest": "keep-0.5-int8", "tries": [row(0.5, 500, 4.0)], "last_epochs": None}
    with pytest.raises(
        GateFailed,
        match=r"breaks drop<=1; what pruning took comes back with time: --last-epochs 60, and another --work$",
    ):
        check_fits(result, budget, Path("none"))
    with pytest.raises(GateFailed, match=r"breaks drop<=1; the bundle that is in .* is of an earlier budget"):
        check_fits({**result, "last_epochs": 60}, budget, Path(__file__))
    # Where pruning took nothing, more training is no advice.
    same = {**result, "tries": [row(0.5, 500, 0.0)]}
    with pytest.raises(GateFailed, match=r"breaks accuracy>=99$"):
        check_fits(same, parse_budget("accuracy>=99"), Path("none"))


@pytest.mark.slow
def test_a_search_from_end_to_end(student_run, teacher_run, tmp_path):
    calls: list[int] = []

    def measured(paths: list[Path]) -> list[float | None]:
        calls.append(len(paths))
        return fps(paths)

    request = Request(
        student_run, parse_budget("fps>=1.1x, drop<=90"), tmp_path / "door", tmp_path / "work", measured,
        teacher=teacher_run, keeps=(1.0, 0.6), modes=("int8",), epochs=1, rounds=1, calibration=64, align=1,
        quiet=True,
    )  # fmt: skip
    result = search(request)
    assert result["chosen"] == "keep-0.6-int8"
    assert calls == [2, 2, 4]  # the shapes; the finished try beside the run; all steps of the chosen one
    bundle = open_bundle(tmp_path / "door")
    row = result["tries"][1]
    assert (bundle.size, row["fps"]) == (row["size"], 20.0)
    assert [(step["step"], step["fps"]) for step in bundle.chain] == [
        ("student", 10.0),
        ("teacher", 20.0),
        ("pruned", 30.0),
        ("int8", 40.0),
    ]
    assert "40.0" in (tmp_path / "door" / "MODEL_CARD.md").read_text()
    assert bundle.chain[2]["macs"] <= 0.6 * bundle.chain[0]["macs"]
    assert bundle.source["budget"] == "fps>=1.1x, drop<=90"
    assert (tmp_path / "work" / "front.png").is_file()
    check_fits(result, request.budget, request.out)
    shape = json.loads((tmp_path / "work" / "shapes.json").read_text())["shapes"][1]
    assert shape["size"] == pytest.approx(result["tries"][1]["size"], rel=0.05)  # pruned at once or in rounds
    # Again: everything is on disk, nothing is measured or trained, and the choice is the same.
    assert search(request) == result
    assert calls == [2, 2, 4]
    # From nothing with the same seed: the same choice with the same figures.
    fresh = search(replace(request, work=tmp_path / "fresh", out=tmp_path / "fresh-door"))
    assert [(row["accuracy"], row["size"]) for row in fresh["tries"]] == [
        (row["accuracy"], row["size"]) for row in result["tries"]
    ]
    assert fresh["chosen"] == result["chosen"]
    with pytest.raises(UsageError, match=r"holds tries with another --seed; give another folder with --work"):
        search(replace(request, seed=1))
    greedy = replace(request, budget=parse_budget("fps>=9x, drop<=90"), out=tmp_path / "none")
    nothing = search(greedy)
    assert nothing["chosen"] is None
    assert not (tmp_path / "none").exists()
    with pytest.raises(GateFailed, match=r"nothing fits the budget; keep-0\.6-int8 came nearest and breaks fps>=9x"):
        check_fits(nothing, greedy.budget, greedy.out)
    # Another budget counts the tries that are there, whichever it would make itself.
    lenient = search(replace(request, budget=parse_budget("drop<=90"), out=tmp_path / "lenient"))
    assert [row["verdict"] for row in lenient["tries"]] == ["fits", "fits"]
