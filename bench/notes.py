"""What a reader of a result should know: noise that makes its times doubtful, and why figures are as they are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from edgeface import machine
from edgeface.bench.document import MEASURED

NOISY_SPREAD = 0.10
NOISY_LOAD = 0.5
"""Load a core before the measurement above which other work disturbs it."""
_INT8 = ("int8", "qat")


def noise(rows: Sequence[dict[str, Any]], before: dict[str, Any]) -> list[str]:
    """What makes the times of measured rows doubtful. `before` is the machine before the measurement."""
    if not rows:
        return []
    found = []
    load, cores = before["load_average"], before["cores"] or 1
    if load is not None and load / cores > NOISY_LOAD:
        found.append(f"noise: load average {load:.1f} on {cores} cores before the start; other work was running")
    for row in rows:
        if row["round_spread"] > NOISY_SPREAD:
            share = 100 * row["round_spread"]
            found.append(f"noise: {row['name']}: its rounds differ by {share:.0f} %; trust the ratios, not the times")
    return found


def explanations(rows: Sequence[dict[str, Any]], before: dict[str, Any]) -> list[str]:
    """Lines that explain figures of this result."""
    return [*_int8_on_this_cpu(rows, before), *_accuracy_of_estimates(rows)]


def _int8_on_this_cpu(rows: Sequence[dict[str, Any]], before: dict[str, Any]) -> list[str]:
    """The CPU's int8 capability beside each int8-to-fp32 ratio of one network, runtime and number of threads."""
    measured = [row for row in rows if row["kind"] == MEASURED and row["what"] == "bundle"]
    lines = []
    for row in measured:
        for other in (other for other in measured if row["mode"] in _INT8 and _is_its_fp32(other, row)):
            speed = f"{row['name']} runs at {other['ms'] / row['ms']:.2f}x the speed of {other['name']}"
            lines.append(speed + _where_it_differs(row, other))
            break
    if not lines:
        return []
    found = machine.int8_dot_products(before["features"])
    if found:
        return [f"{line}; this CPU multiplies int8 four at a time ({', '.join(found)})" for line in lines]
    if not before["features"]:  # not every system tells what its CPU has
        return lines
    missing = "avx_vnni, avx512_vnni" if before["arch"] in ("x86_64", "AMD64", "i686") else "asimddp, i8mm"
    why = f"this CPU has no int8 dot products ({missing}), so int8 has no faster multiply than fp32"
    return [f"{line}; {why}" for line in lines]


def _is_its_fp32(other: dict[str, Any], row: dict[str, Any]) -> bool:
    """Whether `other` is the float32 form of the int8 `row`: all that tells of the network is the same."""
    same = ("network", "input_size", "identities", "runtime", "threads")
    if other["mode"] != "float32" or any(other[key] != row[key] for key in same):
        return False
    return 2 <= other["file_bytes"] / row["file_bytes"] <= 4.5


def _where_it_differs(row: dict[str, Any], other: dict[str, Any]) -> str:
    """The block whose time differs most, where both have times by block."""
    own, theirs = (
        {block["name"]: block["us"] for block in (entry["per_op"] or {}).get("by_block") or []}
        for entry in (row, other)
    )
    if not own or not theirs:
        return ""
    block = max(own, key=lambda name: abs(own[name] - theirs.get(name, 0.0)))
    whole = sum(own.values()) - sum(theirs.values())
    return f" (block {block}: {own[block]:.0f} us against {theirs.get(block, 0.0):.0f} us; all blocks: {whole:+.0f} us)"


def _accuracy_of_estimates(rows: Sequence[dict[str, Any]]) -> list[str]:
    if any(row["kind"] != MEASURED and row["accuracy"] is not None for row in rows):
        return ["top-1 of simulated devices was computed with that bundle on this machine"]
    return []
