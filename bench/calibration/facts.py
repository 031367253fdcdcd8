"""What a network costs, summed by kind of operator: all that a calibration needs to know of it.

`networks.json` holds the facts of every network of the published points, so that profiles need no rebuilding.
"""

from __future__ import annotations

import functools
import json
import tempfile
from collections.abc import Mapping
from pathlib import Path

from edgeface.bench.tflite_ops import Graph, read_graph
from edgeface.errors import DeviceError

NETWORKS_FILE = Path(__file__).with_name("networks.json")
Facts = Mapping[str, tuple[int, int, int]]
"""Kind of operator -> (operators, multiply-adds, bytes read and written, weights included)."""


def facts_of(graph: Graph) -> dict[str, tuple[int, int, int]]:
    """A network's facts."""
    facts: dict[str, tuple[int, int, int]] = {}
    for op in graph.ops:
        count, macs, size = facts.get(op.kind, (0, 0, 0))
        moved = op.weight_bytes + op.input_bytes + op.output_bytes if op.kind != "free" else 0
        facts[op.kind] = (count + 1, macs + op.macs, size + moved)
    return dict(sorted(facts.items()))


def dtype_of(graph: Graph) -> str:
    """The type that most multiply-adds are computed in: "int8", or "float32" also for weights stored smaller."""
    macs: dict[str, int] = {}
    for op in graph.ops:
        macs[op.dtype] = macs.get(op.dtype, 0) + op.macs
    most = max(macs, key=lambda dtype: macs[dtype], default="float32")
    return "int8" if most in ("int8", "uint8", "int16") else "float32"


@functools.cache
def published_networks() -> Mapping[tuple[str, str], Facts]:
    """(network, dtype) -> facts, from networks.json. Raises DeviceError when that file is damaged."""
    try:
        table = json.loads(NETWORKS_FILE.read_text(encoding="utf-8"))
        return {
            (name, dtype): {kind: (int(row[0]), int(row[1]), int(row[2])) for kind, row in facts.items()}
            for name, dtypes in table.items()
            for dtype, facts in dtypes.items()
        }
    except (OSError, ValueError, TypeError, AttributeError, IndexError) as error:
        raise DeviceError(f"{NETWORKS_FILE}: is cut short or edited ({error}); install EdgeFace again") from None


def rebuild(folder: Path | None = None) -> dict[str, dict[str, dict[str, tuple[int, int, int]]]]:
    """Build every published network and read its facts; with `folder`, the .tflite files are kept there."""
    from edgeface.bench.calibration.networks import DTYPES, NETWORKS, build

    with tempfile.TemporaryDirectory() as temporary:
        place = folder or Path(temporary)
        place.mkdir(parents=True, exist_ok=True)
        table: dict[str, dict[str, dict[str, tuple[int, int, int]]]] = {}
        for name in NETWORKS:
            for dtype in DTYPES:
                path = place / f"{name}-{dtype}.tflite"
                path.write_bytes(build(name, dtype))
                table.setdefault(name, {})[dtype] = facts_of(read_graph(path))
    return table
