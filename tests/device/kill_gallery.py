"""Kill a process that writes to a gallery, again and again, at random moments, and look at what is left.

    python tests/device/kill_gallery.py BUNDLE --rounds 200 --seed 0

Each round a child makes the gallery if there is none, enrols and removes people without pause, and says before and
after each step what it does. It gets SIGKILL 0-300 ms after its first step, every fourth time after its start. Then
the file must open, fit its checksum, and hold what was acknowledged, with or without the step that was under way.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import tempfile
import time
from pathlib import Path

import numpy as np

from edgeface.bundle import Bundle, open_bundle
from edgeface.errors import EdgeFaceError
from edgeface.gallery import Gallery, create_gallery

LONGEST = 0.3


def write_without_pause(path: Path, bundle: Bundle, seed: int, out: int) -> None:
    """The child: never returns of its own accord."""
    rng = random.Random(seed)
    gallery = Gallery(path) if path.exists() else create_gallery(path, bundle, keep_photos=True)
    people = {person.name for person in gallery.people()}
    for step in range(1_000_000):
        if len(people) > 5 and rng.random() < 0.45:
            name = rng.choice(sorted(people))
            os.write(out, f"try - {name}\n".encode())
            gallery.remove(name)
            people.remove(name)
        else:
            name = f"p{seed}_{step}"
            os.write(out, f"try + {name}\n".encode())
            vectors = np.eye(bundle.embedding_size, dtype=np.float32)[: rng.randint(1, 4)]
            photos = [rng.randbytes(rng.randint(100, 60_000)) for _ in vectors]
            gallery.enroll(name, vectors, ["x.jpg"] * len(vectors), photos)
            people.add(name)
        os.write(out, b"done\n")


def run_and_kill(path: Path, bundle: Bundle, seed: int, delay: float, after_first: bool) -> list[str]:
    """The lines that the child could write until it was killed, `delay` seconds after its start or first step."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        try:
            write_without_pause(path, bundle, seed, writer)
        finally:
            os._exit(1)
    os.close(writer)
    with os.fdopen(reader) as lines:
        read: list[str] = []
        while after_first and "done" not in read and (line := lines.readline()):
            read.append(line.strip())
        time.sleep(delay)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        return read + lines.read().splitlines()


def replay(people: set[str], lines: list[str]) -> list[set[str]]:
    """Who may be in the gallery now: after all that was acknowledged, and with the step under way."""
    known, step = set(people), None
    for line in lines:
        if line == "done" and step is not None:
            known, step = change(known, step), None
        else:
            step = line
    return [known] if step is None else [known, change(known, step)]


def change(people: set[str], step: str) -> set[str]:
    """The people after a step."""
    _, sign, name = step.split()
    return people | {name} if sign == "+" else people - {name}


def kill_rounds(bundle: Bundle, rounds: int, seed: int) -> dict[str, int]:
    """Counts of rounds, steps acknowledged, files that could not be read, and rounds in which something was lost."""
    rng = random.Random(seed)
    counts = {"rounds": rounds, "acknowledged": 0, "in_flight": 0, "unreadable": 0, "lost": 0}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "door.gallery"
        people: set[str] = set()
        for number in range(rounds):
            if number % 20 == 0:  # so that making the file is hit too
                for file in Path(folder).iterdir():
                    file.unlink()
                people = set()
            lines = run_and_kill(path, bundle, seed * 100_000 + number, rng.uniform(0, LONGEST), number % 4 > 0)
            allowed = replay(people, lines)
            counts["acknowledged"] += lines.count("done")
            counts["in_flight"] += len(allowed) - 1
            if not path.exists():
                counts["lost"] += allowed[0] != set()
                continue
            try:
                with Gallery(path) as gallery:
                    people = {person.name for person in gallery.people()}
                    gallery.templates()
            except EdgeFaceError as error:
                print(error)
                counts["unreadable"] += 1
                path.unlink()
                people = set()
                continue
            counts["lost"] += people not in allowed
    return counts


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    result = kill_rounds(open_bundle(arguments.bundle), arguments.rounds, arguments.seed)
    print(result)
    raise SystemExit(1 if result["unreadable"] or result["lost"] else 0)
