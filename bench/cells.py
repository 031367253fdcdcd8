"""The figures of a result document as short texts, the same in every view."""

from __future__ import annotations

from typing import Any

from edgeface.bench.document import MEASURED
from edgeface.model_card import NOT_MEASURED

NOTHING = "-"
_WORKING_MEMORY = {"ram": "RAM", "sram": "SRAM", "arena": "arena"}
"""What an estimate may say of the memory it works in, from the whole to the part."""


def milliseconds(value: float | None) -> str:
    """Three significant digits, never in powers of ten."""
    if value is None:
        return NOTHING
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def megabytes(count: float | None) -> str:
    """Bytes as megabytes (10^6), two decimals below 10."""
    if count is None:
        return NOTHING
    value = count / 1e6
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def time(row: dict[str, Any]) -> str:
    """The row's time; an estimate is marked by ~ and its band always follows it (see `band`)."""
    return NOTHING if row["ms"] is None else ("" if row["kind"] == MEASURED else "~") + milliseconds(row["ms"])


def band(row: dict[str, Any]) -> str:
    """The error band of the row's time."""
    if row["band_ms"] is None:
        return NOTHING
    return "-".join(milliseconds(value) for value in row["band_ms"])


def fps(row: dict[str, Any]) -> str:
    """Frames a second; of an estimate the band only, so that no bare number stands there."""
    if row["fps"] is None:
        return NOTHING
    if row["kind"] == MEASURED:
        return _rate(row["fps"])
    return "-".join(_rate(value) for value in row["fps_band"])


def ratio(row: dict[str, Any]) -> str:
    """A measured row's speed against the first one's, with its interval."""
    if row["ratio"] is None:
        return "1x"
    return "{}x ({}-{})".format(*(f"{row['ratio'][key]:.3g}" for key in ("value", "low", "high")))


def memory(row: dict[str, Any]) -> str:
    """Megabytes: the process's peak where measured, else what the backend says the model needs."""
    if row["rss_mb"] is not None:
        peak = row["rss_mb"]["peak"]
        return NOTHING if peak is None else f"{peak:.0f} RSS"
    kind = next((kind for kind in _WORKING_MEMORY if kind in row["memory"]), None)
    return NOTHING if kind is None else f"{megabytes(row['memory'][kind])} {_WORKING_MEMORY[kind]}"


def accuracy(row: dict[str, Any]) -> str:
    """Top-1 in per cent."""
    return NOT_MEASURED if row["accuracy"] is None else f"{100 * row['accuracy']['top1']:.2f} %"


def batch(row: dict[str, Any]) -> str:
    """Images a second in batches."""
    found = row["batch"]
    return NOTHING if not found or found["fps"] is None else f"{_rate(found['fps'])} (x{found['images']})"


def delegate(row: dict[str, Any]) -> str:
    """The delegate and its share of the operators."""
    used = row["delegate"]
    if used is None:
        return NOTHING
    return used["name"] + ("" if not used["operators"] else f" {used['operators']}/{used['of']} ops")


def fit(row: dict[str, Any]) -> str:
    """Whether the model fits the device's memory and is taken by it."""
    return {True: "yes", False: "no", None: NOTHING}[row["fits"]]


def bytes_list(row: dict[str, Any]) -> str:
    """Every memory figure of the row, megabytes."""
    return ", ".join(f"{name} {megabytes(count)}" for name, count in row["memory"].items()) or NOTHING


def _rate(value: float) -> str:
    return f"{value:.0f}" if value >= 1000 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"
