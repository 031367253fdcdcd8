"""Instructions per cycle of a core, fitted to published latencies of networks whose instructions were counted.

    log(instructions / (milliseconds x clock)) = core, type and kernels + kind of network

The first term is what a core does on the networks that it was measured with, the second what a kind of network
(MobileNet, SSDLite, EfficientDet) does apart from that on all cores, drawn to zero with the weight of KIND_WEIGHT
points: without it a core's figure would depend on which kinds it happened to be measured with. A user's network has no
known kind: its second term is zero. A core without points takes the mean of its pipeline's cores with the same type and
kernels, else that of its pipeline whatever they are; the estimate is then not called calibrated.

`leave_one_out` is how far a network of a known kind is missed, `leave_kind_out` one of a kind that no core was measured
with. The users' networks are of the latter sort, so bands come from it.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import fmean, quantiles

from edgeface.bench.arm.cores import CORES
from edgeface.bench.arm.counting import key_of, stored_counts
from edgeface.bench.calibration.errors import UNCALIBRATED, Outcome
from edgeface.bench.calibration.fit import Sample, published_samples

METHOD = (
    "each point predicted from instructions per cycle fitted without any point of the same network on the same core, "
    "type and kernels; a point whose core has no other network from the other cores of its pipeline, whatever their "
    "type and kernels where those have none of this either"
)
KIND_WEIGHT = 2.0
"""Chosen by leave-one-out; 1 to 4 differ by 0.3 points of mean error."""
ROUNDS = 20
Group = tuple[str, str, str]
"""Core, dtype, kernels."""


@dataclass(frozen=True)
class Trust:
    """Instructions per cycle, the half width of the 90 % band as a natural log, own points, and what it rests on."""

    ipc: float
    half: float
    points: int
    basis: str


@dataclass(frozen=True)
class _Point:
    """A published point with the log of its instructions per cycle."""

    sample: Sample
    group: Group
    kind: str
    log_ipc: float


@dataclass(frozen=True)
class _Fit:
    """Log instructions per cycle of each group, and what each kind of network adds."""

    groups: dict[Group, float]
    kinds: dict[str, float]

    def of(self, group: Group) -> tuple[float, int] | None:
        """(log figure, how near: 0 its own, 1 its pipeline's of this type and kernels, 2 its pipeline's); or None."""
        for level in range(3):
            near = [value for key, value in self.groups.items() if _related(key, group, level)]
            if near:
                return fmean(near), level
        return None


@functools.cache
def counted_points() -> tuple[_Point, ...]:
    """The published single-thread points on emulated cores whose network was counted, those left out included."""
    counts = stored_counts()
    points = []
    for sample in published_samples():
        key = key_of(sample)
        if sample.threads == 1 and sample.core in CORES and key in counts:
            log_ipc = math.log(counts[key].total / (sample.ms * sample.clock_ghz * 1e6))
            points.append(_Point(sample, (key[2], key[1], key[3]), sample.net.split("_")[0], log_ipc))
    return tuple(points)


def instructions_per_cycle(core: str, dtype: str, kernels: str = "xnnpack") -> Trust | None:
    """A core's calibrated figure for a network of no known kind; None when nothing of its pipeline is published."""
    group = (core, dtype, kernels)
    found = _fit([point for point in counted_points() if not point.sample.left_out]).of(group)
    if found is None:
        return None
    own = sum(point.group == group and not point.sample.left_out for point in counted_points())
    outcomes = [outcome for outcome in leave_kind_out() if not outcome.sample.left_out]
    errors = [abs(math.log(outcome.predicted / outcome.sample.ms)) for outcome in outcomes]
    half = quantiles(errors, n=10, method="inclusive")[8] * (1.0 if own else UNCALIBRATED)
    basis = f"{len(outcomes)} points of networks of a kind left out, {own} of this core, type and kernels"
    return Trust(math.exp(found[0]), half, own, basis)


@functools.cache
def leave_one_out() -> tuple[Outcome, ...]:
    """Every counted point predicted without any point of the same network on the same core, type and kernels.

    A point whose core has no other network is predicted from the other cores of its pipeline: those of its type and
    kernels, else all. So no point is left without a prediction.
    """
    return _predicted(lambda other, point: key_of(other.sample) != key_of(point.sample), level=2)


@functools.cache
def leave_kind_out() -> tuple[Outcome, ...]:
    """Every counted point whose core was measured with another kind of network, predicted from those kinds alone."""
    return _predicted(lambda other, point: other.kind != point.kind, level=0)


def _predicted(keep: Callable[[_Point, _Point], bool], level: int) -> tuple[Outcome, ...]:
    outcomes = []
    for point in counted_points():
        fit = _fit([other for other in counted_points() if not other.sample.left_out and keep(other, point)])
        found = fit.of(point.group)
        if found is not None and found[1] <= level:
            predicted = point.sample.ms * math.exp(point.log_ipc - found[0] - fit.kinds.get(point.kind, 0.0))
            outcomes.append(Outcome("arm-emulation", point.sample, predicted))
    return tuple(outcomes)


def _fit(points: Sequence[_Point]) -> _Fit:
    """Least squares by turns: each group's mean without the kinds' share, each kind's mean without the groups'."""
    groups: dict[Group, float] = {}
    kinds: dict[str, float] = {}
    for _ in range(ROUNDS):
        by_group: dict[Group, list[float]] = {}
        for point in points:
            by_group.setdefault(point.group, []).append(point.log_ipc - kinds.get(point.kind, 0.0))
        groups = {group: fmean(values) for group, values in by_group.items()}
        by_kind: dict[str, list[float]] = {}
        for point in points:
            by_kind.setdefault(point.kind, []).append(point.log_ipc - groups[point.group])
        kinds = {kind: sum(values) / (len(values) + KIND_WEIGHT) for kind, values in by_kind.items()}
    return _Fit(groups, kinds)


def _related(other: Group, group: Group, level: int) -> bool:
    if level == 0:
        return other == group
    same_pipeline = CORES[other[0]].pipeline == CORES[group[0]].pipeline
    return same_pipeline and (level == 2 or other[1:] == group[1:])
