"""Reading results back: only whole ones, each field described."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from edgeface.bench import document
from edgeface.errors import UsageError

DESCRIPTION = Path(__file__).resolve().parents[2] / "bench" / "RESULT.md"


def test_a_result_reads_back(result: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "r.json"
    path.write_text(json.dumps(result))
    assert document.read(path) == result


def test_damaged_results_are_refused(result: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "r.json"
    whole = json.dumps(result)
    bare = json.loads(whole)
    bare["rows"][3]["band_ms"] = None
    kind = json.loads(whole)
    kind["rows"][0]["kind"] = "guess"
    lacking = json.loads(whole)
    del lacking["rows"][2]["fps"]
    odd = json.loads(whole)
    odd["rows"][0]["ms"] = "fast"
    timeless = json.loads(whole)
    timeless["rows"][0]["latency_ms"] = None
    edited = {}
    for name, value in (("accuracy", {}), ("memory", {"arena": "big"}), ("ratio", {"value": 1})):
        edited[name] = json.loads(whole)
        edited[name]["rows"][1][name] = value
    for content, message in (
        (json.dumps({**result, "machine": {}}), "machine lacks cpu"),
        (json.dumps({**result, "settings": {}}), "settings lacks devices"),
        (json.dumps(edited["accuracy"]), "row 2: accuracy lacks top1"),
        (json.dumps(edited["memory"]), "row 2: memory is"),
        (json.dumps(edited["ratio"]), "row 2: ratio lacks low"),
        (whole[: len(whole) // 2], "cannot be read"),
        ("[]", "is not a result"),
        (json.dumps({**result, "version": 1}), "version 1, this EdgeFace reads 2"),
        (json.dumps({**result, "rows": []}), "no rows"),
        (json.dumps({key: value for key, value in result.items() if key != "machine"}), "machine is missing"),
        (json.dumps(bare), "row 4: a time without its error band"),
        (json.dumps(kind), "kind 'guess' is none of"),
        (json.dumps(lacking), "row 3 lacks fps"),
        (json.dumps(odd), "row 1: ms is 'fast'"),
        (json.dumps({**result, "warnings": None}), "warnings and notes are lists"),
        (json.dumps(timeless), "row 1: measured, without its latency_ms"),
    ):
        path.write_text(content)
        with pytest.raises(UsageError, match=message):
            document.read(path)
    with pytest.raises(UsageError, match="no such file"):
        document.read(tmp_path / "nothing.json")


def test_every_field_is_described() -> None:
    text = DESCRIPTION.read_text(encoding="utf-8")
    missing = [name for name in (*document.DOCUMENT_FIELDS, *document.ROW_FIELDS) if f"`{name}`" not in text]
    assert missing == []
    assert f"version {document.VERSION}" in text
