"""How much is to be pruned: a share of the multiply-adds or parameters to keep, or a measured speed to reach."""

from __future__ import annotations

import math
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tf_keras

from edgeface.bundle import write_bundle
from edgeface.compress.calibration import samples
from edgeface.compress.channels import cost_of, group_sizes, remove_channels, widths_of
from edgeface.compress.export import to_tflite
from edgeface.compress.importance import Scores
from edgeface.compress.selection import floors_of, least_cost, select
from edgeface.compress.twin import twin_of
from edgeface.errors import UsageError
from edgeface.run import Run

MeasureFps = Callable[[Sequence[Path]], Sequence["float | None"]]
Network = tuple[tf_keras.Model, dict[str, Any]]
"""A model and the arguments that build it."""
_OPTIONS = {"macs": "--keep-macs", "params": "--keep-params", "speed": "--speedup"}
_TRIES, _CLOSE = 5, 0.02


@dataclass(frozen=True)
class Goal:
    """`unit` is 'macs' or 'params' with the share to keep (0..1), or 'speed' with how many times faster (above 1)."""

    unit: str
    value: float

    def to_dict(self) -> dict[str, Any]:
        """A JSON-serialisable form."""
        return asdict(self)

    def check(self, run: Run, align: int) -> None:
        """Raise UsageError for a number that makes no sense or that the run's network cannot reach."""
        option = f"{_OPTIONS[self.unit]} {self.value:g}"
        widths = widths_of(run)
        if self.unit == "speed":
            if not 1 < self.value < 100:
                raise UsageError(f"{option}: give how many times faster, above 1, such as 1.5")
            return
        if not 0 < self.value < 1:
            raise UsageError(f"{option}: give the share to keep, between 0 and 1, such as 0.6")
        cost = cost_of(widths, run.face_input.size, len(run.identities), self.unit)
        sizes = group_sizes(widths)
        least = least_cost(sizes, cost, align) / cost.total(sizes)
        if least > self.value:
            finer = ", or narrower layers with --align 1" if align > 1 else ""
            shown = math.ceil(1000 * least) / 1000
            raise UsageError(f"{option}: {run.path} keeps at least {shown:.3f}; give a larger share{finer}")


def narrowed(
    source: Run, model: tf_keras.Model, first: Run, unit: str, share: float, scores: Scores, align: int
) -> Network:
    """The network of `source` with the least important channels gone, at most this share of `first`'s cost left."""
    widths, whole = widths_of(source), widths_of(first)
    cost = cost_of(widths, first.face_input.size, len(first.identities), unit)
    most = round(share * cost.total(group_sizes(whole)))  # costs are whole numbers: a share of the least keeps it
    kept = select(scores, cost, most, align=align, floors=floors_of(group_sizes(whole), align))
    return remove_channels(model, source.network, source.build, widths, kept)


def share_for_speed(
    goal: float,
    first: Run,
    source: Run,
    narrow: Callable[[float], Network],
    *,
    align: int,
    fps: MeasureFps,
    stem: str,
    quiet: bool,
) -> tuple[float, float]:
    """(the largest share of `first`'s MACs found that is `goal` times as fast in int8, how many times it measured).

    `narrow(share)` makes the candidate, of which an untrained twin is measured. Raises UsageError when the narrowest
    network is too slow or a network does not fit the device.
    """
    cost = cost_of(widths_of(first), first.face_input.size, len(first.identities), "macs")
    sizes = group_sizes(widths_of(first))
    low = least_cost(sizes, cost, align) / cost.total(sizes)
    high = cost.total(group_sizes(widths_of(source))) / cost.total(sizes)
    with tempfile.TemporaryDirectory() as folder:
        reference = _bundle(first, first.build, Path(folder) / "first", stem)

        def ratio(share: float) -> float:
            rates = fps([reference, _bundle(first, narrow(share)[1], Path(folder) / "pruned", stem)])
            if not rates[0] or not rates[1]:
                raise UsageError(f"--speedup {goal:g}: the device gives no speed for {first.path} or its pruned form")
            if not quiet:
                sys.stderr.write(f"{share:.2f} of the MACs: {rates[1] / rates[0]:.2f} times the speed\n")
            return rates[1] / rates[0]

        best = (low, ratio(low))
        if best[1] < goal:
            finer = ", or allow narrower layers with --align 1" if align > 1 else ""
            raise UsageError(
                f"--speedup {goal:g}: the narrowest network, {low:.2f} of the MACs, is {best[1]:.2f} times as fast; "
                f"give less{finer}"
            )
        share = min(max(low, 1 / goal), high)
        for _ in range(_TRIES):
            measured = ratio(share)
            if measured >= goal:
                best, low = (share, measured), share
            else:
                high = share
            if high - low < _CLOSE:
                break
            share = (low + high) / 2
    return best


def _bundle(run: Run, build: dict[str, Any], path: Path, stem: str) -> Path:
    """An int8 bundle to take the time of."""
    size = run.face_input.size
    noise = np.random.default_rng(0).integers(0, 256, (4, size, size, 3), dtype=np.uint8)
    content = to_tflite(twin_of(run.network, build), "int8", calibration=samples(noise, run.face_input), stem=stem)
    return write_bundle(path, content, run.identities, run.face_input, "int8").path
