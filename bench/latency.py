"""Timing and what follows from it: rounds, percentiles, ratios with a confidence interval."""

from __future__ import annotations

import gc
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

ROUNDS = 20
FEWEST_RUNS = 30
LEAST_SECONDS = 1.0
SETTLING_RUNS = 2
"""Untimed inferences at the start of each turn: the other targets have just had the caches."""
RESAMPLES = 2000
PERCENTILES = (50, 90, 95, 99)


@dataclass(frozen=True)
class Plan:
    """How long to measure each target: `runs` inferences and at least a second of them, but no longer than `seconds`,
    and never under 30 inferences. They are spread over rounds, so that slow and fast targets take part in every round.
    """

    runs: int = 200
    seconds: float = 10.0
    rounds: int = ROUNDS

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
    """Give each target its turn in every round: A B C A B C ..., so that drift of the machine meets all alike.

    Returns times[target][round] in milliseconds.
    """
    times: list[list[list[float]]] = [[] for _ in turns]
    for number in range(rounds):
        for index, turn in enumerate(turns):
            times[index].append(turn())
            if progress is not None:
                progress(number * len(turns) + index + 1, rounds * len(turns))
    return times


def summary(times: Sequence[float]) -> dict[str, float]:
    """p50, p90, p95, p99, mean, std, min and max in milliseconds."""
    values = np.asarray(times)
    figures = {f"p{p}": float(v) for p, v in zip(PERCENTILES, np.percentile(values, PERCENTILES), strict=True)}
    figures |= {"mean": float(values.mean()), "std": float(values.std(ddof=1)) if len(values) > 1 else 0.0}
    return figures | {"min": float(values.min()), "max": float(values.max())}


def round_medians(rounds: Sequence[Sequence[float]]) -> np.ndarray:
    """The median of each round, milliseconds."""
    return np.array([np.median(times) for times in rounds])


def speed_ratio(first: np.ndarray, other: np.ndarray, seed: int = 0) -> dict[str, float]:
    """How many times faster `other` is than `first`, from their round medians: `value`, `low`, `high`.

    The median over rounds of first / other of the same round; the interval is the 95 % percentile bootstrap over rounds
    (Efron and Tibshirani 1993), which keeps the pairs together.
    """
    ratios = first / other
    picks = np.random.default_rng(seed).integers(0, len(ratios), (RESAMPLES, len(ratios)))
    low, high = np.percentile(np.median(ratios[picks], axis=1), (2.5, 97.5))
    return {"value": float(np.median(ratios)), "low": float(low), "high": float(high)}


def spread(medians: np.ndarray) -> float:
    """Unrest of the round medians: (90th - 10th percentile) / median."""
    low, middle, high = np.percentile(medians, (10, 50, 90))
    return float((high - low) / middle)
