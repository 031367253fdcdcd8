"""What can be wrong with a dataset's folder: problems found while its layout is read, and checks of its people."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from edgeface.data.dataset import FaceDataset
from edgeface.files import is_line


@dataclass(frozen=True)
class Problem:
    """Something wrong with a dataset. An "error" makes it unusable, a "warning" does not."""

    severity: str
    kind: str
    message: str


@dataclass
class Found:
    """What a layout's reader collects: photos as (path, identity name or None, split), and problems."""

    photos: list[tuple[Path, str | None, str]] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)

    def error(self, kind: str, message: str) -> None:
        """Note what makes the dataset unusable."""
        self.problems.append(Problem("error", kind, message))

    def warning(self, kind: str, message: str) -> None:
        """Note what it can be used in spite of."""
        self.problems.append(Problem("warning", kind, message))


def check_identities(dataset: FaceDataset, found: Found) -> None:
    """Report names that no label file can hold, a missing validation split, validation identities that train lacks,
    identities with a single photo to learn from, and a single identity."""
    bad = [name for name in dataset.identities if not is_line(name)]
    if bad:
        found.error(
            "bad names",
            f"{dataset.root}: identity {bad[0]!r} cannot be a line of a UTF-8 text file; rename its folder "
            "(no space at either end, no line break)",
        )
    if "train" in dataset.splits and "val" not in dataset.splits:
        found.warning(
            "no validation",
            f"{dataset.root}: has no val photos, which training needs; make a new split with: edgeface data split "
            f"{dataset.root} --resplit --out NEW_FOLDER",
        )
    learnt = Counter(sample.identity for sample in dataset.samples if sample.split in ("train", "all"))
    for split in ("val", "test"):
        others = {sample.identity for sample in dataset.samples if sample.split == split}
        others -= {None, *learnt}
        if others and learnt:
            first = dataset.identities[min(other for other in others if other is not None)]
            (found.error if split == "val" else found.warning)(
                "identities absent from train",
                f"{dataset.root}: {count_of(others, 'identity')} of {split} absent from train (first: {first}); "
                "move some photos to train, or split anew with: edgeface data split "
                f"{dataset.root} --resplit --out NEW_FOLDER",
            )
    single = sorted(identity for identity, photos in learnt.items() if identity is not None and photos == 1)
    if single:
        first = dataset.identities[single[0]]
        found.warning(
            "one image",
            f"{dataset.root}: {count_of(single, 'identity')} with a single photo to learn from; first: {first}",
        )
    if len(learnt) == 1:
        found.warning(
            "one identity",
            f"{dataset.root}: all photos to learn from are of one identity; training needs a second to tell it from",
        )


def count_of(items: Iterable[object], noun: str) -> str:
    """ "1 file", "2 identities"."""
    number = len(list(items))
    plural = noun[:-1] + "ies" if noun.endswith("y") else noun + "s"
    return f"{number} {noun if number == 1 else plural}"
