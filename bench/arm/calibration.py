"""Instructions per cycle of a core, fitted to published latencies of networks whose instructions were counted.

    instructions per cycle = instructions / (milliseconds x clock)

The figure of a core, type and set of kernels is the geometric mean over its networks. A core without points of its own
takes the mean of its pipeline's cores with the same type and kernels, else that of its pipeline whatever they are: then
the estimate is not called calibrated. `leave_one_out` tells how far that misses, and bands follow from it.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean

from edgeface.bench.arm.cores import CORES
from edgeface.bench.arm.counting import Key, key_of, stored_counts
from edgeface.bench.calibration.errors import CONFIDENCE, FEWEST_OWN, LEAST_SPREAD, UNCALIBRATED, Outcome
from edgeface.bench.calibration.fit import Sample, published_samples

METHOD = (
    "each point predicted from instructions per cycle fitted without any point of the same network on the same core, "
    "type and kernels; a point whose core has no other network from the other cores of its pipeline"
)
Group = tuple[str, str, str]
"""Core, dtype, kernels."""


@dataclass(frozen=True)
class Trust:
    """Instructions per cycle, the half width of the 90 % band as a natural log, own points, and what it rests on."""

    ipc: float
    half: float
    points: int
    basis: str


@functools.cache
def counted_samples() -> tuple[Sample, ...]:
    """The published single-thread points on emulated cores whose network was counted, those left out included."""
    counts = stored_counts()
    return tuple(s for s in published_samples() if s.threads == 1 and s.core in CORES and key_of(s) in counts)


def instructions_per_cycle(core: str, dtype: str, kernels: str = "xnnpack") -> Trust | None:
    """The calibrated figure of a core; None when nothing of its pipeline is published."""
    group = (core, dtype, kernels)
    used = [sample for sample in counted_samples() if not sample.left_out]
    found = _fitted(used, group)
    if found is None:
        return None
    log_ipc, level = found
    outcomes = [outcome for outcome in leave_one_out() if not outcome.sample.left_out]
    own = [outcome for outcome in outcomes if _group(outcome.sample) == group]
    near = [outcome for outcome in outcomes if _related(_group(outcome.sample), group, level)]
    basis = own if len(own) >= FEWEST_OWN else near
    spread = max(_rms(basis), LEAST_SPREAD)
    if len({outcome.sample.net.split("_")[0] for outcome in basis}) < 2:  # scaled versions of one network
        spread = max(spread, _rms(outcomes))
    points = sum(_group(sample) == group for sample in used)
    words = f"{len(basis)} points of " + (
        core if basis is own else f"{CORES[core].pipeline} cores, {points} of them {core}"
    )
    half = CONFIDENCE * spread * (1.0 if points else UNCALIBRATED)
    return Trust(math.exp(log_ipc), half, points, words)


@functools.cache
def leave_one_out() -> tuple[Outcome, ...]:
    """Every counted point predicted without any point of the same network on the same core, type and kernels.

    A point whose core has no other network is predicted from the other cores of its pipeline.
    """
    samples = counted_samples()
    outcomes = []
    for sample in samples:
        others = [s for s in samples if not s.left_out and (key_of(s) != key_of(sample))]
        found = _fitted(others, _group(sample))
        if found is not None:
            ms = stored_counts()[key_of(sample)].total / (math.exp(found[0]) * sample.clock_ghz * 1e6)
            outcomes.append(Outcome("arm-emulation", sample, ms))
    return tuple(outcomes)


def _fitted(samples: Sequence[Sample], group: Group) -> tuple[float, int] | None:
    """(log instructions per cycle, how near the points are: 0 own, 1 the pipeline's of this type, 2 any)."""
    means = {}
    for key in {_group(sample) for sample in samples}:
        means[key] = _mean(sample for sample in samples if _group(sample) == key)
    for level in range(3):
        near = [value for key, value in means.items() if _related(key, group, level)]
        if near:
            return fmean(near), level
    return None


def _related(other: Group, group: Group, level: int) -> bool:
    if level == 0:
        return other == group
    same_pipeline = CORES[other[0]].pipeline == CORES[group[0]].pipeline
    return same_pipeline and (level == 2 or other[1:] == group[1:])


def _mean(samples: Iterable[Sample]) -> float:
    """Mean log instructions per cycle, each network counting once."""
    nets: dict[str, list[float]] = {}
    for sample in samples:
        cycles = sample.ms * sample.clock_ghz * 1e6
        nets.setdefault(sample.net, []).append(math.log(stored_counts()[key_of(sample)].total / cycles))
    return fmean(fmean(values) for values in nets.values())


def _group(sample: Sample) -> Group:
    key: Key = key_of(sample)
    return key[2], key[1], key[3]


def _rms(outcomes: Sequence[Outcome]) -> float:
    if not outcomes:
        return 0.25
    return math.sqrt(fmean(math.log(outcome.predicted / outcome.sample.ms) ** 2 for outcome in outcomes))
