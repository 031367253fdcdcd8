"""What of a recipe counts: where it differs from the defaults, and what training comes to at all."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, is_dataclass, replace
from typing import Any

from edgeface.recipe import Distillation, Recipe, Stage


def changed_fields(instance: Any) -> dict[str, Any]:
    """The fields of a recipe (or a part of one) that differ from their defaults."""
    changed: dict[str, Any] = {}
    default = type(instance)()
    for item in fields(instance):
        value, usual = getattr(instance, item.name), getattr(default, item.name)
        if is_dataclass(value):
            inner = changed_fields(value)
            changed |= {item.name: inner} if inner else {}
        elif value != usual:
            changed[item.name] = value
    return changed


def flat(table: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """The fields of nested tables as (dotted name, value)."""
    for name, value in table.items():
        if isinstance(value, dict):
            yield from flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def what_counts(recipe: Recipe, taught: bool) -> Recipe:
    """The recipe without what training never comes to: words, stages of 0 epochs and, for plain runs, a teacher."""
    bare = replace(recipe, description="") if taught else replace(recipe, description="", distillation=Distillation())
    idle: dict[str, Any] = {f"stage{number}": Stage() for number, stage in enumerate(recipe.stages) if not stage.epochs}
    return replace(bare, **idle)
