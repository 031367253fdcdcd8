"""What a run writes while it trains, and how it finds its place again."""

from __future__ import annotations

import contextlib
import json
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import tensorflow as tf

from edgeface.errors import RunError
from edgeface.files import storage_errors, write_text
from edgeface.run import read_metrics
from edgeface.train.step import Learner


@dataclass
class Place:
    """Where training stands: `step` steps of `epoch` of `stage` are done. `sums` are that epoch's so far."""

    stage: int = 0
    epoch: int = 0
    step: int = 0
    steps_before: int = 0
    best_accuracy: float = -1.0
    seconds: float = 0.0
    sums: dict[str, float] = field(default_factory=dict)


class Checkpoints:
    """Saves and restores a learner and its place, the last two checkpoints kept."""

    def __init__(self, run: Path, learner: Learner, chief: bool = True):
        # Every worker has to take part in saving; only the chief's files are kept.
        self.scratch = None if chief else tempfile.TemporaryDirectory()
        folder = run / "checkpoints" if self.scratch is None else Path(self.scratch.name)
        self.read_from = run / "checkpoints"
        self.place = tf.Variable(json.dumps(asdict(Place())), trainable=False, dtype=tf.string)
        self.checkpoint = tf.train.Checkpoint(learner=learner, place=self.place)
        try:
            self.manager = tf.train.CheckpointManager(self.checkpoint, str(folder), max_to_keep=2)
        except ValueError as error:  # its list of checkpoints is empty
            raise _no_checkpoint(run) from error

    def save(self, place: Place) -> None:
        """Write a checkpoint. Raises StorageError on a full or read-only disk; the one before stays."""
        self.place.assign(json.dumps(asdict(place)))
        with _disk_errors(self.read_from):
            self.manager.save()

    def restore(self) -> Place:
        """Go back to the newest checkpoint that can be read. Raises RunError when there is none or none fits."""
        state = tf.train.get_checkpoint_state(str(self.read_from))
        if state is None:
            raise _no_checkpoint(self.read_from.parent)
        reasons = []
        for path in reversed(state.all_model_checkpoint_paths):  # from each of them training goes on to the same end
            try:
                self.checkpoint.restore(path).assert_existing_objects_matched()
                return Place(**json.loads(self.place.numpy()))
            except (tf.errors.OpError, AssertionError, ValueError, TypeError, LookupError) as error:
                reasons.append((str(error) or repr(error)).splitlines()[0][:120])
        raise _no_checkpoint(self.read_from.parent, f" ({reasons[0]})")


def _no_checkpoint(run: Path, reason: str = "") -> RunError:
    return RunError(
        f"{run / 'checkpoints'}: holds no checkpoint that can be read and fits the recipe{reason}; train in another "
        f"--out, from the best weights so far with --init {run}"
    )


class MetricsLog:
    """`metrics.jsonl` (a line an epoch) and the same figures for TensorBoard."""

    def __init__(self, run: Path, place: Place):
        self.path = run / "metrics.jsonl"
        # A run killed between writing a line and its checkpoint would otherwise hold an epoch twice.
        kept = [row for row in read_metrics(run) if (row["stage"], row["epoch"]) < (place.stage, place.epoch)]
        write_text(self.path, "".join(json.dumps(row) + "\n" for row in kept))
        with _disk_errors(run / "tensorboard"):
            self.writer = tf.summary.create_file_writer(str(run / "tensorboard"))

    def add(self, row: dict[str, Any]) -> None:
        """Append an epoch's figures."""
        with storage_errors(self.path), self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
        with _disk_errors(self.path.with_name("tensorboard")):
            with self.writer.as_default(step=row["global_step"]):
                for name, value in row.items():
                    if isinstance(value, float):
                        tf.summary.scalar(name, value)
            self.writer.flush()


@contextlib.contextmanager
def _disk_errors(path: Path) -> Iterator[None]:
    """As `storage_errors`, for TensorFlow's own writers, too."""
    with storage_errors(path):
        try:
            yield
        except tf.errors.OpError as error:
            # "{{node ...}} what happened"
            raise OSError((error.message or repr(error)).splitlines()[0].rpartition("}} ")[2]) from None
