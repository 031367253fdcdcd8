"""Comparing two results: what changed, and which conditions that meets."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from edgeface.bench import compare
from edgeface.errors import UsageError


def failures(old: dict[str, Any], new: dict[str, Any], *conditions: str) -> list[tuple[str, str]]:
    found = compare.compare(old, new, compare.parse_conditions(conditions))
    return [(condition.text, change.row) for condition, change in found.failed]


@pytest.fixture
def slower(result: dict[str, Any]) -> dict[str, Any]:
    """The same with `small` on rpi4 10 % slower and `small` on cpu 0.6 points less accurate."""
    new = copy.deepcopy(result)
    board = new["rows"][3]
    board["ms"] *= 1.1
    board["fps"] /= 1.1
    new["rows"][2]["accuracy"]["top1"] -= 0.006
    return new


def test_equal_results_fail_nothing(result: dict[str, Any]) -> None:
    assert failures(result, copy.deepcopy(result), "fps<1x", "accuracy<0", "latency>1x", "size>0") == []


def test_the_rows_that_changed_fail(result: dict[str, Any], slower: dict[str, Any]) -> None:
    assert failures(result, slower, "fps<0.95x", "accuracy<-0.5") == [
        ("fps<0.95x", "small on rpi4"),
        ("accuracy<-0.5", "small on cpu"),
    ]
    assert failures(result, slower, "fps<0.9x", "accuracy<-0.7", "size>1.01x") == []
    assert failures(result, slower, "latency>1") == [("latency>1", "small on rpi4")]
    assert failures(slower, result, "fps<0.95x") == []


def test_instruction_counts_decide_where_both_have_them(result: dict[str, Any], slower: dict[str, Any]) -> None:
    result["rows"][3]["details"] = {"instructions": 100_000_000}
    slower["rows"][3]["details"] = {"instructions": 100_001_000.0}
    assert failures(result, slower, "fps<0.95x") == []
    slower["rows"][3]["details"] = {"instructions": 110_000_000}
    assert failures(result, slower, "fps<0.95x", "instructions>1.05x") == [
        ("fps<0.95x", "small on rpi4"),
        ("instructions>1.05x", "small on rpi4"),
    ]
    text = compare.text(compare.compare(result, slower, []))
    assert "(0.909x by instruction count, calibrated-estimate, now within 66.67-100)" in text


def test_a_row_that_no_longer_runs_fails(result: dict[str, Any]) -> None:
    new = copy.deepcopy(result)
    new["rows"][3] |= {"ms": None, "band_ms": None, "fps": None, "fps_band": None, "fits": False}
    assert failures(result, new, "latency>2x") == [("latency>2x", "small on rpi4")]
    assert "no time any more" in compare.text(compare.compare(result, new, []))


def test_times_of_another_backend_cannot_pass(result: dict[str, Any]) -> None:
    old = copy.deepcopy(result)
    old["rows"][3]["backend"] = "arm-emulation"
    conditions = compare.parse_conditions(["fps<0.95x", "latency>1.05x", "size>1.01x"])
    found = compare.compare(old, result, conditions)
    title = f"{result['rows'][3]['name']} on rpi4"
    assert [(condition.metric, change.row) for condition, change in found.failed] == [
        ("fps", title),
        ("latency", title),
    ]
    assert (
        "by arm-emulation before and by profile now: not comparable, calibrated-estimate, now within"
        in compare.text(found)
    )
    assert failures(old, result, "instructions>1.01x") == [("instructions>1.01x", title)]
    old["rows"], only = [old["rows"][3]], {**result, "rows": [result["rows"][3]]}
    assert len(compare.compare(old, only, conditions).failed) == 2


def test_rows_apart_and_other_machines_are_said(result: dict[str, Any]) -> None:
    new = copy.deepcopy(result)
    new["machine"]["cpu"] = "another"
    new["rows"][3]["device"] = "rpi5"
    remarks = compare.compare(result, new, []).remarks
    assert remarks[:2] == ("only in the old result: small on rpi4", "only in the new result: small on rpi5")
    assert "different machines" in remarks[2]


@pytest.mark.parametrize("other", [{"images": 40}, {"data": "crowd"}, {"split": "test"}])
def test_accuracies_over_other_images_cannot_pass(result: dict[str, Any], other: dict[str, Any]) -> None:
    new = copy.deepcopy(result)
    new["rows"][2]["accuracy"] = {**new["rows"][2]["accuracy"], **other}
    assert failures(result, new, "accuracy<-0.5", "size>1.01x") == [("accuracy<-0.5", "small on cpu")]
    assert "on 500 images of people, val before and on" in compare.text(compare.compare(result, new, []))


@pytest.mark.parametrize(
    ("other", "said"),
    [
        ({"cores": 96}, "cores 2 and 96"),
        ({"features": ["avx2", "fma", "avx512_vnni"]}, "only one has avx512_vnni"),
        ({"memory_mb": 8000}, "memory 4000 and 8000 MB"),
    ],
)
def test_processors_of_one_name_may_be_of_two_machines(
    result: dict[str, Any], other: dict[str, Any], said: str
) -> None:
    result["machine"]["memory_mb"] = 4000
    new = copy.deepcopy(result)
    new["machine"] |= {"memory_mb": 4020, "os": "Linux 7"}  # another kernel
    assert not compare.compare(result, new, []).remarks
    new["machine"] |= other
    assert compare.compare(result, new, []).remarks == (
        f"measured on different machines: {said}; times cannot be compared",
    )


def test_what_is_added_to_names_does_not_keep_rows_apart(result: dict[str, Any]) -> None:
    new = copy.deepcopy(result)
    for row, added in zip(new["rows"], (" (1 thread)", " (tflite)", " (tflite, 1 thread)", " #2"), strict=False):
        row["name"] += added
    assert not compare.compare(result, new, []).remarks
    new["rows"][1]["name"] = result["rows"][1]["name"] + " (old)"
    assert len(compare.compare(result, new, []).remarks) == 2


def test_bundles_of_one_name_are_told_apart_by_their_models(result: dict[str, Any]) -> None:
    small = result["rows"][2]
    result["rows"] = [{**small, "sha256": "a"}, {**small, "name": "small #2", "sha256": "b", "file_bytes": 9}]
    new = copy.deepcopy(result)
    new["rows"] = [{**small, "sha256": "b", "file_bytes": 9}, {**small, "name": "small #2", "sha256": "c"}]
    assert failures(result, new, "size>1.01x", "fps<0.9x") == []
    assert not compare.compare(result, new, []).remarks


def test_a_runtime_update_is_still_the_same_row(result: dict[str, Any]) -> None:
    new = copy.deepcopy(result)
    new["rows"][1]["runtime"] = "tflite-runtime 2.15.0"
    assert not any("a-bundle" in remark for remark in compare.compare(result, new, []).remarks)


def test_checks_that_could_not_fail_are_refused(result: dict[str, Any]) -> None:
    other = copy.deepcopy(result)
    for row in other["rows"]:
        row["accuracy"] = None
    with pytest.raises(UsageError, match="measure both with --data"):
        failures(result, other, "accuracy<-0.5")
    for row in other["rows"]:
        row["device"] = "elsewhere"
    with pytest.raises(UsageError, match="no row in common"):
        failures(result, other)


@pytest.mark.parametrize("text", ["fps", "fps<", "fps=1", "speed<1x", "fps<0.95y", "fps<nan", "", "accuracy<--1"])
def test_conditions_that_say_nothing(text: str) -> None:
    with pytest.raises(UsageError, match="write METRIC<LIMIT"):
        compare.parse_conditions([text])
