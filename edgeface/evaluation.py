"""What `edgeface eval` reports of a recogniser's logits over a split: accuracy, identities, confusions, predictions."""

from __future__ import annotations

import csv
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edgeface.files import atomic_path
from edgeface.metrics import Confusion, IdentityScore, per_identity, predicted_classes, top_k, worst_confusions


@dataclass(frozen=True)
class Evaluation:
    """Accuracies in 0..1 over `images` images; identities from the worst to the best."""

    images: int
    top1: float
    top5: float
    identities: list[IdentityScore]
    confusions: list[Confusion]

    def to_dict(self) -> dict[str, Any]:
        """A JSON-serialisable form."""
        return asdict(self)


def evaluate(logits: np.ndarray, labels: np.ndarray, identities: tuple[str, ...], worst: int = 10) -> Evaluation:
    """Score logits (N, C) against labels (N,). Raises ValueError unless every image has a label."""
    if len(labels) == 0 or (labels < 0).any():
        raise ValueError("evaluate needs a label for every image")
    return Evaluation(
        images=len(labels),
        top1=top_k(logits, labels, 1),
        top5=top_k(logits, labels, min(5, logits.shape[1])),
        identities=per_identity(logits, labels, identities),
        confusions=worst_confusions(logits, labels, identities, worst),
    )


def write_predictions(path: Path, photos: tuple[Path, ...], logits: np.ndarray, identities: tuple[str, ...]) -> None:
    """Write `id,label` lines: each photo's file name and the identity recognised in it.

    Where folders hold photos of the same name (`ann/1.jpg`, `bob/1.jpg`), the id is the path below the split's folder.
    """
    ids = [photo.name for photo in photos]
    if len(set(ids)) < len(ids):
        top = Path(os.path.commonpath([photo.parent for photo in photos]))
        ids = [photo.relative_to(top).as_posix() for photo in photos]
    with (
        atomic_path(path) as temporary,
        temporary.open("w", newline="", encoding="utf-8", errors="surrogateescape") as file,
    ):
        writer = csv.writer(file)
        writer.writerow(["id", "label"])
        for name, index in zip(ids, predicted_classes(logits), strict=True):
            writer.writerow([name, identities[index] if index >= 0 else ""])
