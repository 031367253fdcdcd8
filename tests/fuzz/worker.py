"""The process that opens hostile files: one job a line in, one answer a line out. Its death is an answer too."""

from __future__ import annotations

import json
import os
import resource
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from tests.fuzz.kills import check_after_kill

Answer = tuple[str, str]
"""Outcome ("done", "refused" or "traceback") and its reason."""


def open_bundle(job: dict[str, Any]) -> Answer:
    """Load a bundle and use it."""
    from edgeface.embedder import Recognizer

    recognizer = Recognizer(job["path"])
    size = recognizer.bundle.face_input.size
    recognizer.predict([np.zeros((size, size, 3), np.uint8)], prepared=True)
    return "done", ""


def read_recipe(job: dict[str, Any]) -> Answer:
    """Load a recipe; one that loads must be a recipe: written out and read again it stays the same."""
    from edgeface.recipe import load_recipe, to_toml

    recipe = load_recipe(Path(job["path"]), job["kind"])
    again = Path(job["path"]).with_suffix(".again.toml")
    again.write_text(to_toml(recipe), encoding="utf-8")
    if load_recipe(again, job["kind"]) != recipe:
        raise ValueError("a recipe that was read is written as another one")
    return "done", ""


def command(job: dict[str, Any]) -> Answer:
    """An `edgeface` command as a user runs it. With `output` the reason is what it printed when it went well."""
    from typer.testing import CliRunner

    from edgeface.cli import app

    result = CliRunner().invoke(app, job["arguments"])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    if result.exit_code not in (0, 1, 2) or "Traceback" in result.output:
        return "traceback", f"exit code {result.exit_code}: {result.output[-300:]}"
    if result.exit_code == 0 and job.get("output"):
        return "done", result.stdout
    lines = result.stderr.strip().splitlines()
    return "done" if result.exit_code == 0 else "refused", lines[-1] if lines else ""


def commands(_: dict[str, Any]) -> Answer:
    """The names of the commands that this version has."""
    from typer.main import get_command

    from edgeface.cli import app

    return "done", " ".join(sorted(get_command(app).commands))  # type: ignore[attr-defined]


TARGETS: dict[str, Callable[[dict[str, Any]], Answer]] = {
    "bundle": open_bundle, "recipe": read_recipe, "command": command, "commands": commands,
    "after-kill": check_after_kill,
}  # fmt: skip


def main() -> None:
    """Answer jobs until standard input ends. Answers go to a copy of standard output, which the jobs do not see."""
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    from edgeface.errors import EdgeFaceError

    for line in sys.stdin:
        job = json.loads(line)
        try:
            outcome, reason = TARGETS[job["target"]](job)
        except EdgeFaceError as error:
            outcome, reason = "refused", str(error)
        except Exception:
            outcome, reason = "traceback", traceback.format_exc(limit=-4)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
        answers.write(json.dumps({"outcome": outcome, "reason": reason, "peak_mb": peak}) + "\n")


if __name__ == "__main__":
    main()
