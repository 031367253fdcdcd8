"""FaceDataset: which photos there are, whose they are, and which split each lies in."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass, replace
from pathlib import Path

from edgeface.data.images import image_size
from edgeface.errors import DataError, ImageError
from edgeface.face_input import FaceInput

SPLITS = ("train", "val", "test", "all")
IDENTITY_FOLDERS = "identity folders"
SPLIT_LISTS = "split lists"
CELEBA = "CelebA files"
# The reference system's region of the official aligned CelebA frame.
CELEBA_FRAME = (218, 178)
CELEBA_CROP = (86, 172, 35, 140)


@dataclass(frozen=True)
class Sample:
    """One photo. `identity` indexes `FaceDataset.identities`; None is an unlabelled photo of the test split."""

    path: Path
    identity: int | None
    split: str


@dataclass(frozen=True)
class FaceDataset:
    """Photos grouped by person. `split` is train, val or test, or "all" where no split exists."""

    root: Path
    layout: str
    identities: tuple[str, ...]
    samples: tuple[Sample, ...]

    @property
    def splits(self) -> tuple[str, ...]:
        """The splits that hold photos, in the order train, val, test, all."""
        present = {sample.split for sample in self.samples}
        return tuple(split for split in SPLITS if split in present)

    def of(self, split: str) -> tuple[Sample, ...]:
        """The photos of one split. Raises DataError when it has none."""
        samples = tuple(sample for sample in self.samples if sample.split == split)
        if not samples:
            raise DataError(self._no_split(split))
        return samples

    def content_hash(self) -> str:
        """SHA-256, hexadecimal, over every photo's relative path, identity, split and file size.

        The same for a copy of the dataset elsewhere; takes a `stat` per photo, not a read.
        """
        digest = hashlib.sha256(self.layout.encode())
        for sample in sorted(self.samples, key=lambda item: (item.split, item.path)):
            identity = "" if sample.identity is None else self.identities[sample.identity]
            relative = os.path.relpath(sample.path, self.root).replace(os.sep, "/")
            try:
                size = os.stat(sample.path).st_size
            except OSError:
                size = -1
            digest.update(f"\n{sample.split}\t{identity}\t{relative}\t{size}".encode("utf-8", "surrogateescape"))
        return digest.hexdigest()

    def relabelled(self, identities: tuple[str, ...], split: str | None = None) -> FaceDataset:
        """The same photos with a model's identities and their order, to score the model on them.

        Raises DataError when the identity of a labelled photo (of `split`, where one is given) is not one of the
        model's; in the other splits such photos lose their labels.
        """
        if identities == self.identities:
            return self
        index = {name: position for position, name in enumerate(identities)}
        scored = {sample.identity for sample in self.samples if split in (None, sample.split)}
        unknown = [name for number, name in enumerate(self.identities) if name not in index and number in scored]
        if unknown:
            names = ", ".join(unknown[:3])
            noun = "identity is" if len(unknown) == 1 else "identities are"
            raise DataError(f"{self.root}: {len(unknown)} {noun} unknown to the model ({names}); use its own data")
        samples = tuple(
            sample if sample.identity is None else replace(sample, identity=index.get(self.identities[sample.identity]))
            for sample in self.samples
        )
        return replace(self, identities=identities, samples=samples)

    def _no_split(self, split: str) -> str:
        if self.splits == ("all",):
            return f"{self.root}: has no {split} split; make one with: edgeface data split {self.root} --out NEW_FOLDER"
        fix = (
            f"; make a new split with: edgeface data split {self.root} --resplit --out NEW_FOLDER"
            if split in ("train", "val")
            else ""
        )
        return f"{self.root}: has no photos in split {split!r}, only in {', '.join(self.splits) or 'none'}{fix}"


def default_face_input(dataset: FaceDataset, size: int) -> FaceInput:
    """The preprocessing that fits a dataset: the whole photo resized to `size`, or, for split lists and CelebA's
    own files in the official 178x218 frame, the reference system's crop (rows 86-172, columns 35-140)."""
    if dataset.layout in (SPLIT_LISTS, CELEBA):
        for sample in dataset.samples[:20]:
            try:
                if image_size(sample.path) == CELEBA_FRAME:
                    return FaceInput(size=size, crop=CELEBA_CROP, frame=CELEBA_FRAME)
                break
            except ImageError:
                continue
    return FaceInput(size=size)
