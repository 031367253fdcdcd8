"""The table of the compression figures, from results as the commands print them."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "bench" / "results" / "compression.py"


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("compression_table", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def quantized(accuracy: float, *, before: float = 0.9, p1: float = 0.99, size: int = 500_000) -> dict:
    return {
        "accuracy": accuracy, "float_accuracy": before, "images": 100, "bytes": size, "cosine": {"p1": p1},
        "seconds": {"training": 900.0, "converting": 40.0, "loading": 10.0}, "bundle": "/somewhere/else",
    }  # fmt: skip


def cell(text: str, title: str) -> list[str]:
    """The cells of the row that begins so."""
    line = next(line for line in text.splitlines() if line.startswith(f"| {title}"))
    return [part.strip() for part in line.strip("|").split("|")]


RESULTS = {
    "student-int8-s0": quantized(0.88),
    "teacher": {"network": "squeezenext_23v5", "build": {"width": 2.0}, "figures": {"val_accuracy": 0.92}},
    "peer": {"epochs": 3},
    "pruned60-taught-long-int8-s0": quantized(0.88, before=0.89),
    "pruned60-taught-long-int8-s1": quantized(0.86, before=0.91),
    "pruned60-taught-int8-s0": quantized(0.86, before=0.87),
    "pruned60-alone-int8-s0": quantized(0.80, before=0.86),
    "pruned60-alone-long-int8-s0": quantized(0.80, before=0.86),
    "pruned40-taught-long-int8-s0": quantized(0.85, size=650_000),
    "student-qat-taught-s0": quantized(0.89, p1=0.97),
    "student-qat-alone-s0": quantized(0.885),
    "timed-int8": quantized(0.9),
    "seconds-timed-int8": {"wall": 95},
    "timed-qat": quantized(0.9),
    "bench-pruned": {
        "machine": {"cpu": "Some CPU", "features": ["avx2", "avx512_vnni"]},
        "rows": [{"name": "a"}, {"name": "pruned60-x", "ratio": {"value": 1.4, "low": 1.3, "high": 1.5}}]
    },
    "budget": {
        "budget": ["size<=600KB", "drop<=1"], "last_epochs": 60, "chosen": "keep-0.5-int8",
        "bundle": "/somewhere/else",
        "tries": [
            {"try": "keep-1-int8", "accuracy": None, "drop": None, "size": 9e5, "macs": 4e7, "speedup": 1.0,
             "verdict": "not trained: breaks size<=600KB"},
            {"try": "keep-0.5-int8", "accuracy": 0.88, "drop": 0.5, "size": 5e5, "macs": 2e7, "speedup": 1.5,
             "verdict": "fits"},
        ],
    },
    "bench-peer": {
        "rows": [
            {"name": "mobile", "accuracy": {"top1": 0.8}, "ratio": None},
            {"name": "own", "accuracy": {"top1": 0.9}, "ratio": {"value": 5.0, "low": 4.9, "high": 5.1}},
        ]
    },
}  # fmt: skip
"""What the commands print, cut to what the table reads."""


PRUNED_TWICE = [
    {"name": f"pruned60-s{seed}", "ratio": {"value": ratio, "low": 1.0, "high": 2.0}}
    for seed, ratio in enumerate((1.2, 1.3))
]


def test_empty(script, tmp_path):
    script.main(tmp_path, tmp_path)
    text = (tmp_path / "compression.md").read_text()
    assert cell(text, "its int8 fps")[2:] == ["not measured", ""]
    assert "yes" not in text


def test_means_spread_and_verdicts(script, tmp_path):
    work = tmp_path / "work"
    work.mkdir()
    for name, result in RESULTS.items():
        (work / f"{name}.json").write_text(json.dumps(result))
    script.main(work, tmp_path)
    text = (tmp_path / "compression.md").read_text()
    assert "one thread of Some CPU, with avx512_vnni." in text
    # 90 % before; 89 and 91 % after: 1 and -1 points lost.
    assert cell(text, "1.0 pruned to 60 % of MACs")[2:] == ["0.00 +- 1.41 (2 runs)", "yes"]
    assert cell(text, "pruned to 60 %, taught")[2:] == ["3.00 (one run)", ""]
    assert cell(text, "pruned to 60 % without a teacher")[2:] == ["4.00 (one run)", ""]
    assert cell(text, "1.0 pruned to 60 % without a teacher, trained on")[2:] == ["4.00 (one run)", "yes"]
    assert cell(text, "its int8 fps")[2:] == ["1.40x (1.30-1.50)", "yes"]
    again = script.collect({**RESULTS, "bench-pruned": {"rows": [{"name": "a"}, *PRUNED_TWICE]}})
    assert cell(script.render(again), "its int8 fps")[2:] == ["1.250 +- 0.071 (2 runs)", "NO"]
    assert cell(text, "1.0 pruned to 40 %")[2:] == ["5.00 (one run)", "NO"]
    assert cell(text, "its file")[2:] == ["650 (one run)", "NO"]
    assert cell(text, "qat with the teacher")[3] == "yes"
    assert cell(text, "gentle qat with the teacher")[2:] == ["not measured", ""]
    assert cell(text, "its embedding cosine")[2:] == ["0.9700 (one run)", "NO"]
    assert cell(text, "1.0 int8 against MobileFaceNet")[2:] == ["5.00x (4.90-5.10)", "yes"]
    assert "90.00 % top-1 in float32 on 100 validation images. Teacher: 2.0-SqNxt-23v5 of 92.00 %." in text
    assert cell(text, "their accuracy, trained alike for 3 epochs")[2] == "90.00 % / 80.00 %"
    assert '--budget "size<=600KB, drop<=1" --last-epochs 60`: chosen is keep-0.5-int8' in text
    assert cell(text, "keep-0.5-int8") == ["keep-0.5-int8", "88.00 %", "0.50", "500", "20.0", "1.50x", "fits"]
    assert cell(text, "keep-1-int8")[1:3] == ["", ""]
    assert cell(text, "quantize --mode int8")[2:] == ["95 (one run)", "NO"]
    assert cell(text, "qat conversion")[2:] == ["50 (one run)", "yes"]
    assert "/somewhere" not in (tmp_path / "compression.json").read_text()
