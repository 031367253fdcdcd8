"""The recipe of a last round of pruning that is longer than the others, and gives back what they took."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from edgeface.errors import UsageError
from edgeface.recipe import Recipe, load_recipe
from edgeface.train.recipes import recipe_path


def last_round_recipe(path: Path, epochs: int, overrides: list[str] | None, base: Recipe) -> Recipe:
    """The recipe of a round at `path`, but for so many epochs, at the rate, with the warm-up and on as many stored
    teacher views as the recipe 'longer' has. What the user's `overrides` say otherwise holds.

    Raises UsageError for a recipe that trains in more than stage 1.
    """
    longer = load_recipe(recipe_path("longer")[0], "student")
    one = load_recipe(path, "student", overrides, base)
    if not one.stage1.epochs or one.epochs != one.stage1.epochs:
        raise UsageError("--last-epochs: the recipe of a round must train in stage 1 alone, as 'prune' does")
    patience = [f"stage1.learning_rate={longer.stage1.learning_rate}", f"warmup_steps={longer.warmup_steps}"]
    if one.distillation.views:
        patience.append(f"distillation.views={max(one.distillation.views, longer.distillation.views)}")
    asked = [*patience, *(overrides or []), f"stage1.epochs={epochs}"]
    description = f"The last round of 'edgeface prune', {epochs} epoch{'s' * (epochs != 1)} long."
    return replace(load_recipe(path, "student", asked, base), description=description)
