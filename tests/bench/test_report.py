"""Tables: aligned, at most 120 columns wide, and honest about what was not measured."""

from __future__ import annotations

from typing import Any

import pytest

from edgeface.bench import report
from edgeface.bench.runner import DEFINITIONS


def row(name: str, p50: float, **changes: Any) -> dict[str, Any]:
    times = {"p50": p50, "p90": p50 * 1.1, "p99": p50 * 2, "mean": p50, "std": p50 / 10}
    return {
        "name": name,
        "what": "bundle",
        "mode": "float32",
        "kind": "measured",
        "runtime": "tflite-runtime 2.14.0",
        "delegate": {"name": "XNNPACK", "operators": 164, "of": 164, "evidence": ""},
        "runs": 200,
        "latency_ms": times,
        "fps": 1000 / p50,
        "cold_start_ms": 300.0,
        "first_inference_ms": 1.2,
        "peak_rss_mb": 80.0,
        "file_bytes": 4_500_000,
        "accuracy": None,
        "ratio": {"value": 41.234, "low": 39.9, "high": 42.55},
        **changes,
    }


@pytest.fixture
def result() -> dict[str, Any]:
    measured = {"top1": 0.91234, "images": 500, "data": "people", "split": "val"}
    return {
        "date": "2030-01-01T00:00:00+00:00",
        "edgeface": "0.1.0",
        "machine": {"cpu": "A very long processor name " * 5, "cores": 2, "arch": "x86_64", "features": ["avx2", "fma"],
                    "os": "Linux 6", "python": "3.11.7"},
        "settings": {"device": "cpu", "threads": 1},
        "definitions": DEFINITIONS,
        "warnings": ["noise: load average 3.0"],
        "rows": [
            row("teacher", 123.4, what="run", ratio=None, runtime="TensorFlow 2.21.0", accuracy=measured,
                delegate={"name": "none", "operators": None, "of": None, "evidence": ""}),
            row("a-bundle-whose-name-" + "x" * 80, 2.994),
            row("small", 0.08, peak_rss_mb=None),
        ],
    }  # fmt: skip


def test_text_fits_and_is_aligned(result: dict[str, Any]) -> None:
    text = report.text(result)
    assert max(map(len, text.splitlines())) <= 120
    tables = [block.splitlines() for block in text.split("\n\n") if block.startswith("model")]
    assert len(tables) == 2
    for table in tables:
        assert len(table) == 5
        starts = [index for index, mark in enumerate(table[1]) if mark == "-" and table[1][index - 1 : index] != "-"]
        for line in table[2:]:
            assert all(line[start - 2 : start] == "  " for start in starts[1:])


def test_text_says_everything(result: dict[str, Any]) -> None:
    text = report.text(result)
    for part in (
        "41.2x (39.9-42.5)", "91.23 %", "not measured", "XNNPACK 164/164 ops", "Keras float32", "measured",
        "noise: load average", "500 images: people, split val", "tflite-runtime 2.14.0", "2.99", "123", "4.50",
    ):  # fmt: skip
        assert part in text


def test_markdown_has_the_same_cells(result: dict[str, Any]) -> None:
    lines = report.markdown(result).splitlines()
    cells = [line for line in lines if line.startswith("|")]
    assert len(cells) == 10
    assert len({line.count("|") for line in cells[:5]}) == 1
    assert "x" * 80 in cells[3]
    assert "- noise: load average 3.0" in lines


def test_one_row_has_no_word_on_ratios(result: dict[str, Any]) -> None:
    result["rows"] = result["rows"][:1]
    assert "vs first:" not in report.text(result)
