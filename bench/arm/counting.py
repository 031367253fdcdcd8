"""Counts the published networks' instructions on their cores: `counts.json`, by which latencies are calibrated."""

from __future__ import annotations

import dataclasses
import functools
import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from edgeface.bench.arm.cores import CORES
from edgeface.bench.arm.outputs import random_inputs
from edgeface.bench.arm.packages import litert_version
from edgeface.bench.arm.run import COUNTERS, Counts, emulate_run
from edgeface.bench.calibration.fit import Sample, published_samples
from edgeface.bench.calibration.networks import build
from edgeface.bench.tflite_ops import read_graph
from edgeface.errors import EmulatorError
from edgeface.files import write_json

COUNTS_FILE = Path(__file__).with_name("counts.json")
Key = tuple[str, str, str, str]
"""Network, dtype, core, kernels."""


def key_of(sample: Sample) -> Key:
    """What has to be counted for a published point: the kernels are the ones that its runtime had."""
    kernels = "builtin" if "built-in kernels" in sample.source else "xnnpack"
    return sample.net, sample.dtype, sample.core, kernels


def wanted() -> list[Key]:
    """All that the published single-thread points on cores that can be emulated need, the quickest first."""
    keys = {key_of(sample) for sample in published_samples() if sample.threads == 1 and sample.core in CORES}
    return sorted(keys, key=lambda key: ("efficientdet" in key[0], key))


@functools.cache
def stored_counts() -> dict[Key, Counts]:
    """The counts that EdgeFace ships. Raises EmulatorError when the file is damaged."""
    try:
        table = json.loads(COUNTS_FILE.read_text(encoding="utf-8"))
        if table["litert"] != litert_version() or tuple(table["counters"]) != COUNTERS:
            raise ValueError(f"of LiteRT {table['litert']}, not {litert_version()}")
        return {_key(text): Counts(*row) for text, row in table["counts"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise EmulatorError(f"{COUNTS_FILE}: is cut short or edited ({error}); install EdgeFace again") from None


def count(out: Path, say: Callable[[str], None]) -> int:
    """Count what `wanted` names and `out` does not hold yet, and write it there after each; returns how many.

    Interrupted, it goes on where it stopped. Raises EmulatorError as `emulate_run` does, and for an `out` of other
    content.
    """
    table = _read(out)
    missing = [key for key in wanted() if " ".join(key) not in table["counts"]]
    for number, key in enumerate(missing, 1):
        net, dtype, core, kernels = key
        with tempfile.TemporaryDirectory(prefix="edgeface-count-") as folder:
            model = Path(folder) / f"{net}-{dtype}.tflite"
            model.write_bytes(build(net, dtype))
            counts = emulate_run(model, core, random_inputs(read_graph(model), 1), kernels=kernels).counts[0]
        table["counts"][" ".join(key)] = list(dataclasses.astuple(counts))
        write_json(out, table | {"counts": dict(sorted(table["counts"].items()))})
        say(f"{number} of {len(missing)}: {' '.join(key)}: {counts.total / 1e6:.1f} million instructions")
    return len(missing)


def _read(out: Path) -> dict[str, Any]:
    empty: dict[str, Any] = {"litert": litert_version(), "counters": list(COUNTERS), "counts": {}}
    try:
        table = json.loads(out.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return empty
    except (OSError, ValueError):
        table = None
    if not isinstance(table, dict) or {**table, "counts": {}} != empty or not isinstance(table.get("counts"), dict):
        raise EmulatorError(
            f"{out}: does not hold counts of LiteRT {litert_version()}; remove it or choose another file"
        )
    return table


def _key(text: str) -> Key:
    net, dtype, core, kernels = text.split()
    return net, dtype, core, kernels
