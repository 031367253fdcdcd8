"""Budgets as text, and the front of what was tried."""

from __future__ import annotations

import math

import pytest

from edgeface.compress.budget import parse_budget
from edgeface.compress.pareto import draw, pareto_front, table
from edgeface.errors import UsageError


def test_reads_limits_and_units():
    budget = parse_budget("size<=600KB, drop <= 1.0,fps>=1.5x, macs<=40M, accuracy>=85%")
    assert {clause.name: clause.limit for clause in budget.clauses} == {
        "size": 600_000,
        "drop": 1.0,
        "speedup": 1.5,
        "macs": 40e6,
        "accuracy": 0.85,
    }
    assert parse_budget("size<=1MiB").limit("size") == 1024**2
    assert parse_budget("fps>=30").limit("fps") == 30
    assert [clause.name for clause in budget.shape().clauses] == ["size", "speedup", "macs"]


def test_what_is_broken_and_how_far():
    budget = parse_budget("size<=500KB, drop<=1, fps>=2x")
    fitting = {"size": 5e5, "drop": 1.0 + 1e-12, "speedup": 2.0}
    assert budget.broken(fitting) == ()
    assert budget.distance(fitting) == 0
    facts = {"size": 6e5, "drop": 3.0, "speedup": 1.5}
    assert [clause.name for clause in budget.broken(facts)] == ["size", "drop", "speedup"]
    assert budget.distance(facts) == pytest.approx(0.2 + 2.0 + 0.25)
    assert math.isinf(budget.distance({"size": 1.0, "drop": None, "speedup": 3.0}))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        ("size<=600", "needs the unit B or KB"),
        ("size>=600KB", "write size<=, not size>="),
        ("fps<=3", "write fps>="),
        ("fps>3", "write fps>="),
        ("weight<=3", "'weight' cannot be limited; choose from size, drop"),
        ("small please", "cannot read 'small please'"),
        ("drop<=1, drop<=2", "names drop twice"),
        ("fps>=0x", "must be a finite number, above 0"),
        ("drop<=-1", "must be a finite number, 0 or more"),
        ("size<=1e999KB", "must be a finite number"),
        ("drop<=1e", "is not a number"),
        ("fps>=2KB", "needs the unit x"),
        ("accuracy>=0.85", "accuracy is in percent"),
        ("accuracy>=850", "accuracy is in percent"),
    ],
)
def test_refuses_what_it_cannot_read(text, message):
    with pytest.raises(UsageError, match=message):
        parse_budget(text)


def row(name: str, accuracy: float | None, size: float, fps: float | None) -> dict:
    return {
        "try": name, "accuracy": accuracy, "drop": None, "size": size, "macs": 1e6, "fps": fps, "speedup": None,
        "verdict": "",
    }  # fmt: skip


def test_front(tmp_path):
    tries = [
        row("best", 0.9, 1000, 10),
        row("beaten", 0.8, 1000, 10),
        row("small", 0.7, 500, 10),
        row("fast", 0.6, 1000, 30),
        row("untrained", None, 100, 90),
        row("twin", 0.9, 1000, 10),
    ]
    assert pareto_front(tries) == [0, 2, 3, 5]
    lines = table(tries).splitlines()
    assert len(lines) == 7
    assert "not measured" in lines[5]
    draw(tries, "small", tmp_path / "front.png")
    assert (tmp_path / "front.png").read_bytes()[:4] == b"\x89PNG"
