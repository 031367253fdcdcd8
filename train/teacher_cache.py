"""A teacher's outputs for K augmented views of every image, stored once as float16 and reused by every student.

The teacher's forward pass is most of a teacher-student step on a CPU. The views follow from their number alone (not
from a student's seed), so students of every width and seed share them.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import asdict
from pathlib import Path

import numpy as np
import tensorflow as tf
import tf_keras

from edgeface.face_input import FaceInput
from edgeface.files import atomic_folder
from edgeface.recipe import Augmentation, Stage
from edgeface.run import Run
from edgeface.train import augment
from edgeface.train.batches import Images, to_network, view_table
from edgeface.train.outputs import BATCH, make_predictor
from edgeface.train.progress import Bar


class TeacherCache:
    """Stored teacher outputs, made on first use. Call with a stage and a view number."""

    def __init__(self, run: Run, model: tf_keras.Model, data: Images, config: Augmentation, *, quiet: bool = False):
        self.run, self.model, self.data, self.config, self.quiet = run, model, data, config, quiet
        self.predictor = make_predictor(model)
        self.loaded: tuple[Path, tuple[np.ndarray, np.ndarray]] | None = None

    def __call__(self, stage: Stage, view: int) -> tuple[np.ndarray, np.ndarray]:
        """The teacher's (embedding, logits) of this view of all images, float16 (count, size)."""
        plain = not (stage.basic_augmentation or stage.seaweed)
        folder = self._folder(stage) / f"view{0 if plain else view:03d}"
        if self.loaded is None or self.loaded[0] != folder:
            if not (folder / "logits.npy").is_file():
                self._make(folder, stage, view)
            try:
                self.loaded = (folder, self._load(folder))
            except (ValueError, EOFError, FileNotFoundError):  # cut short; everything here can be made again
                shutil.rmtree(folder)
                self._make(folder, stage, view)
                self.loaded = (folder, self._load(folder))
        return self.loaded[1]  # type: ignore[index]

    def _load(self, folder: Path) -> tuple[np.ndarray, np.ndarray]:
        # Mapped, not read: TensorFlow keeps what a finished epoch's generator refers to, and a view has 30 MB here.
        embedding, logits = (np.load(folder / f"{name}.npy", mmap_mode="r") for name in ("embedding", "logits"))
        if not len(embedding) == len(logits) == len(self.data):
            raise ValueError("other images")
        return embedding, logits

    def prepare(self, stages: tuple[Stage, ...], views: int) -> None:
        """Make every view that these stages will use, so that the time is spent (and shown) at the start."""
        for stage in stages:
            for view in range(min(views, stage.epochs)):
                self(stage, view)

    def _folder(self, stage: Stage) -> Path:
        identity = {
            "weights": self.run.info["weights_sha256"],
            **self.data.fingerprint(),  # another photo in the place of one must not get the stored outputs
            "input": self.run.face_input.to_dict(),
            "augmentation": asdict(self.config),
            "basic": stage.basic_augmentation,
            "seaweed": stage.seaweed,
        }
        key = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:16]
        return self.run.path / "views" / key

    def _make(self, folder: Path, stage: Stage, view: int) -> None:
        table = view_table(len(self.data), self.config, stage, 0, view)
        parts: dict[str, list[np.ndarray]] = {"embedding": [], "logits": []}
        steps = -(-len(self.data) // BATCH)
        with Bar(steps, quiet=self.quiet) as bar:
            for start in range(0, len(self.data), BATCH):
                images = augmented(self.data, table, stage, self.run.face_input, slice(start, start + BATCH))
                for name, value in self.predictor(images).items():
                    parts[name].append(value.numpy().astype(np.float16))
                bar.advance(f"teacher outputs of view {view + 1}")
        with atomic_folder(folder) as temporary:
            for name, arrays in parts.items():
                np.save(temporary / f"{name}.npy", np.concatenate(arrays))


def augmented(data: Images, table: np.ndarray, stage: Stage, face_input: FaceInput, part: slice) -> tf.Tensor:
    """A slice of the images as the network gets them under a stage's augmentation, float32."""
    images = augment.augment(data.images[part], table[part], basic=stage.basic_augmentation, seaweed=stage.seaweed)
    return to_network(images, face_input)
