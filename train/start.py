"""A trained network that training goes on from, instead of a random one."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from edgeface.errors import UsageError
from edgeface.face_input import FaceInput
from edgeface.models.summary import sparsity
from edgeface.recipe import Recipe
from edgeface.train.step import Learner


@dataclass(frozen=True)
class Start:
    """A trained network to go on from: `shape` are its arguments of SHAPE, `facts` what `run.json` says of it besides.

    `prepare` gives the learner its weights, also when a run is resumed; what it returns is called after every step.
    `face_input` is what the weights were trained on, where a run of 0 epochs may be asked for.
    """

    network: str
    shape: dict[str, Any]
    prepare: Callable[[Learner], Callable[[], None] | None]
    facts: dict[str, Any]
    face_input: FaceInput | None = None

    def check(self, recipe: Recipe, face_input: FaceInput) -> None:
        """Refuse to take weights as they are for other images than theirs: nothing would make them fit."""
        if not recipe.epochs and self.face_input not in (None, face_input):
            raise UsageError(
                "--init: with 0 epochs the run must see the images that its weights know: "
                f"--set size={self.face_input.size}, and photos cropped as theirs"
            )

    def begin(self, learner: Learner) -> Callable[[], None] | None:
        """`prepare`, with a warning of zeros that training fills: the download of a sparse network grows again."""
        after_step = self.prepare(learner)
        zeros = sparsity(learner.model) if after_step is None and learner.recipe.epochs else 0.0
        if zeros:
            sys.stderr.write(
                f"warning: {100 * zeros:.0f} % of the weights are zero, and training does not keep them so; for a "
                "sparse network prune with --unstructured or --pattern last\n"
            )
        return after_step
