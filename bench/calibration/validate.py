"""`edgeface devices validate`: every published point against its leave-one-out prediction, as document and as text."""

from __future__ import annotations

import dataclasses
import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

from edgeface.bench.calibration.errors import SHARES, Outcome, band, leave_one_out, published_outcomes, summary
from edgeface.bench.calibration.fit import Sample, published_samples
from edgeface.errors import DeviceError

FORMAT = "edgeface-device-validation"
VERSION = 1
METHOD = (
    "each point predicted from rates, depthwise costs and thread scaling fitted without any point of the same network "
    "on the same core and type"
)


def validate(backend: str = "profile", outcomes: Sequence[Outcome] | None = None) -> dict[str, Any]:
    """A backend's errors over the published points, and those of multiply-adds alone beside them.

    `outcomes` are another backend's than the profile's. The document holds "summary" (one thread: the calibration
    table), "macs_alone" (the same points), "not_covered" (one thread: how many points of which core this backend does
    not have), "threads" (several threads), "by_core" (one thread, by "core dtype"), "points" and, for the profile,
    "in_band" (how many lie within their own band). Points left out of the fit are listed with the reason and counted
    nowhere.
    """
    outcomes = published_outcomes() if outcomes is None else tuple(outcomes)
    used = [outcome for outcome in outcomes if not outcome.sample.left_out]
    single = [outcome for outcome in used if outcome.sample.threads == 1]
    covered = {_identity(outcome.sample) for outcome in single}
    groups: dict[str, list[Outcome]] = {}
    for outcome in single:
        groups.setdefault(f"{outcome.sample.core} {outcome.sample.dtype}", []).append(outcome)
    return {
        "format": FORMAT,
        "version": VERSION,
        "method": METHOD,
        "backend": backend,
        "summary": summary(single),
        **({"in_band": _coverage(used)} if backend == "profile" else {}),
        "macs_alone": summary([o for o in macs_alone(published_samples()) if _identity(o.sample) in covered]),
        "not_covered": _not_covered(covered),
        "threads": summary([outcome for outcome in used if outcome.sample.threads > 1]),
        "by_core": {name: summary(group) for name, group in sorted(groups.items())},
        "points": [_row(outcome) for outcome in outcomes],
    }


def _identity(sample: Sample) -> tuple[Any, ...]:
    """What tells a published point from the others."""
    return sample.core, sample.net, sample.dtype, sample.threads, sample.ms, sample.source


def _not_covered(covered: set[tuple[Any, ...]]) -> dict[str, int]:
    """How many single-thread points of which core are used by the fit and are not among `covered`."""
    samples = (sample for sample in published_samples() if sample.threads == 1 and not sample.left_out)
    return dict(sorted(Counter(sample.core for sample in samples if _identity(sample) not in covered).items()))


def _coverage(outcomes: Sequence[Outcome]) -> dict[str, dict[str, int]]:
    """How many points lie within the band that an estimate of their core, type and threads carries."""
    names = {True: "on one thread", False: "on several threads"}
    found = {name: {"points": 0, "of": 0} for name in names.values()}
    for outcome in outcomes:
        sample = outcome.sample
        half = band((), sample.core, sample.dtype, threads=sample.threads).half
        row = found[names[sample.threads == 1]]
        row["points"] += abs(math.log(outcome.predicted / sample.ms)) <= half
        row["of"] += 1
    return found


def macs_alone(samples: Sequence[Sample]) -> tuple[Outcome, ...]:
    """Leave-one-out with multiply-adds as all that is known of a network: no kinds of operators, no memory."""
    plain = []
    for sample in samples:
        operators, macs = (sum(row[column] for row in sample.facts.values()) for column in (0, 1))
        plain.append(dataclasses.replace(sample, facts={"conv1x1": (operators, macs, 0)}))
    return leave_one_out(plain, lambda sample: sample.threads == 1 and not sample.left_out)


def check_networks(rebuilt: dict[str, Any], stored: dict[str, Any]) -> None:
    """Raise DeviceError when rebuilt networks differ from networks.json."""
    changed = sorted(name for name in {*rebuilt, *stored} if rebuilt.get(name) != stored.get(name))
    if changed:
        raise DeviceError(f"networks.json: {', '.join(changed)} differ from the rebuilt networks; install again")


def text(document: dict[str, Any]) -> str:
    """The document for a terminal."""
    points = document["points"]
    lines = [f"{'core':<12}{'network':<31}{'type':<9}{'threads':>7}{'published ms':>14}{'predicted':>11}{'error':>8}"]
    for row in points:
        end = f"  left out: {row['left_out']}" if row["left_out"] else ""
        lines.append(
            f"{row['core']:<12}{row['net']:<31}{row['dtype']:<9}{row['threads']:>7}{row['ms']:>14.1f}"
            f"{row['predicted_ms']:>11.1f}{100 * row['error']:>+7.0f} %{end}"
        )
    lines += ["", f"{'':<34}{'points':>7}{'mean':>8}{'median':>8}{'p90':>8}" + "".join(f"{s:>7.0%}" for s in SHARES)]
    backend = document["backend"]
    names = {f"{backend}, one thread": "summary", "multiply-adds alone, one thread": "macs_alone"}
    names |= {f"{backend}, several threads": "threads"} if document["threads"]["points"] else {}
    names |= {"  networks of a kind left out": "unseen_kind"} if "unseen_kind" in document else {}
    rows = {name: document[key] for name, key in names.items()}
    rows |= {f"  {name}, one thread": figures for name, figures in document["by_core"].items()}
    lines += [_summary_line(name, figures) for name, figures in rows.items()]
    if "in_band" in document:
        holds = [f"{row['points']} of {row['of']} points {where}" for where, row in document["in_band"].items()]
        lines += ["", f"Within the band of 90 %: {', '.join(holds)}."]
    if missing := document["not_covered"]:
        cores = ", ".join(f"{core} ({count})" for core, count in missing.items())
        lines += ["", f"Published points of cores that {backend} does not have, and so not in this table: {cores}."]
    return "\n".join([*lines, "", f"Leave-one-out: {document['method']}. The last columns: share of points within."])


def _summary_line(name: str, figures: dict[str, float]) -> str:
    errors = "".join(f"{100 * figures[key]:>6.1f} %" for key in ("mean", "median", "p90"))
    return f"{name:<34}{figures['points']:>7}{errors}" + "".join(f"{figures[f'within_{s:.0%}']:>7.0%}" for s in SHARES)


def _row(outcome: Outcome) -> dict[str, Any]:
    sample = outcome.sample
    return {
        "backend": outcome.backend,
        "core": sample.core,
        "clock_ghz": sample.clock_ghz,
        "net": sample.net,
        "dtype": sample.dtype,
        "threads": sample.threads,
        "ms": sample.ms,
        "predicted_ms": outcome.predicted,
        "error": outcome.error,
        "source": sample.source,
        "left_out": sample.left_out,
    }
