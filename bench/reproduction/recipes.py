"""What of a recipe counts: where it differs from the defaults, what training comes to at all, a run's key."""

from __future__ import annotations

import hashlib
import json
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


def run_key(network: str, recipe: Recipe, data_hash: str, seed: int, teacher: str | None) -> str:
    """`<network>-plain|taught-seed<seed>-<digest>`; fields at their defaults do not count, so new ones change none."""
    settled = changed_fields(recipe)
    settled.pop("description", None)
    if teacher is None:
        settled.pop("distillation", None)
    content = {"network": network, "recipe": settled, "data": data_hash, "seed": seed, "teacher": teacher}
    digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:8]
    kind = "" if network == "teacher" else "-taught" if teacher else "-plain"
    return f"{network}{kind}-seed{seed}-{digest}"


def differences(planned: Recipe, found: Recipe, taught: bool) -> tuple[str, ...]:
    """What an adopted run's recipe has otherwise than the planned one, as `field value, planned value`."""
    ours, theirs = (dict(flat(changed_fields(recipe))) for recipe in (planned, found))
    ignored = "\0" if taught else "distillation."
    names = [name for name in sorted(ours.keys() | theirs.keys()) if not name.startswith(("description", ignored))]
    return tuple(
        f"{name} {theirs.get(name, 'default')}, planned {ours.get(name, 'default')}"
        for name in names
        if ours.get(name) != theirs.get(name)
    )
