"""Whose time is whose: the runtime's operators matched with the file's, and one real profile."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgeface.bench import host, op_profile
from edgeface.bench.document import Row
from edgeface.bench.host import _Runner, _with_profile
from edgeface.bench.latency import Plan
from edgeface.bench.runner import measure
from edgeface.bench.settings import Entry, Settings
from edgeface.bench.tflite_ops import Op


def op(index: int, kind: str, type_: str, layer: str) -> Op:
    return Op(index, f"net/{layer}_relu/Relu;net/{layer}/X", type_, kind, "float32", "", 10, 0, 0, 0, (), ())


OPS = (
    op(0, "convkxk", "CONV_2D", "stem"),
    op(1, "pool", "MAX_POOL_2D", "stem_pool"),
    op(2, "conv1x1", "CONV_2D", "stage1_block1_reduce1"),
    op(3, "elementwise", "ADD", "stage1_block1_add"),
    op(4, "free", "RESHAPE", "flatten"),
    op(5, "dense", "FULLY_CONNECTED", "logits"),
)
TAGS = [
    "Convolution (NHWC, F32) IGEMM",
    "Max Pooling (NHWC, F32)",
    "Fully Connected (NC, F32) GEMM",
    "Add (ND)",
    "Clamp (NC)",
    "Fully Connected (NC, F32) GEMM",
]


def test_operators_are_matched_in_order() -> None:
    timed = op_profile.match(OPS, TAGS, [40, 5, 20, 2, 1, 4])
    assert [entry.op.index if entry.op else None for entry in timed] == [0, 1, 2, 3, 3, 5]
    found = op_profile.summarise(timed, 100)
    assert found["total_us"] == 72
    assert [(row["name"], row["us"], row["count"]) for row in found["by_block"]] == [
        ("stem", 45, 2),
        ("stage1_block1", 23, 3),
        ("logits", 4, 1),
    ]
    assert [(row["name"], row["us"]) for row in found["by_type"]] == [
        ("convkxk", 40), ("conv1x1", 20), ("pool", 5), ("dense", 4), ("elementwise", 2), ("clamp", 1),
    ]  # fmt: skip
    assert sum(row["share"] for row in found["by_type"]) == pytest.approx(1)


def test_a_graph_that_does_not_match_has_no_blocks() -> None:
    found = op_profile.summarise(op_profile.match(OPS, TAGS[:2], [40, 5]), 100)
    assert found["by_block"] is None
    assert [row["name"] for row in found["by_type"]] == ["convolution", "max pooling"]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("squeezenext_1/stage3_block12_1x3_relu/Relu;squeezenext_1/stage3_block12_1x3/Conv2D", "stage3_block12"),
        ("squeezenext_1/quant_stage2_enter_relu/Relu", "stage2_enter"),
        ("inception_resnet_v1/block35_2_b0_1x1_relu/Relu", "block35_2"),
        ("inception_resnet_v1/reduction_a_b1/Conv2D", "reduction_a"),
        ("inception_resnet_v1/stem4_1x1_relu/Relu", "stem"),
        ("StatefulPartitionedCall:0", "logits"),
        ("tfl.quantize", "quantize"),
        ("head/x", "x"),
    ],
)
def test_blocks_by_name(name: str, expected: str) -> None:
    assert op_profile.block(name) == expected


def test_a_real_profile_covers_the_graph(tiny_bundles: dict[str, Path]) -> None:
    settings = Settings(plan=Plan(30, 0.1, rounds=8, fresh=False), batch=0, per_op=True)
    rows = measure([tiny_bundles["float32"], tiny_bundles["int8"]], settings)["rows"]
    for row in rows:
        found = row["per_op"]
        if "reason" in found:
            pytest.skip(found["reason"])
        assert {"stem", "stage1_block1", "head"} <= {entry["name"] for entry in found["by_block"]}
        assert {"convkxk", "conv1x1", "conv3x1", "conv1x3"} <= {entry["name"] for entry in found["by_type"]}
        assert sum(entry["us"] for entry in found["ops"]) == pytest.approx(found["total_us"], abs=1)
        assert found["total_us"] > 0


def test_an_estimate_gives_shares() -> None:
    ops = [
        {"name": entry.name, "kind": entry.kind, "ms": ms} for entry, ms in zip(OPS, (3, 1, 4, 0, 0, 2), strict=True)
    ]
    found = op_profile.of_estimate({"ops": ops})
    assert found is not None
    assert found["total_us"] == 10_000
    assert [(row["name"], row["share"]) for row in found["by_block"]] == [
        ("stem", 0.4), ("stage1_block1", 0.4), ("flatten", 0.0), ("logits", 0.2),
    ]  # fmt: skip
    assert op_profile.of_estimate({}) is None
    assert op_profile.of_estimate({"ops": [{"name": "x"}]}) is None


def test_runtimes_without_a_profiler_say_so(tiny_bundle: Path) -> None:
    facts = dict.fromkeys(("mode", "network", "sha256", "device", "kind", "backend"), "")
    counts = dict.fromkeys(("file_bytes", "input_size", "identities", "threads"), 1)
    for what, runtime, reason in (
        ("bundle", "tflite-runtime 2.14.0", "no profiler that Python can reach"),
        ("run", "TensorFlow 2.21.0", "only bundles"),
    ):
        row = Row(name="x", what=what, **facts, **counts, ms=1.0, band_ms=[1.0, 1.0], runtime=runtime)
        assert reason in _with_profile(row, _Runner(None, [])).per_op["reason"]  # type: ignore[arg-type]


def test_a_profiler_that_dies_leaves_the_row_with_the_reason(
    tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch, make_row: Callable[..., dict[str, Any]]
) -> None:
    """LiteRT's C library may crash on a machine it was not tried on: its process is killed here in its place."""
    started = host.WorkerProcess

    def doomed(name: str, path: Path) -> host.WorkerProcess:
        worker = started(name, path)
        worker._process.kill()
        return worker

    monkeypatch.setattr(host, "WorkerProcess", doomed)
    known = {field.name for field in dataclasses.fields(Row)}
    row = Row(**{key: value for key, value in make_row("tiny", 1.0, runtime="LiteRT 2.3.0").items() if key in known})
    found = _with_profile(row, _Runner(Entry(tiny_bundle, {"name": "tiny"}, None, 1), []))
    assert found.per_op is not None
    assert "the measuring process ended by itself" in found.per_op["reason"]
    assert found.ms == 1.0
