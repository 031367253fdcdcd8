"""`python -m tests.fuzz`: hostile files and kill -9, from a fixed seed, with counts. Exit code 1 when one is not 0.

Whole run (make fuzz): 1,000 bundles, 200 galleries, 200 recipes, 500 images, 200 kills. `--json FILE` keeps the counts.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tests.fuzz.kills import run_kills
from tests.fuzz.mutate import damage_bundle, damaged, hostile_images
from tests.fuzz.pool import ROOT, Counts, Worker

PARTS = {"bundles": 1000, "galleries": 200, "recipes": 200, "images": 500, "kills": 200}
MOST_MB = 1024


def main() -> int:
    """Run the parts that are asked for; print a table; 1 when anything failed."""
    options = _options()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that no child is left behind
    with tempfile.TemporaryDirectory(prefix="edgeface-fuzz-") as name, Worker() as worker:
        inputs = Path(options.inputs) if options.inputs else Path(name) / "inputs"
        if not options.inputs:
            subprocess.run([sys.executable, "-m", "tests.fuzz.inputs", str(inputs)], cwd=ROOT, check=True)
        commands = worker.run({"target": "commands"})["reason"].split()
        results: dict[str, Counts] = {}
        for part, run in _runners(options, inputs, Path(name), worker, commands).items():
            rng = random.Random(f"{options.seed} {part}")
            results |= run(rng)
            print(f"{part} done", file=sys.stderr)
    print(_table(results))
    if options.json:
        document = {"seed": options.seed, "parts": {key: asdict(value) for key, value in results.items()}}
        Path(options.json).write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    failed = [key for key, value in results.items() if value.failures or value.peak_mb >= MOST_MB]
    for key in failed:
        print(f"\n{key}", *results[key].examples, sep="\n  ")
    return 1 if failed else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--inputs", help="folder with bundle/, other/, run/ and faces/; made when not given")
    parser.add_argument("--json", help="write the counts to this file")
    for part, count in PARTS.items():
        parser.add_argument(f"--{part}", type=int, default=count, help=f"how many (default {count})")
    parser.add_argument("--kill-targets", default="", help="some of the targets, with commas; all by default")
    return parser.parse_args()


Runner = Callable[[random.Random], dict[str, Counts]]


def _runners(
    options: argparse.Namespace, inputs: Path, folder: Path, worker: Worker, commands: list[str]
) -> dict[str, Runner]:
    runners: dict[str, Runner] = {
        "bundles": lambda rng: {"bundles": _bundles(options.bundles, inputs, folder / "b", worker, rng)},
        "galleries": lambda rng: {"galleries": _galleries(options.galleries, inputs, folder / "g", worker, rng)},
        "recipes": lambda rng: {"recipes": _recipes(options.recipes, folder / "r.toml", worker, rng)},
        "images": lambda rng: _images(options.images, inputs, folder / "i", worker, commands, rng),
        "kills": lambda rng: _kills(options, inputs, folder / "k", commands, rng),
    }
    if "enroll" not in commands:
        del runners["galleries"]
        print("no galleries in this version: they are left out", file=sys.stderr)
    return {part: run for part, run in runners.items() if getattr(options, part) > 0}


def _bundles(count: int, inputs: Path, target: Path, worker: Worker, rng: random.Random) -> Counts:
    counts = Counts()
    for number in range(count):
        done = damage_bundle(inputs / "bundle", inputs / "other", target, rng)
        counts.add(f"bundle {number}, {done}", worker.run({"target": "bundle", "path": str(target)}), must_refuse=True)
    return counts


def _galleries(count: int, inputs: Path, folder: Path, worker: Worker, rng: random.Random) -> Counts:
    """Damaged gallery files, opened and searched: each is refused, or answers as the sound one does."""
    folder.mkdir()
    photos = [str(photo) for photo in _photos(inputs)[:8]]
    sound, broken = folder / "sound.gallery", folder / "broken.gallery"
    options = ["--detector", "none", "--quality", "off"]
    enroll = ["enroll", str(sound), *photos, "--name", "ann", "--bundle", str(inputs / "bundle"), *options]
    first = worker.run({"target": "command", "arguments": enroll})

    def identify(gallery: Path) -> dict[str, Any]:
        """Every photo that was enrolled: the nearest template is its own, so that each template matters."""
        arguments = ["identify", str(gallery), *photos, "--threshold", "0.5", "--json", *options]
        answer = worker.run({"target": "command", "arguments": arguments, "output": True})
        return {**answer, "reason": answer.get("reason", "").replace(str(gallery), "GALLERY")}

    right = identify(sound)
    counts = Counts(note="done: answered as the sound one does, the damage lies in bytes that nobody uses")
    if first["outcome"] != "done" or right["outcome"] != "done":
        counts.add("making the gallery", {**first, "outcome": "traceback"})
        return counts
    content = sound.read_bytes()
    for number in range(count):
        for stale in folder.glob("broken*"):
            stale.unlink()
        broken.write_bytes(damaged(content, rng))
        answer = identify(broken)
        counts.add(f"gallery {number}", answer, must_refuse=answer.get("reason") != right["reason"])
    return counts


def _recipes(count: int, path: Path, worker: Worker, rng: random.Random) -> Counts:
    """Damaged recipes: each is refused, or is another valid recipe (one digit of a number may change)."""
    recipes = sorted((ROOT / "train" / "recipes").glob("*.toml"))
    counts = Counts(note="done: still a valid recipe, with another number or text")
    for number in range(count):
        source = rng.choice(recipes)
        path.write_bytes(damaged(source.read_bytes(), rng))
        job = {"target": "recipe", "path": str(path), "kind": rng.choice(["teacher", "student"])}
        counts.add(f"recipe {number}, {source.name}", worker.run(job))
    return counts


def _images(
    count: int, inputs: Path, folder: Path, worker: Worker, commands: list[str], rng: random.Random
) -> dict[str, Counts]:
    """Each picture through every command that reads pictures."""
    results: dict[str, Counts] = {}
    (folder / "data" / "ann").mkdir(parents=True)
    (folder / "data" / "bob").mkdir()
    for person, photo in zip(("ann", "ann", "bob", "bob"), _photos(inputs)[:4], strict=True):
        shutil.copy(photo, folder / "data" / person / photo.name)
    bundle, gallery = str(inputs / "bundle"), str(folder / "door.gallery")
    cropped = ["--bundle", bundle, "--detector", "none", "--quality", "off"]
    if "enroll" in commands:
        first = ["enroll", gallery, str(_photos(inputs)[0]), "--name", "ann", *cropped]
        results["images, enroll"] = Counts()
        results["images, enroll"].add("a sound photo", worker.run({"target": "command", "arguments": first}))
    for number, (name, content) in enumerate(hostile_images(count, rng)):
        photo = folder / "data" / "bob" / name
        photo.write_bytes(content)
        jobs = {"predict": ["predict", bundle, str(photo)], "data check": ["data", "check", str(folder / "data")]}
        if "enroll" in commands:
            jobs["enroll"] = ["enroll", gallery, str(photo), "--name", f"person{number}", *cropped]
            look = cropped if number % 2 else ["--bundle", bundle]  # as a cropped face, or through the detector
            jobs["identify"] = ["identify", gallery, str(photo), "--threshold", "0.5", "--all", *look]
        for part, arguments in jobs.items():
            answer = worker.run({"target": "command", "arguments": arguments})
            results.setdefault(f"images, {part}", Counts()).add(f"{name} ({part})", answer)
        photo.unlink()
    return results


def _kills(
    options: argparse.Namespace, inputs: Path, folder: Path, commands: list[str], rng: random.Random
) -> dict[str, Counts]:
    possible = ["enroll", "gallery-remove"] if "enroll" in commands else ["bundle"]
    possible = [*possible, "quantize", "train"]
    targets = options.kill_targets.split(",") if options.kill_targets else possible
    given = {name: str(inputs / name) for name in ("bundle", "run", "faces")}
    shares = [options.kills // len(targets) + (place < options.kills % len(targets)) for place in range(len(targets))]
    return {
        f"kill -9, {target}": run_kills(target, share, given, folder / target, rng)
        for target, share in zip(targets, shares, strict=True)
    }


def _photos(inputs: Path) -> list[Path]:
    return [path for path in sorted((inputs / "faces").rglob("*")) if path.suffix in (".png", ".jpg")]


def _table(results: dict[str, Counts]) -> str:
    rows: list[list[Any]] = [["", "jobs", "refused", "done", "tracebacks", "crashes", "hangs", "silent", "peak MB"]]
    for part, c in results.items():
        rows.append([part, c.jobs, c.refused, c.done, c.tracebacks, c.crashes, c.hangs, c.silent_loads, c.peak_mb])
    widths = [max(len(str(row[column])) for row in rows) for column in range(len(rows[0]))]
    return "\n".join(
        "  ".join(str(cell).rjust(width) if place else str(cell).ljust(width) for place, (cell, width) in
                  enumerate(zip(row, widths, strict=True)))
        for row in rows
    )  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
