"""The arithmetic of a measurement, on made-up times."""

from __future__ import annotations

import gc
import itertools
from collections.abc import Callable

import numpy as np
import pytest

from edgeface.bench import latency
from edgeface.bench.latency import (
    Plan,
    group_interval,
    interleave,
    round_percentiles,
    speed_ratio,
    spread,
    summary,
    timed_runs,
)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], Callable[[], None]]:
    """A clock that stands still but for inferences: `clock(ms)` is an inference that takes so long."""
    now = 0

    def inference(milliseconds: float) -> Callable[[], None]:
        def infer() -> None:
            nonlocal now
            now += round(milliseconds * 1e6)

        return infer

    monkeypatch.setattr(latency.time, "perf_counter_ns", lambda: now)
    return inference


@pytest.mark.parametrize(
    ("milliseconds", "plan", "expected"),
    [
        (1, Plan(200, 10), 2000),  # 200 are done in 0.2 s; goes on to two seconds
        (10, Plan(200, 10), 200),  # just 200
        (20, Plan(200, 10), 200),  # 200 in 4 s
        (125, Plan(200, 10), 80),  # 10 s are over
        (2000, Plan(200, 10), 40),  # too slow for either: the fewest, rounded up to whole rounds
        (1, Plan(30, 0.02), 40),
    ],
)
def test_a_target_ends_by_runs_or_seconds(clock, milliseconds: float, plan: Plan, expected: int) -> None:
    infer = clock(milliseconds)
    rounds = [timed_runs(infer, **plan.turn) for _ in range(plan.rounds)]
    times = list(itertools.chain(*rounds))
    assert len(times) == expected
    assert set(times) == {milliseconds}
    assert len(times) >= latency.FEWEST_RUNS


def test_garbage_collection_is_held_off_and_restored(clock) -> None:
    seen = []
    timed_runs(lambda: (seen.append(gc.isenabled()), clock(1)())[-1], runs=3, seconds=1)
    assert seen == [False] * 3
    assert gc.isenabled()
    with pytest.raises(ZeroDivisionError):
        timed_runs(lambda: 1 / 0, runs=3, seconds=1)
    assert gc.isenabled()


def test_targets_take_turns() -> None:
    order: list[str] = []
    seen: list[tuple[int, int]] = []

    def turn(name: str) -> Callable[[], list[float]]:
        return lambda: (order.append(name), [float(len(order))])[-1]

    times = interleave([turn("A"), turn("B"), turn("C")], 3, lambda done, total: seen.append((done, total)))
    assert "".join(order) == "ABCCBAABC"
    assert times == [[[1.0], [6.0], [7.0]], [[2.0], [5.0], [8.0]], [[3.0], [4.0], [9.0]]]
    assert seen == [(number, 9) for number in range(1, 10)]


def test_summary() -> None:
    figures = summary(list(range(1, 101)))
    assert figures["p50"] == 50.5
    assert figures["p90"] == pytest.approx(90.1)
    assert figures["p99"] == pytest.approx(99.01)
    assert (figures["min"], figures["max"], figures["mean"]) == (1, 100, 50.5)
    assert figures["std"] == pytest.approx(np.std(np.arange(1, 101), ddof=1))
    assert summary([2.0])["std"] == 0


def test_ratio_holds_under_drift() -> None:
    """The machine slows down threefold during the run; rounds are paired, so the ratio does not notice."""
    drift = np.linspace(1, 3, 20)
    noise = np.random.default_rng(0).normal(1, 0.01, 20)
    ratio = speed_ratio(10 * drift, 2.5 * drift * noise)
    assert ratio["value"] == pytest.approx(4, rel=0.02)
    assert ratio["low"] < 4 < ratio["high"]
    assert ratio["high"] / ratio["low"] < 1.05


def test_ratio_to_itself_covers_one_in_most_runs() -> None:
    covered = 0
    for seed in range(100):
        a, b = np.random.default_rng(seed).lognormal(0, 0.05, (2, 40))
        ratio = speed_ratio(a, b)
        covered += ratio["low"] <= 1 <= ratio["high"]
    assert covered >= 95


def test_ratio_is_not_moved_by_one_disturbed_round() -> None:
    first, other = np.full(20, 10.0), np.full(20, 5.0)
    other[7] = 500
    assert speed_ratio(first, other)["value"] == 2


def test_the_fast_end_of_a_round_ignores_interruptions() -> None:
    """Half the inferences of one target are interrupted: its medians double, its 10th percentiles do not."""
    calm = [[10.0] * 20 for _ in range(40)]
    busy = [[10.0] * 9 + [25.0] * 11 for _ in range(40)]
    at = {p: [round_percentiles(rounds, p) for rounds in (calm, busy)] for p in (50, latency.CALM)}
    assert speed_ratio(*at[50])["value"] == pytest.approx(0.4)
    assert speed_ratio(*at[latency.CALM]) == pytest.approx({"value": 1, "low": 1, "high": 1})


def test_the_interval_comes_from_the_groups() -> None:
    """Processes that differ by their memory: the rounds within each agree, and must not make a false precision."""
    groups = np.array([0.99, 0.995, 1.0, 1.005, 1.01, 1.0, 1.0, 1.002])
    assert group_interval(np.repeat(groups, 5)) == (1, 0.99, 1.01)
    assert group_interval(np.full(40, 2.0)) == (2, 2, 2)


def test_the_number_of_runs_in_a_round_hardly_shifts_the_ratio() -> None:
    """A slow model has 5 inferences a round, a fast one 125: the same times must give a ratio of 1."""
    rng = np.random.default_rng(0)
    few, many = (round_percentiles(rng.lognormal(0, 0.05, (4000, count)), latency.CALM) for count in (5, 125))
    assert np.median(few) / np.median(many) == pytest.approx(1, abs=0.01)


def test_spread_and_round_percentiles() -> None:
    assert round_percentiles([[1, 2, 30], [4, 4]], 50).tolist() == [2, 4]
    assert spread(np.full(20, 3.0)) == 0
    assert spread(np.linspace(1, 2, 20)) > 0.4
