"""kill -9 at random moments: nothing that a command has acknowledged may be lost, and every file stays readable.

A child does one thing over and over and prints a line when a piece of work is acknowledged. It is killed at a moment
drawn from the seed, counted from its first line on, so that starting Python takes no part. Then the files are opened.
"""

from __future__ import annotations

import os
import random
import selectors
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from tests.fuzz.pool import ROOT, Counts, Worker

LONGEST_START = 300.0
SPREAD = {"bundle": 0.4, "quantize": 3.0, "train": 3.0, "enroll": 0.6, "gallery-remove": 0.6}
"""Seconds within which the moment of death is drawn: some pieces of work long."""


def run_kills(target: str, count: int, inputs: dict[str, str], folder: Path, rng: random.Random) -> Counts:
    """Kill `count` children of one target. Work goes on in the same folder, as after a real crash."""
    counts = Counts()
    folder.mkdir(parents=True, exist_ok=True)
    with Worker() as worker:
        for number in range(count):
            acknowledged = _kill_one(target, inputs, folder, rng)
            if acknowledged is None:
                counts.add(f"{target} {number}", {"outcome": "hang", "reason": "the child never got to work"})
                continue
            job = {"target": "after-kill", "kind": target, "folder": str(folder), "acknowledged": acknowledged}
            counts.add(f"{target} {number}", worker.run(job))
    return counts


def _kill_one(target: str, inputs: dict[str, str], folder: Path, rng: random.Random) -> list[str] | None:
    """Start a child, kill it; return the lines that it had printed, None when it printed none."""
    arguments = [sys.executable, "-m", "tests.fuzz.victims", target, str(folder), *inputs.values()]
    process = subprocess.Popen(
        arguments, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True
    )
    assert process.stdout is not None
    try:
        with selectors.DefaultSelector() as selector:
            selector.register(process.stdout, selectors.EVENT_READ)
            started = bool(selector.select(LONGEST_START)) and bool(process.stdout.peek(1))  # type: ignore[attr-defined]
        if started:
            time.sleep(rng.random() * SPREAD[target])
    finally:
        os.killpg(process.pid, signal.SIGKILL)  # the child's own group, which it leads
        lines = process.communicate()[0].decode().split("\n")
    return lines[:-1] if started else None


def check_after_kill(job: dict[str, Any]) -> tuple[str, str]:
    """Run in the worker: open what a killed child left, and compare it with what the child had acknowledged."""
    folder, lines = Path(job["folder"]), job["acknowledged"]
    last = lines[-1].split()[-1] if lines and lines[-1] != "started" else ""
    problem = CHECKS[job["kind"]](folder, last)
    return ("traceback", problem) if problem else ("done", "")


def _bundle(folder: Path, last: str) -> str:
    """The bundle opens, and is the one acknowledged or the one after it."""
    from edgeface.embedder import Recognizer

    path = folder / "bundle"
    if not last and not path.exists():
        return ""
    note = Recognizer(path).bundle.note
    return "" if not last or int(note) - int(last) in (0, 1) else f"acknowledged {last}, the bundle holds {note}"


def _quantize(folder: Path, last: str) -> str:
    from edgeface.embedder import Recognizer

    if last or (folder / "bundle").exists():
        Recognizer(folder / "bundle")
    return ""


def _train(folder: Path, last: str) -> str:
    """The newest checkpoint is complete and not older than the last that was acknowledged."""
    place = read_place(folder / "run")
    if place is None:
        return "an acknowledged checkpoint is gone" if last else ""
    return f"acknowledged epoch {last}, the checkpoint is of {place}" if last and place < int(last) else ""


def read_place(run: Path) -> int | None:
    """Epochs done in the newest checkpoint of a run, None without one. Reads every tensor, so that damage shows."""
    import json

    import tensorflow as tf

    latest = tf.train.latest_checkpoint(str(run / "checkpoints"))
    if latest is None:
        return None
    reader = tf.train.load_checkpoint(latest)
    for name in reader.get_variable_to_shape_map():
        reader.get_tensor(name)
    return int(json.loads(reader.get_tensor("place/.ATTRIBUTES/VARIABLE_VALUE"))["epoch"])


def _people(folder: Path) -> tuple[str, str]:
    """What `gallery list --json` prints, and what is wrong when it cannot be read."""
    from typer.testing import CliRunner

    from edgeface.cli import app

    result = CliRunner().invoke(app, ["gallery", "list", str(folder / "door.gallery"), "--json"])
    return result.stdout, "" if result.exit_code == 0 else f"the gallery cannot be read: {result.stderr}"


def _enroll(folder: Path, last: str) -> str:
    """Everybody up to the last one acknowledged is in the gallery."""
    if not last:
        return ""
    listed, problem = _people(folder)
    names = [f"person{number}" for number in range(int(last) + 1)]
    lost = [name for name in names if f'"{name}"' not in listed]
    return problem or (f"acknowledged and lost: {', '.join(lost[:5])}" if lost else "")


def _removed(folder: Path, last: str) -> str:
    """Nobody whose removal was acknowledged is there any more."""
    if not last:
        return ""
    listed, problem = _people(folder)
    return problem or (f"person{last} was removed and is back" if f'"person{last}"' in listed else "")


CHECKS = {"bundle": _bundle, "quantize": _quantize, "train": _train, "enroll": _enroll, "gallery-remove": _removed}
