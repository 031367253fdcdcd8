"""Leave-one-out: how far the fitted rates miss measurements that they have not seen, and the bands that follow.

A point is predicted from rates, depthwise costs and thread scaling fitted anew without any point of the same network
on the same core and type (not only without itself: the same network was measured with several threads and runtimes).
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import fmean, median, quantiles
from typing import Any

from edgeface.bench.calibration.fit import Sample, family_of, fit, predict, published_samples

CONFIDENCE = 1.645
"""Standard deviations that hold 90 % of a normal distribution."""
LEAST_SPREAD = 0.06
"""No core is trusted further than this (rms of log errors), however well its few points agree."""
FEWEST_OWN = 3
UNCALIBRATED = 1.5
"""A band is this much wider for a core that has no points of its own."""
SHARES = (0.10, 0.15, 0.25)


@dataclass(frozen=True)
class Outcome:
    """One measured latency and its leave-one-out prediction, milliseconds. `backend` is as in Estimate."""

    backend: str
    sample: Sample
    predicted: float

    @property
    def error(self) -> float:
        """Relative error: 0.1 is predicted 10 % too slow."""
        return self.predicted / self.sample.ms - 1


def leave_one_out(
    samples: Sequence[Sample], wanted: Callable[[Sample], bool] = lambda sample: True
) -> tuple[Outcome, ...]:
    """Outcomes of the wanted samples by the profile backend; those of cores without any other point are missing."""
    predictions: dict[tuple[str, ...], Any] = {}
    outcomes = []
    for sample in filter(wanted, samples):
        key = (sample.core, sample.dtype, sample.net, sample.board)
        if key not in predictions:
            predictions[key] = fit(s for s in samples if (s.core, s.dtype, s.net, s.board) != key)
        predicted = predict(predictions[key], sample.facts, sample.dtype, sample, sample.threads)
        if predicted is not None:
            outcomes.append(Outcome("profile", sample, predicted))
    return tuple(outcomes)


def summary(outcomes: Sequence[Outcome]) -> dict[str, float]:
    """Points, mean, median, 90th percentile and largest absolute error, and the share of points within SHARES."""
    errors = sorted(abs(outcome.error) for outcome in outcomes)
    if not errors:
        return {"points": 0}
    figures = {
        "points": len(errors),
        "mean": fmean(errors),
        "median": median(errors),
        "p90": quantiles(errors, n=10, method="inclusive")[8] if len(errors) > 1 else errors[0],
        "max": errors[-1],
    }
    return figures | {f"within_{share:.0%}": sum(e <= share for e in errors) / len(errors) for share in SHARES}


@dataclass(frozen=True)
class Band:
    """Half width of an estimate's band as a natural log, and what it rests on."""

    half: float
    points: int
    calibrated: bool
    basis: str


@functools.cache
def published_outcomes() -> tuple[Outcome, ...]:
    """Leave-one-out over every published point, those left out of the fit included."""
    return leave_one_out(published_samples())


def band(samples: Sequence[Sample], core: str, dtype: str, board: str = "", threads: int = 1) -> Band:
    """The 90 % band of a core and type, from leave-one-out errors.

    Those of the board's own points if there are three or more, else of its core's, else of its family's. Errors among
    networks of one kind only (all EfficientDet, say) do not tell how others are met: then the band is no narrower than
    the errors over all cores. It is half as wide again for a core without points, and on several threads no narrower
    than the errors there. One or two points of the board's own do not make a band, but it is no narrower than they ask.
    """
    known = [outcome for outcome in published_outcomes() if not outcome.sample.left_out]
    family = [o for o in known if family_of(o.sample.core, o.sample.dtype) == family_of(core, dtype)]
    of_core = [o for o in family if o.sample.core == core and o.sample.threads == 1]
    of_board = leave_one_out(samples, lambda s: bool(board) and (s.board, s.dtype) == (board, dtype))
    mine = any(s.board == board and s.dtype == dtype for s in samples) if board else False
    if len(of_board) >= FEWEST_OWN:
        used, basis = list(of_board), f"{len(of_board)} points of this board"
    elif len(of_core) >= FEWEST_OWN:
        used, basis = of_core, f"{len(of_core)} points of {core}"
    else:
        used = [o for o in family if o.sample.threads == 1]
        of_these = f"{len(of_core)} of them {core}" if of_core else f"none of {core}"
        basis = f"{len(used)} points of its family {family_of(core, dtype)}, {of_these}"
    spread = max(_rms(used), LEAST_SPREAD)
    if len({_kind_of_network(o.sample) for o in used}) < 2:
        spread = max(spread, _rms([o for o in known if o.sample.threads == 1]))
    if of_board and len(of_board) < FEWEST_OWN:
        spread = max(spread, _rms(of_board))
        basis += f", and {len(of_board)} of this board"
    if threads > 1:
        spread = max(spread, _rms([o for o in family if o.sample.threads > 1] or known))
    calibrated = mine or bool(of_core)
    return Band(CONFIDENCE * spread * (1.0 if calibrated else UNCALIBRATED), len(of_core), calibrated, basis)


def _kind_of_network(sample: Sample) -> str:
    """Which networks are scaled versions of each other; each of a user's models counts as a kind."""
    return sample.net if sample.board else sample.net.split("_")[0]


def _rms(outcomes: Sequence[Outcome]) -> float:
    """Root mean square of the log errors; a quarter, the reference's figure for profiles, where there are none."""
    if not outcomes:
        return 0.25
    return math.sqrt(fmean(math.log(outcome.predicted / outcome.sample.ms) ** 2 for outcome in outcomes))
