"""`edgeface inspect`: what is in a bundle, down to every tensor."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edgeface.cli.common import Json, Quiet, command, print_json

if TYPE_CHECKING:
    from edgeface.bench.tflite_ops import Graph
    from edgeface.bundle import Bundle

CHAIN_HEAD = ("step", "from", "top-1", "million MACs", "MB", "fps")


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command("inspect")(inspect)


@command
def inspect(
    bundle: Annotated[Path, typer.Argument(help="A bundle.", metavar="BUNDLE")],
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Show a bundle's tensors, operators, multiply-adds, arena, and the chain of steps that made it.

    `--quiet` leaves the tensors out. The arena is planned here as TensorFlow Lite plans it, from the sizes and
    lifetimes of the tensors; delegates such as XNNPACK take memory of their own besides it.

    Examples:

        edgeface inspect bundles/door

        edgeface inspect bundles/door --quiet

        edgeface inspect bundles/door --json
    """
    from edgeface.bundle import open_bundle

    found = describe(open_bundle(bundle))
    if as_json:
        print_json(found)
        return
    _print(found, quiet)


def describe(bundle: Bundle) -> dict[str, Any]:
    """Everything the command tells, JSON-serialisable."""
    from dataclasses import asdict

    from edgeface.bench.arena import arena_bytes
    from edgeface.bench.tflite_ops import read_graph
    from edgeface.interpreter import Interpreter

    graph = read_graph(bundle.model_path)
    return {
        "bundle": bundle.path.name,
        "mode": bundle.mode,
        "io": bundle.io,
        "people": len(bundle.labels),
        "embedding_size": bundle.embedding_size,
        "input": bundle.face_input.to_dict(),
        "file_bytes": bundle.size,
        "weight_bytes": graph.weight_bytes,
        "arena_bytes": arena_bytes(graph),
        "macs": sum(op.macs for op in graph.ops),
        "operators": dict(Counter(op.type for op in graph.ops).most_common()),
        "not_int8": _not_int8(graph),
        "accuracy": bundle.accuracy,
        "thresholds": [asdict(entry) for entry in bundle.thresholds],
        "chain": list(bundle.chain),
        "source": bundle.source,
        "tensors": [asdict(tensor) for tensor in Interpreter(bundle.read_model()).tensors()],
    }


def _not_int8(graph: Graph) -> list[dict[str, Any]]:
    """Operators that read or write floats, the conversions at the graph's own inputs and outputs not among them."""
    outer = {*graph.inputs, *graph.outputs}
    found = []
    for op in graph.ops:
        edge = op.type in ("QUANTIZE", "DEQUANTIZE") and outer & {*op.inputs, *op.outputs}
        if not edge and any(graph.tensors[index].dtype.startswith("float") for index in (*op.inputs, *op.outputs)):
            found.append({"type": op.type, "name": op.name, "dtype": op.dtype, "macs": op.macs})
    return found


def _print(found: dict[str, Any], quiet: bool) -> None:
    size = found["input"]["size"]
    print(
        f"{found['bundle']}: {found['mode']}, {found['file_bytes'] / 1e6:.2f} MB, {found['people']} people, "
        f"{size}x{size} {found['io']} in, embedding of {found['embedding_size']}"
    )
    print(
        f"{found['macs'] / 1e6:.1f} million MACs in this file, weights {found['weight_bytes'] / 1e6:.2f} MB, "
        f"arena {found['arena_bytes'] / 1e3:.0f} KB (planned; a delegate's own memory is not in it)"
    )
    if found["chain"]:
        from edgeface.model_card import chain_cells

        print("\nchain")
        _columns([CHAIN_HEAD, *(chain_cells(step) for step in found["chain"])])
    print("\noperators")
    for name, count in found["operators"].items():
        print(f"  {count:4d} {name}")
    floats = found["not_int8"]
    print(f"\noperators not in int8: {len(floats) if floats else 'none'}")
    for op in floats[:10]:
        print(f"  {op['type']} {op['name']} ({op['dtype']})")
    if len(floats) > 10:
        print(f"  and {len(floats) - 10} more")
    if not quiet:
        print("\ntensors")
        _columns([("name", "dtype", "shape", "scale", "zero-point"), *map(_tensor, found["tensors"])])


def _tensor(tensor: dict[str, Any]) -> tuple[str, ...]:
    scales, points = tensor["scales"], tensor["zero_points"]
    name = tensor["name"].split(";")[0]
    scale = "-" if not scales else f"{scales[0]:.6g}"
    if len(scales) > 1:
        scale = f"{min(scales):.3g}..{max(scales):.3g} ({len(scales)} channels)"
    point = "-" if not points else str(points[0]) if len(set(points)) == 1 else f"{min(points)}..{max(points)}"
    return (
        name if len(name) <= 60 else f"..{name[-58:]}",
        tensor["dtype"],
        "x".join(map(str, tensor["shape"])) or "scalar",
        scale,
        point,
    )


def _columns(rows: list[tuple[str, ...]]) -> None:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        print("  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
