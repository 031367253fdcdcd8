"""Effective rates of processor cores, fitted to measured latencies, and how far to trust them.

The time of a network is computing plus memory:

    ms = multiply-adds / (rate x clock x threads ** exponent) + bytes / bandwidth

where bandwidth is that of one core, or of all where several share the work, and a multiply-add of a depthwise
convolution counts as several of a 1x1 convolution. The rate is multiply-adds a cycle of a core and type. A core's rate
is the geometric mean over its points, drawn with the weight of one point to the mean of its family, by which cores that
have no points are estimated; a user's own board is drawn to its core likewise.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import TypeVar

from edgeface.bench.calibration.facts import Facts, published_networks
from edgeface.bench.devices import Device, all_devices, load_cores
from edgeface.errors import DeviceError

DEPTHWISE_COSTS = (1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0)
USUAL_DEPTHWISE_COST = 4.0
DEPTHWISE_PENALTY = 0.002
"""Keeps a family whose points do not tell near the usual cost: squared log error for each squared doubling."""
THREAD_EXPONENTS = (0.75, 0.8, 0.85, 0.9, 0.95, 1.0)
LEAST_COMPUTING = 0.15
"""Share of a measured time that is computing at least, whatever the bandwidth says."""
Key = TypeVar("Key")


@dataclass(frozen=True)
class Sample:
    """One measured latency. `board` names the user's device it was measured on, "" for published ones."""

    net: str
    dtype: str
    core: str
    clock_ghz: float
    bandwidth_gbs: float
    bandwidth_all_gbs: float
    threads: int
    ms: float
    facts: Facts
    source: str
    board: str = ""
    left_out: str = ""


@dataclass(frozen=True)
class Rates:
    """The outcome of a fit. Rates are natural logs of the share of a core's nominal multiply-adds a cycle.

    `points` counts the published single-thread points of each (core, dtype), `boards` holds (rate, points) by
    (user's board, dtype).
    """

    families: Mapping[str, float]
    cores: Mapping[tuple[str, str], float]
    boards: Mapping[tuple[str, str], tuple[float, int]]
    points: Mapping[tuple[str, str], int]
    depthwise: Mapping[str, float]
    thread_exponent: float


def published_samples() -> tuple[Sample, ...]:
    """Every point of every shipped profile. Raises DeviceError for a point on an unknown network."""
    known = published_networks()
    samples = []
    for device in all_devices():
        for point in device.points:
            if (point.net, point.dtype) not in known:
                raise DeviceError(f"{device.name}.toml: points: net = {point.net!r} is not in networks.json")
            facts, source = known[point.net, point.dtype], f"{point.runtime}; {point.source}"
            place = (point.core, point.clock_ghz, point.bandwidth_gbs, point.bandwidth_all_gbs)
            samples.append(
                Sample(point.net, point.dtype, *place, point.threads, point.ms, facts, source, left_out=point.left_out)
            )
    return tuple(samples)


def fit(samples: Iterable[Sample]) -> Rates:
    """Fit depthwise costs, rates and the scaling over threads to the samples that are not left out."""
    used = [sample for sample in samples if not sample.left_out and family_of(sample.core, sample.dtype)]
    single = [sample for sample in used if sample.threads == 1]
    depthwise = {
        family: _best_depthwise([sample for sample in single if family_of(sample.core, sample.dtype) == family])
        for family in load_cores().families
    }
    rates = _rates(single, depthwise, 1.0)
    several = [sample for sample in used if sample.threads > 1]
    exponent = min(THREAD_EXPONENTS, key=lambda value: _thread_error(several, single, rates, value))
    # Boards whose points are all on several threads count too, now that their scaling is known.
    boards = [sample for sample in several if sample.board]
    return _rates(single + boards, depthwise, exponent)


def predict(rates: Rates, facts: Facts, dtype: str, device: Device | Sample, threads: int = 1) -> float | None:
    """Milliseconds of one inference; None for a core that has no kernels of this type in its family's table."""
    rate = macs_per_cycle(rates, device, dtype)
    if rate is None:
        return None
    depthwise = rates.depthwise[family_of(device.core, dtype)]
    computing = weighted_macs(facts, depthwise) / (rate * device.clock_ghz * 1e6)
    return computing / threads**rates.thread_exponent + memory_ms(facts, device, threads)


def rate_of(rates: Rates, device: Device | Sample, dtype: str) -> float | None:
    """Log rate of a device: its board's own, else its core's, else its family's."""
    board = device.board if isinstance(device, Sample) else device.name
    if (board, dtype) in rates.boards:
        return rates.boards[board, dtype][0]
    if (device.core, dtype) in rates.cores:
        return rates.cores[device.core, dtype]
    return rates.families.get(family_of(device.core, dtype))


def macs_per_cycle(rates: Rates, device: Device | Sample, dtype: str) -> float | None:
    """The rate of 1x1 convolutions on one thread; None for a core without kernels of this type."""
    found = rate_of(rates, device, dtype)
    return None if found is None else math.exp(found) * _peak(device.core, dtype)


def weighted_macs(facts: Facts, depthwise: float) -> float:
    """Multiply-adds, those of depthwise convolutions counted `depthwise` times."""
    return sum(macs * (depthwise if kind == "depthwise" else 1.0) for kind, (_, macs, _) in facts.items())


def memory_ms(facts: Facts, device: Device | Sample, threads: int = 1) -> float:
    """Milliseconds that reading and writing every operator's weights, inputs and outputs takes."""
    most = max(device.bandwidth_all_gbs, device.bandwidth_gbs)
    return sum(size for _, _, size in facts.values()) / (min(most, threads * device.bandwidth_gbs) * 1e6)


def family_of(core: str, dtype: str) -> str:
    """The core's family for a dtype; "" when it has none."""
    known = load_cores().cores.get(core)
    return known.families.get(dtype, "") if known else ""


def _peak(core: str, dtype: str) -> float:
    return load_cores().cores[core].peak[dtype]


def _observed(sample: Sample, depthwise: float, exponent: float) -> float:
    """Log rate that a sample alone would have."""
    computing = max(sample.ms - memory_ms(sample.facts, sample, sample.threads), LEAST_COMPUTING * sample.ms)
    cycles = computing * sample.threads**exponent * sample.clock_ghz * 1e6
    return math.log(weighted_macs(sample.facts, depthwise) / cycles / _peak(sample.core, sample.dtype))


def _rates(samples: Sequence[Sample], depthwise: Mapping[str, float], exponent: float) -> Rates:
    def observed(sample: Sample) -> float:
        return _observed(sample, depthwise[family_of(sample.core, sample.dtype)], exponent)

    published = _grouped((s for s in samples if not s.board), lambda s: (s.core, s.dtype), observed)
    means: dict[str, list[float]] = {}
    for (core, dtype), values in published.items():
        means.setdefault(family_of(core, dtype), []).append(fmean(values))
    families = {family: fmean(values) for family, values in means.items()}
    cores = {key: _drawn(values, families[family_of(*key)]) for key, values in published.items()}
    boards = {}
    for (board, dtype, core), values in _grouped(
        (s for s in samples if s.board), lambda s: (s.board, s.dtype, s.core), observed
    ).items():
        middle = cores.get((core, dtype), families.get(family_of(core, dtype), fmean(values)))
        boards[board, dtype] = (_drawn(values, middle), len(values))
    counts = {key: len(values) for key, values in published.items()}
    return Rates(families, cores, boards, counts, depthwise, exponent)


def _grouped(
    samples: Iterable[Sample], key: Callable[[Sample], Key], value: Callable[[Sample], float]
) -> dict[Key, list[float]]:
    groups: dict[Key, list[float]] = {}
    for sample in samples:
        groups.setdefault(key(sample), []).append(value(sample))
    return groups


def _drawn(values: Sequence[float], middle: float) -> float:
    """Mean of the values and, as one more of them, `middle`."""
    return (sum(values) + middle) / (len(values) + 1)


def _best_depthwise(samples: Sequence[Sample]) -> float:
    """The depthwise cost under which the samples of each core, and of each board of a user, agree best."""

    def disagreement(cost: float) -> float:
        groups = _grouped(samples, lambda s: (s.core, s.dtype, s.board), lambda s: _observed(s, cost, 1.0))
        spread = sum((value - fmean(values)) ** 2 for values in groups.values() for value in values)
        return spread + DEPTHWISE_PENALTY * len(samples) * math.log2(cost / USUAL_DEPTHWISE_COST) ** 2

    return min(DEPTHWISE_COSTS, key=disagreement) if samples else USUAL_DEPTHWISE_COST


def _thread_error(several: Sequence[Sample], single: Sequence[Sample], rates: Rates, exponent: float) -> float:
    """Mean error of times on several threads, from the same network's time on one thread where it is known."""
    alone = {(s.net, s.dtype, s.core, s.clock_ghz, s.source): s.ms for s in single}
    errors = []
    for sample in several:
        one = alone.get((sample.net, sample.dtype, sample.core, sample.clock_ghz, sample.source))
        if one is not None:
            computing = max(one - memory_ms(sample.facts, sample), LEAST_COMPUTING * one)
            moving = min(memory_ms(sample.facts, sample, sample.threads), one - computing)
            errors.append(abs(math.log((computing / sample.threads**exponent + moving) / sample.ms)))
    return fmean(errors) if errors else abs(exponent - 0.9)
