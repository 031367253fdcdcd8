"""Tables: aligned, at most 120 columns wide, honest about what was not measured, estimates never bare."""

from __future__ import annotations

import csv
import io
from typing import Any

import pytest

from edgeface.bench import cells, report


def test_text_fits_and_is_aligned(result: dict[str, Any]) -> None:
    text = report.text(result)
    assert max(map(len, text.splitlines())) <= 120
    tables = [block.splitlines() for block in text.split("\n\n") if "\nmodel" in "\n" + block]
    assert len(tables) == 5
    for table in tables:
        table = table[table[0][:5] != "model" :]
        starts = [index for index, mark in enumerate(table[1]) if mark == "-" and table[1][index - 1 : index] != "-"]
        for line in table[2:]:
            assert all(line[start - 2 : start] == "  " for start in starts[1:])


def test_text_says_everything(result: dict[str, Any]) -> None:
    text = report.text(result)
    for part in (
        "41.2x (39.9-42.5)", "91.23 %", "not measured", "XNNPACK 164/164 ops", "Keras float32", "measured",
        "noise: load average", "500 images: people, split val", "tflite-runtime 2.14.0", "2.99", "123", "4.50",
        "int8 is slow here", "calibrated-estimate", "needs 2.1 MB of RAM, the board has 1 MB", "(x32)", "1.29",
        "Time by operator: small on cpu", "Time by block: small on cpu", "75.0 %", "by the stopwatch",
    ):  # fmt: skip
        assert part in text


def test_an_estimate_never_stands_without_its_band(result: dict[str, Any]) -> None:
    board, full = result["rows"][3], result["rows"][4]
    assert (cells.time(board), cells.band(board), cells.fps(board)) == ("~12.5", "10.0-15.0", "66.7-100.0")
    assert (cells.time(full), cells.band(full), cells.fps(full)) == ("-", "-", "-")
    for view in (report.text(result), report.markdown(result)):
        line = next(line for line in view.splitlines() if "rpi4" in line and "calibrated-estimate" in line)
        assert "~12.5" in line
        assert "10.0-15.0" in line
        assert "66.7-100.0" in line


def test_an_estimates_operators_have_shares_and_no_times(result: dict[str, Any]) -> None:
    result["rows"][3]["per_op"] = next(row["per_op"] for row in result["rows"] if row["per_op"])
    heads = {title: head for title, head, _ in report.tables(result) if title.startswith("Time by operator")}
    (measured,) = (head for title, head in heads.items() if title.endswith("cpu"))
    (estimated,) = (head for title, head in heads.items() if title.endswith("rpi4"))
    assert measured == ("operator", "number", "us", "share", "")
    assert estimated == ("operator", "number", "share", "")


def test_markdown_has_the_same_cells(result: dict[str, Any]) -> None:
    lines = report.markdown(result).splitlines()
    first = [line for line in lines if line.startswith("|")][:7]
    assert len({line.count("|") for line in first}) == 1
    assert "x" * 80 in first[3]
    assert "- noise: load average 3.0" in lines


def test_csv_holds_plain_numbers(result: dict[str, Any]) -> None:
    rows = list(csv.DictReader(io.StringIO(report.csv_text(result))))
    assert [row["device"] for row in rows] == ["cpu", "cpu", "cpu", "rpi4", "cortex-m7"]
    board, full = rows[3], rows[4]
    assert (float(board["ms"]), float(board["band_low_ms"]), float(board["band_high_ms"])) == (12.5, 10, 15)
    assert float(board["top1"]) == pytest.approx(0.91234)
    assert (full["ms"], full["fps"], full["fits"]) == ("", "", "False")
    assert float(rows[0]["p99_ms"]) == pytest.approx(246.8)
    assert float(rows[1]["rss_init_mb"]) == 75


def test_one_row_has_no_word_on_ratios(result: dict[str, Any]) -> None:
    result["rows"] = result["rows"][:1]
    assert "vs first:" not in report.text(result)


def test_only_simulated_rows_need_no_measured_tables(result: dict[str, Any]) -> None:
    result["rows"] = result["rows"][3:]
    text = report.text(result)
    assert "Measured" not in text
    assert "cortex-m7" in text
