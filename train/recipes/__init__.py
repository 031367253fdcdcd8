"""The shipped recipes (the TOML files beside this one), and which recipe a command means. Needs no TensorFlow."""

from __future__ import annotations

import json
from pathlib import Path

from edgeface.errors import RecipeError, RunError
from edgeface.recipe import Recipe, load_recipe

RECIPES = Path(__file__).parent


def recipe_path(name: str) -> tuple[Path, str]:
    """The file and the short name of a shipped recipe ('cpu') or of a user's TOML file. Raises RecipeError."""
    shipped = RECIPES / f"{name.removesuffix('.toml')}.toml"
    if shipped.is_file() and not Path(name).is_file():
        return shipped, shipped.stem
    if not Path(name).is_file():
        raise RecipeError(f"{name}: no such recipe; shipped are {', '.join(shipped_recipes())}, or give a TOML file")
    return Path(name), Path(name).stem


def shipped_recipes() -> dict[str, str]:
    """The shipped recipes' names and descriptions."""
    return {path.stem: load_recipe(path, "student").description for path in sorted(RECIPES.glob("*.toml"))}


def read_resumed(run: Path, role: str, overrides: list[str], recipe: str | None = None) -> tuple[Recipe, str]:
    """The recipe a run was started with and its name. Overrides and the name of another are refused: a resumed run
    must not change.

    Raises RunError when the folder holds no run, RecipeError when its recipe is damaged.
    """
    if overrides:
        raise RecipeError(f"--resume goes on with {run / 'recipe.toml'} as it is; leave out --set and --precision")
    try:
        name = json.loads((run / "run.json").read_text(encoding="utf-8"))["recipe"]
    except (OSError, ValueError, KeyError, TypeError):
        raise RunError(f"{run}: holds no run to resume; start it without --resume") from None
    if recipe is not None and Path(recipe).stem != name:
        raise RecipeError(
            f"--resume goes on with {run / 'recipe.toml'}, made from '{name}'; leave out --recipe {recipe}"
        )
    return load_recipe(run / "recipe.toml", role, trains=False), str(name)
