"""Which channels go so that a network costs no more than a goal."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from edgeface.compress.channels import Cost, Counts
from edgeface.errors import UsageError

SMALLEST_SHARE = 1 / 8
"""No group gets narrower than this share of its first width: a layer of a channel or two cuts the network in halves."""


def select(
    scores: Mapping[str, np.ndarray], cost: Cost, most: float, *, align: int, floors: Mapping[str, int]
) -> dict[str, np.ndarray]:
    """The indices of the channels to keep, by group, so that the network costs at most `most` of `cost`'s unit.

    Again and again the channels leave whose importance is least for what they cost. Widths go down to multiples of
    `align`, and to no less than `floors`. Raises UsageError when the goal is out of reach.
    """
    order = {group: np.argsort(values, kind="stable") for group, values in scores.items()}
    counts: Counts = {group: len(values) for group, values in scores.items()}
    first = dict(counts)
    now = cost.total(counts)
    while now > most:
        prices = {}
        for group, count in counts.items():
            step = count % align or align
            if count - step >= floors[group]:
                gone = first[group] - count
                importance = scores[group][order[group][gone : gone + step]].sum()
                prices[group] = importance / cost.saved(counts, group, step)
        if not prices:
            raise UsageError(_out_of_reach(cost, now, most, align))
        cheapest = min(prices, key=prices.__getitem__)
        counts[cheapest] -= counts[cheapest] % align or align
        now = cost.total(counts)
    return {group: np.sort(order[group][first[group] - count :]) for group, count in counts.items()}


def floors_of(counts: Mapping[str, int], align: int) -> Counts:
    """The least channels of every group: an eighth of the first width, in whole multiples of `align`."""
    return {
        group: min(count, align * max(1, -(-int(np.ceil(count * SMALLEST_SHARE)) // align)))
        for group, count in counts.items()
    }


def least_cost(counts: Mapping[str, int], cost: Cost, align: int) -> int:
    """The cost of the narrowest network that pruning may make of one."""
    floors = floors_of(counts, align)
    return cost.total({group: min(count, floors[group]) for group, count in counts.items()})


def _out_of_reach(cost: Cost, least: float, most: float, align: int) -> str:
    what = "MACs" if cost.unit == "macs" else "parameters"
    narrower = ", or narrower layers with --align 1" if align > 1 else ""
    return (
        f"{most / 1e6:.3f} million {what} cannot be reached: this network keeps at least {least / 1e6:.3f} million; "
        f"give a larger share{narrower}"
    )
