"""Timing and what follows from it: rounds, percentiles, ratios with a confidence interval."""

from __future__ import annotations

import gc
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

ROUNDS = 40
FEWEST_RUNS = 30
LEAST_SECONDS = 2.0
SETTLING_RUNS = 2
"""Untimed inferences at the start of each turn: the other targets have just had the caches."""
PERCENTILES = (50, 90, 95, 99)
CALM = 10
"""Percentile of a round that ratios are taken from: interruptions only ever add time, so the fast end is the target's
own. The same bundle in three processes on a machine with load 2.5 on 2 cores, five times 40 rounds of 0.1 s: ratios of
this percentile stayed within 0.992-1.009, those of medians within 0.990-1.027, and all intervals covered 1."""
GROUPS = 8
"""Groups of rounds, each with new processes: the same bundle in two processes differs by up to a per cent, by where its
memory lies, and no number of rounds in the same processes would show that."""


@dataclass(frozen=True)
class Plan:
    """How long to measure each target: `runs` inferences and at least two seconds of them, but no longer than
    `seconds`, and never under 30 inferences. They are spread over rounds, so that slow and fast targets take part in
    every round. `rounds` is a multiple of GROUPS. With `fresh` each group of rounds has new processes.
    """

    runs: int = 200
    seconds: float = 10.0
    rounds: int = ROUNDS
    fresh: bool = True

    @property
    def turn(self) -> dict[str, float]:
        """One round's share, as `timed_runs` takes it."""
        return {
            "runs": math.ceil(max(self.runs, FEWEST_RUNS) / self.rounds),
            "least_runs": math.ceil(FEWEST_RUNS / self.rounds),
            "seconds": self.seconds / self.rounds,
            "least_seconds": min(LEAST_SECONDS, self.seconds) / self.rounds,
        }


def timed_runs(
    infer: Callable[[], Any], runs: int, seconds: float, least_runs: int = 1, least_seconds: float = 0.0
) -> list[float]:
    """Milliseconds of one inference after the other.

    Ends after `runs` of them, but not before `least_seconds`, or after `seconds`, but not before `least_runs`.
    """
    times: list[float] = []
    collecting = gc.isenabled()
    gc.disable()
    try:
        start = after = time.perf_counter_ns()
        while len(times) < least_runs or (
            after - start < seconds * 1e9 and (len(times) < runs or after - start < least_seconds * 1e9)
        ):
            before = time.perf_counter_ns()
            infer()
            after = time.perf_counter_ns()
            times.append((after - before) / 1e6)
    finally:
        if collecting:
            gc.enable()
    return times


def interleave(
    turns: Sequence[Callable[[], list[float]]], rounds: int, progress: Callable[[int, int], None] | None = None
) -> list[list[list[float]]]:
    """Give each target its turn in every round: A B C, C B A, A B C, ..., so that drift of the machine meets all alike
    and none always follows the same neighbour.

    Returns times[target][round] in milliseconds.
    """
    times: list[list[list[float]]] = [[] for _ in turns]
    for number in range(rounds):
        order = range(len(turns)) if number % 2 == 0 else reversed(range(len(turns)))
        for place, index in enumerate(order):
            times[index].append(turns[index]())
            if progress is not None:
                progress(number * len(turns) + place + 1, rounds * len(turns))
    return times


def summary(times: Sequence[float]) -> dict[str, float]:
    """p50, p90, p95, p99, mean, std, min and max in milliseconds."""
    values = np.asarray(times)
    figures = {f"p{p}": float(v) for p, v in zip(PERCENTILES, np.percentile(values, PERCENTILES), strict=True)}
    figures |= {"mean": float(values.mean()), "std": float(values.std(ddof=1)) if len(values) > 1 else 0.0}
    return figures | {"min": float(values.min()), "max": float(values.max())}


def round_percentiles(rounds: Sequence[Sequence[float]], percentile: float) -> np.ndarray:
    """A percentile of each round, milliseconds, by an estimate that a round's length biases little (5 to 160 times)."""
    return np.array([np.percentile(times, percentile, method="median_unbiased") for times in rounds])


def speed_ratio(first: np.ndarray, other: np.ndarray) -> dict[str, float]:
    """How many times faster `other` is than `first`, from a figure of each of their rounds: `value`, `low`, `high`.

    See `group_interval`, of first / other of the same round: the pairs of a round stay together.
    """
    value, low, high = group_interval(first / other)
    return {"value": value, "low": low, "high": high}


def group_interval(values: np.ndarray) -> tuple[float, float, float]:
    """(value, low, high) of a figure of all rounds: median, least and greatest of the groups' medians.

    The groups have processes of their own, so their range tells how far another run may come out. It holds the true
    median with a confidence of 1 - 2 / 2^8 = 99 %, whatever the distribution: only when all groups miss it to the same
    side does it lie outside (the sign test's interval, Conover 1999, 3.2).
    """
    medians = [float(np.median(group)) for group in np.array_split(values, GROUPS)]
    return float(np.median(medians)), min(medians), max(medians)


def spread(medians: np.ndarray) -> float:
    """Unrest of the round medians: (90th - 10th percentile) / median."""
    low, middle, high = np.percentile(medians, (10, 50, 90))
    return float((high - low) / middle)
