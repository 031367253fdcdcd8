"""Synthetic faces, drawn once, and a small dataset folder to damage."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from edgeface.data.images import encode_image
from edgeface.data.synthetic import draw_face, draw_faces, synthetic_person


@pytest.fixture(scope="session")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four people, five photos each in train and two in val. Shared: do not change it."""
    folder = tmp_path_factory.mktemp("drawn") / "faces"
    draw_faces(folder, identities=4, images=7, seed=3, size=64, val=0.3)
    return folder


@pytest.fixture
def faces(drawn: Path, tmp_path: Path) -> Path:
    """A copy of `drawn` that may be changed."""
    return Path(shutil.copytree(drawn, tmp_path / "faces"))


@pytest.fixture
def people(tmp_path: Path) -> Path:
    """Identity folders without a split: three people with six photos each."""
    root = tmp_path / "people"
    for number, name in enumerate(("ann", "bob", "cid")):
        (root / name).mkdir(parents=True)
        for photo in range(6):
            (root / name / f"{photo}.png").write_bytes(encode_image(face(number, photo), ".png"))
    return root


@pytest.fixture
def lists(tmp_path: Path) -> Path:
    """The split-list layout in CelebA's frame: identities 9, 10 and 101, two photos in train and one in val."""
    root = tmp_path / "lists"
    for split, photos in (("train", 2), ("val", 1)):
        (root / split).mkdir(parents=True)
        lines = []
        for number, identity in enumerate((101, 9, 10)):
            for photo in range(photos):
                name = f"{number * photos + photo + 1:05d}.jpg"
                frame = np.full((218, 178, 3), 90, np.uint8)
                frame[50:162, 33:145] = face(number, photo + (7 if split == "val" else 0), 112)
                (root / split / name).write_bytes(encode_image(frame, ".jpg"))
                lines.append(f"{name} {identity}\n")
        (root / f"{split}_id.txt").write_text("".join(lines))
    return root


def face(identity: int, photo: int, size: int = 64) -> np.ndarray:
    return draw_face(synthetic_person(5, identity), np.random.default_rng((5, identity, photo)), size)
