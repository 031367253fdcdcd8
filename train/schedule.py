"""Learning rate and BatchNorm momentum by the length of the run."""

from __future__ import annotations

import math
import sys

from edgeface.recipe import Recipe, Stage


def learning_rate(recipe: Recipe, stage: Stage, step: int, stage_steps: int, steps_before: int) -> float:
    """The learning rate of step `step` (from 0) of a stage of `stage_steps`, after `steps_before` earlier steps.

    The exponential schedule counts steps over all stages, as the reference does; cosine falls to 0 in each stage.
    """
    rate = stage.learning_rate
    if recipe.schedule == "exponential":  # decayed first, so that the warm-up ends where the schedule is
        rate *= recipe.decay_rate ** ((steps_before + step) // recipe.decay_steps)
    if step < recipe.warmup_steps:
        return rate * (step + 1) / recipe.warmup_steps
    if recipe.schedule == "cosine":
        length = max(1, stage_steps - recipe.warmup_steps)
        return rate * 0.5 * (1 + math.cos(math.pi * (step - recipe.warmup_steps) / length))
    return rate


def warn_of_warmup(recipe: Recipe, steps_per_epoch: int) -> None:
    """Say on standard error that a stage ends before its warm-up does, so that it hardly learns."""
    for number, stage in enumerate(recipe.stages):
        steps = stage.epochs * steps_per_epoch
        if 0 < steps <= recipe.warmup_steps:
            sys.stderr.write(
                f"warning: stage{number} has {steps} steps, all of them warm-up (warmup_steps={recipe.warmup_steps}); "
                "give it more epochs, or --set warmup_steps=0\n"
            )


def batch_norm_momentum(recipe: Recipe, steps_per_epoch: int) -> float:
    """The recipe's momentum, or one whose averages settle within half an epoch (at least 10 steps)."""
    if recipe.batch_norm_momentum:
        return recipe.batch_norm_momentum
    window = min(200.0, max(10.0, steps_per_epoch / 2))
    return round(1 - 1 / window, 4)
