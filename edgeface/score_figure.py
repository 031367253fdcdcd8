"""The picture of a verification result: score histograms, error rates by threshold, ROC. Needs matplotlib."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from edgeface.files import atomic_path
from edgeface.thresholds import Threshold
from edgeface.verification import BINS, Curve, ScoreCounts, area_under_roc, curve_of

_BARS = 128
_GENUINE, _IMPOSTOR = "#1b7837", "#b2182b"


def write_figure(path: Path, counts: ScoreCounts, title: str, thresholds: Sequence[Threshold] = ()) -> None:
    """Write a PNG with three panels; `thresholds` are drawn as dashed lines. Raises StorageError."""
    curve = curve_of(counts)
    figure = Figure(figsize=(13.5, 4.2), dpi=110, layout="constrained")
    histogram, rates, roc = figure.subplots(1, 3)
    _histograms(histogram, counts, thresholds)
    _rates(rates, curve, thresholds)
    _roc(roc, curve, area_under_roc(counts))
    figure.suptitle(f"{title}: {curve.genuine_pairs} genuine, {curve.impostor_pairs} impostor pairs", fontsize=11)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png", metadata={"Software": "EdgeFace"})


def _histograms(axes: Axes, counts: ScoreCounts, thresholds: Sequence[Threshold]) -> None:
    width = 2 / _BARS
    left = np.arange(_BARS) * width - 1
    for values, color, label in ((counts.impostor, _IMPOSTOR, "impostor"), (counts.genuine, _GENUINE, "genuine")):
        bars = values[:BINS].reshape(_BARS, -1).sum(axis=1).astype(float)
        bars[-1] += values[BINS]
        axes.bar(left, bars / bars.sum(), width, align="edge", color=color, alpha=0.55, label=label)
    for place, entry in enumerate(thresholds):
        axes.axvline(entry.threshold, color="black", linestyle="--", linewidth=0.8)
        axes.annotate(f"{entry.fmr:g} ", (entry.threshold, 0.97 - 0.06 * place), xycoords=("data", "axes fraction"),
                      fontsize=8, va="top", ha="right")  # fmt: skip
    axes.set(
        xticks=(-1, -0.5, 0, 0.5, 1),
        xlabel="cosine",
        ylabel="share of pairs",
        title="scores (dashed: thresholds by FMR)",
    )
    axes.legend(loc="center left")


def _rates(axes: Axes, curve: Curve, thresholds: Sequence[Threshold]) -> None:
    axes.step(curve.thresholds, curve.fmr, where="post", color=_IMPOSTOR, label="FMR")
    axes.step(curve.thresholds, curve.fnmr, where="post", color=_GENUINE, label="FNMR")
    axes.axhline(3 / curve.impostor_pairs, color="gray", linestyle=":", linewidth=1, label="3 / impostor pairs")
    for entry in thresholds:
        axes.plot(entry.threshold, entry.fmr, "k.", markersize=5)
    smallest = min(1 / curve.impostor_pairs, 1 / curve.genuine_pairs)
    axes.set(xlabel="threshold (cosine)", ylabel="error rate", yscale="log", ylim=(smallest / 2, 1.3))
    axes.set_xlim(curve.thresholds[np.flatnonzero(curve.fmr == 1)[-1]] - 0.1, 1.02)
    axes.set_title("FMR and FNMR")
    axes.legend(loc="lower left")


def _roc(axes: Axes, curve: Curve, area: float) -> None:
    shown = curve.fmr > 0
    axes.step(curve.fmr[shown], 1 - curve.fnmr[shown], where="post", color="#2166ac")
    axes.set(xlabel="FMR", ylabel="true accept rate (1 - FNMR)", xscale="log", ylim=(0, 1.02))
    axes.set_title(f"ROC, area {area:.4f}")
    axes.grid(visible=True, which="both", alpha=0.25)
