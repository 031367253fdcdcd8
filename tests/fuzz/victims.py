"""What is killed: `python -m tests.fuzz.victims TARGET FOLDER BUNDLE RUN DATA` works until it dies.

It prints a line once it works, and one for every piece of work that is done and must survive.
"""

from __future__ import annotations

import itertools
import shutil
import sys
from pathlib import Path
from typing import Any


def say(word: object) -> None:
    """Acknowledge. Straight to the pipe, so that nothing is left in a buffer."""
    sys.__stdout__.write(f"{word}\n")  # type: ignore[union-attr]
    sys.__stdout__.flush()  # type: ignore[union-attr]


def edgeface(*arguments: object) -> None:
    """A command as a user runs it; one that fails ends the child."""
    from typer.testing import CliRunner

    from edgeface.cli import app

    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if result.exit_code != 0:
        raise SystemExit(f"{arguments}: {result.output} {result.exception!r}")


def bundle(folder: Path, source: Path, *_: Path) -> None:
    """Write a bundle and its thresholds again and again; its note counts."""
    from edgeface.bundle import is_bundle, open_bundle, store_thresholds, write_bundle
    from edgeface.thresholds import Threshold

    given, path = open_bundle(source), folder / "bundle"
    model = given.read_model()
    first = int(open_bundle(path).note) + 1 if is_bundle(path) else 1
    say("started")
    for number in itertools.count(first):
        write_bundle(path, model, given.labels, given.face_input, given.mode, note=str(number))
        say(number)
        store_thresholds(path, [Threshold(0.1, 0.5, 0.1, 30 + number, 10, "drawn")])
        say(number)


def quantize(folder: Path, _: Path, run: Path, data: Path) -> None:
    """Quantize a run onto the same bundle again and again."""
    import tf_keras  # noqa: F401

    say("started")
    for number in itertools.count():
        edgeface("quantize", run, "--data", data, "--out", folder / "bundle", "--calibration", 64, "--quiet")
        say(number)


def train(folder: Path, _: Path, __: Path, data: Path) -> None:
    """Train with a checkpoint after every epoch, resuming what an earlier child left."""
    from edgeface.train import checkpoint, trainer

    trainer.CHECKPOINT_SECONDS = -1.0
    save, restore = checkpoint.Checkpoints.save, checkpoint.Checkpoints.restore

    def saved(self: Any, place: Any) -> None:
        save(self, place)
        say(place.epoch)

    def restored(self: Any) -> Any:
        place = restore(self)
        say("started")
        return place

    checkpoint.Checkpoints.save, checkpoint.Checkpoints.restore = saved, restored  # type: ignore[method-assign]
    recipe, run = folder / "recipe.toml", folder / "run"
    recipe.write_text(
        "size = 32\nbatch_size = 8\nimages_per_identity = 2\n[stage0]\nepochs = 0\n[stage1]\nepochs = 100000\n"
    )
    resume = ["--resume"] if (run / "checkpoints" / "checkpoint").exists() else []
    if not resume:
        shutil.rmtree(run, ignore_errors=True)
    edgeface("train", "student", data, "--recipe", recipe, "--width", 0.25, "--out", run, "--quiet", *resume)


def _photo(data: Path) -> Path:
    return next(path for path in sorted(data.rglob("*")) if path.suffix in (".png", ".jpg"))


def enroll(folder: Path, source: Path, _: Path, data: Path) -> None:
    """Enrol one person after another, going on after the last one that an earlier child acknowledged."""
    import re

    from tests.fuzz.kills import _people

    gallery = folder / "door.gallery"
    options = ["--bundle", source, "--detector", "none", "--quality", "off", "--quiet"]
    numbers = [int(number) for number in re.findall(r'"person(\d+)"', _people(folder)[0])] if gallery.exists() else []
    first = max(numbers, default=-1) + 1
    say("started")
    for number in itertools.count(first):
        edgeface("enroll", gallery, _photo(data), "--name", f"person{number}", *options)
        say(number)


def gallery_remove(folder: Path, source: Path, _: Path, data: Path) -> None:
    """Enrol a person and remove them again; only the removal is acknowledged."""
    gallery = folder / "door.gallery"
    options = ["--bundle", source, "--detector", "none", "--quality", "off", "--quiet", "--add"]
    edgeface("enroll", gallery, _photo(data), "--name", "stays", *options)
    say("started")
    for number in itertools.count():
        edgeface("enroll", gallery, _photo(data), "--name", f"person{number}", *options)
        edgeface("gallery", "remove", gallery, f"person{number}")
        say(number)


VICTIMS = {"bundle": bundle, "quantize": quantize, "train": train, "enroll": enroll, "gallery-remove": gallery_remove}

if __name__ == "__main__":
    VICTIMS[sys.argv[1]](*map(Path, sys.argv[2:]))
