"""`--budget "size<=600KB, drop<=1.0, fps>=1.5x"`: what a compressed network may cost and must give."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass

from edgeface.errors import UsageError

EXAMPLE = 'for example "size<=600KB, drop<=1.0, fps>=1.5x"'
_SIZES = {"b": 1.0, "kb": 1e3, "mb": 1e6, "kib": 1024.0, "mib": 1024.0**2}
_UNITS: Mapping[str, Mapping[str, float]] = {
    "size": _SIZES,
    "drop": {"": 1.0, "points": 1.0},
    "accuracy": {"": 0.01, "%": 0.01},
    "macs": {"": 1.0, "m": 1e6},
    "fps": {"": 1.0, "x": 1.0},
}
_MOST = {"size", "drop", "macs"}
"""These are limited from above (<=), the others from below (>=)."""
_CLAUSE = re.compile(r"\s*([a-zA-Z]+)\s*(<=|>=|<|>|=)\s*([0-9.eE+-]+)\s*([a-zA-Z%]*)\s*")


@dataclass(frozen=True)
class Clause:
    """One limit: `name` is `size` (bytes), `drop` (points of accuracy lost to the run), `accuracy` (0..1), `macs`,
    `fps` or `speedup` (times the fps of the run in int8). `text` is what the user wrote."""

    name: str
    limit: float
    text: str

    def violation(self, facts: Mapping[str, float | None]) -> float:
        """By what share of the limit these facts break it; 0 when they hold it, infinite when they lack the figure."""
        value = facts.get(self.name)
        if value is None or math.isnan(value):
            return math.inf
        # A hair of tolerance: 2 of 200 images are a drop of 1.0, whatever the binary fractions say.
        over = (value - self.limit) if self.name in _MOST else (self.limit - value)
        return over / max(abs(self.limit), 1e-9) if over > 1e-9 * max(abs(self.limit), 1.0) else 0.0


@dataclass(frozen=True)
class Budget:
    """All limits, which must hold together."""

    clauses: tuple[Clause, ...]

    def broken(self, facts: Mapping[str, float | None], slack: float = 0.0) -> tuple[Clause, ...]:
        """The limits that these facts do not hold, by more than the share `slack` of each."""
        return tuple(clause for clause in self.clauses if clause.violation(facts) > slack)

    def shape(self) -> Budget:
        """The limits that a network's shape alone decides, before anything is trained."""
        return Budget(tuple(clause for clause in self.clauses if clause.name not in ("drop", "accuracy")))

    def distance(self, facts: Mapping[str, float | None]) -> float:
        """How far the facts are from the budget: the sum of the violations, 0 when they fit."""
        return sum(clause.violation(facts) for clause in self.clauses)

    @property
    def needs_fps(self) -> bool:
        """Whether any limit is on speed."""
        return any(clause.name in ("fps", "speedup") for clause in self.clauses)

    def limit(self, name: str) -> float | None:
        """The limit of that name, None when there is none."""
        return next((clause.limit for clause in self.clauses if clause.name == name), None)


def parse_budget(text: str) -> Budget:
    """Read a budget. Raises UsageError, naming the part that cannot be read and what it may be."""
    clauses = [_clause(part) for part in text.split(",") if part.strip()]
    if not clauses:
        raise UsageError(f"--budget {text!r} is empty; give limits with commas between, {EXAMPLE}")
    names = [clause.name for clause in clauses]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise UsageError(f"--budget names {twice[0]} twice; give each limit once")
    return Budget(tuple(clauses))


def _clause(part: str) -> Clause:
    found = _CLAUSE.fullmatch(part)
    if not found:
        raise UsageError(f"--budget: cannot read {part.strip()!r}; write name<=number or name>=number, {EXAMPLE}")
    name, sign, number, unit = found.groups()
    name = name.lower()
    if name not in _UNITS:
        raise UsageError(f"--budget: {name!r} cannot be limited; choose from {', '.join(_UNITS)}")
    wanted = "<=" if name in _MOST else ">="
    if sign != wanted:
        raise UsageError(f"--budget: write {name}{wanted}, not {name}{sign}")
    if unit.lower() not in _UNITS[name]:
        shown = {"kib": "KiB", "mib": "MiB", "m": "M"}
        units = " or ".join(shown.get(key, key.upper() if name == "size" else key) for key in _UNITS[name] if key)
        raise UsageError(f"--budget: {part.strip()!r} needs the unit {units}, not {unit!r}")
    try:
        limit = float(number) * _UNITS[name][unit.lower()]
    except ValueError:
        raise UsageError(f"--budget: {number!r} in {part.strip()!r} is not a number") from None
    if not math.isfinite(limit) or limit < 0 or (limit == 0 and name != "drop"):
        allowed = "0 or more" if name == "drop" else "above 0"
        raise UsageError(f"--budget: the limit in {part.strip()!r} must be a finite number, {allowed}")
    if name == "accuracy" and not 0.01 < limit <= 1:
        raise UsageError(
            f"--budget: accuracy is in percent, over 1 and up to 100: not {part.strip()!r}, but accuracy>=85"
        )
    return Clause("speedup" if name == "fps" and unit.lower() == "x" else name, limit, part.strip())
