"""A small slice of `make fuzz`, and that its counters count."""

from __future__ import annotations

import json
import random
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from edgeface.data.synthetic import draw_faces

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def inputs(tiny_bundles: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("inputs")
    shutil.copytree(tiny_bundles["float32"], folder / "bundle")
    shutil.copytree(tiny_bundles["int8"], folder / "other")
    draw_faces(folder / "faces", identities=2, images=4, size=48)
    return folder


def fuzz(inputs: Path, out: Path, **counts: int) -> tuple[subprocess.CompletedProcess[str], dict]:
    parts = {"bundles": 0, "galleries": 0, "recipes": 0, "images": 0, "kills": 0, **counts}
    options = [word for part, count in parts.items() for word in (f"--{part}", str(count))]
    command = [sys.executable, "-m", "tests.fuzz", "--inputs", str(inputs), "--json", str(out), *options]
    done = subprocess.run(
        [*command, "--kill-targets", "bundle"], cwd=ROOT, capture_output=True, text=True, check=False, timeout=600
    )
    return done, json.loads(out.read_text())["parts"]


@pytest.mark.slow
def test_a_slice_of_the_fuzz_command(inputs: Path, tmp_path: Path) -> None:
    done, parts = fuzz(inputs, tmp_path / "counts.json", bundles=60, recipes=40, images=90, kills=4)
    assert done.returncode == 0, done.stdout + done.stderr
    assert parts["bundles"]["refused"] == 60
    assert parts["recipes"]["refused"] > 10
    assert parts["images, predict"]["refused"] > 40
    assert parts["images, data check"]["jobs"] == 90
    assert parts["kill -9, bundle"]["done"] == 4
    assert max(part["peak_mb"] for part in parts.values()) < 1024


def test_silent_loads_and_crashes_would_be_counted(inputs: Path, tmp_path: Path) -> None:
    sys.path.insert(0, str(ROOT))
    try:
        from tests.fuzz.pool import Counts, Worker
    finally:
        sys.path.remove(str(ROOT))
    counts = Counts()
    with Worker() as worker:
        sound = {"target": "bundle", "path": str(inputs / "bundle")}
        counts.add("sound", worker.run(sound), must_refuse=True)
        counts.add("no such target", worker.run({"target": "command", "arguments": ["predict", "\0", "\0"]}))
        assert worker._process is not None
        worker._process.kill()
        counts.add("killed", worker.run(sound))
        counts.add("again", worker.run(sound))
    assert (counts.jobs, counts.silent_loads, counts.crashes, counts.refused, counts.done) == (4, 1, 1, 1, 1)
    assert counts.failures == 2


def test_damage_is_damage_and_repeats() -> None:
    sys.path.insert(0, str(ROOT))
    try:
        from tests.fuzz.mutate import damaged
    finally:
        sys.path.remove(str(ROOT))
    content = bytes(range(200))
    first = [damaged(content, random.Random(seed)) for seed in range(200)]
    assert content not in first
    assert first == [damaged(content, random.Random(seed)) for seed in range(200)]
