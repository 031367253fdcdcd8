"""Prepared photos, decoded once: a raw uint8 file that training maps into memory.

Lies in `<dataset>/.edgeface-cache`, or in `$XDG_CACHE_HOME/edgeface` where the dataset is read-only, and is keyed by
the dataset's content, the photos' modification times, the split and the FaceInput, so that it can never be stale.
Only their owner may read the faces. Making one removes those beside it of the same photos as they were, and those
that nobody used for a month.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from edgeface.data.dataset import FaceDataset, Sample
from edgeface.data.images import read_image
from edgeface.errors import DataError, ImageError, StorageError
from edgeface.face_input import FaceInput
from edgeface.files import atomic_folder, write_json
from edgeface.progress import progress_line

_FORMAT = 1
_UNUSED_SECONDS = 30 * 24 * 3600
CachedImages = tuple[np.ndarray, np.ndarray, tuple[Path, ...]]


def cached_images(
    dataset: FaceDataset,
    split: str,
    face_input: FaceInput,
    *,
    strict: bool = False,
    warn: Callable[[str], None] | None = None,
) -> CachedImages:
    """The photos of one split as the network sees them, before normalisation.

    Returns (images, labels, paths): uint8 (N, size, size, 3), a read-only memory map; int32 (N,), -1 where
    unlabelled; and where each came from. Photos that cannot be used are left out and counted in one line given
    to `warn` (standard error by default). A terminal shows how far the reading is.
    Raises ImageError for the first bad photo when `strict`, DataError when the split holds no usable photo.
    """
    samples = dataset.of(split)
    folder = _folder(dataset, split, samples, face_input)
    place = hashlib.sha256(json.dumps([str(dataset.root.resolve()), split, face_input.to_dict()]).encode()).hexdigest()
    entry = _open(folder, samples, face_input.size)
    if entry is None or _any_mended(samples, entry[1], face_input):
        _remove_unused(folder, place)
        _build(folder, samples, face_input, place, f"reading photos ({split})")
        entry = _open(folder, samples, face_input.size)
        if entry is None:
            raise StorageError(f"{folder}: the image cache cannot be read back; remove it or choose another disk")
    with contextlib.suppress(OSError):
        os.utime(folder)  # when it was last used
        folder.chmod(0o700)  # those of earlier versions were open to everybody
    images, kept, bad = entry
    if bad and strict:
        raise ImageError(bad[0])
    if not kept:
        raise DataError(f"{dataset.root}: no usable photo in split {split!r}; first: {bad[0]}")
    if bad:
        (warn or _to_stderr)(f"warning: left out {len(bad)} of {len(samples)} photos ({split}); first: {bad[0]}")
    chosen = [samples[index] for index in kept]
    labels = np.array([-1 if sample.identity is None else sample.identity for sample in chosen], np.int32)
    return images, labels, tuple(sample.path for sample in chosen)


def cache_root(dataset: FaceDataset) -> Path:
    """Where the dataset's cache lies: inside it if it may be written, else in the user's cache folder."""
    root = dataset.root.resolve()
    # The mode is asked as well because to root every folder looks writable.
    if os.access(root, os.W_OK) and root.stat().st_mode & 0o222:
        return root / ".edgeface-cache"
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "edgeface"


def _folder(dataset: FaceDataset, split: str, samples: tuple[Sample, ...], face_input: FaceInput) -> Path:
    digest = hashlib.sha256(json.dumps([_FORMAT, split, face_input.to_dict()]).encode())
    digest.update(dataset.content_hash().encode())
    for sample in samples:
        try:
            digest.update(b"%d " % os.stat(sample.path).st_mtime_ns)
        except OSError:
            digest.update(b"missing ")
    name = f"{split}-{face_input.size}px-{digest.hexdigest()[:16]}"
    return cache_root(dataset) / name


def _open(folder: Path, samples: tuple[Sample, ...], size: int) -> tuple[np.ndarray, list[int], list[str]] | None:
    """(images, indices of the usable samples, what was wrong with the others), or None when missing or damaged."""
    try:
        index = json.loads((folder / "index.json").read_text(encoding="utf-8"))
        kept, bad = [int(value) for value in index["kept"]], [str(value) for value in index["bad"]]
        expected = len(kept) * size * size * 3
        if len(kept) + len(bad) != len(samples) or (folder / "images.bin").stat().st_size != expected:
            return None
    except (OSError, ValueError, KeyError, TypeError):
        return None
    shape = (len(kept), size, size, 3)
    if not kept:
        return np.zeros(shape, np.uint8), kept, bad
    return np.memmap(folder / "images.bin", np.uint8, mode="r", shape=shape), kept, bad


def _any_mended(samples: tuple[Sample, ...], kept: list[int], face_input: FaceInput) -> bool:
    """Whether a photo that could not be used can be now: what was wrong may have been the disk, or a permission."""
    for index in sorted(set(range(len(samples))) - set(kept)):
        with contextlib.suppress(ImageError):
            face_input.prepare(read_image(samples[index].path), samples[index].path)
            return True
    return False


def _build(folder: Path, samples: tuple[Sample, ...], face_input: FaceInput, place: str, what: str) -> None:
    progress = progress_line()
    kept: list[int] = []
    bad: list[str] = []
    try:
        with atomic_folder(folder, 0o700) as temporary:  # faces, whoever may read the photos
            # Plain writes, not a memory map: a full disk is then an OSError and not a killed process.
            with (temporary / "images.bin").open("wb") as file:
                for index, sample in enumerate(samples):
                    try:
                        image = face_input.prepare(read_image(sample.path), sample.path)
                    except ImageError as error:
                        bad.append(str(error))
                    else:
                        file.write(image.tobytes())
                        kept.append(index)
                    if progress is not None:
                        progress(what, index + 1, len(samples))
            write_json(temporary / "index.json", {"format": _FORMAT, "place": place, "kept": kept, "bad": bad})
            for part in temporary.iterdir():
                part.chmod(0o600)
    except StorageError:
        # Another process may have put the same cache there in the meantime.
        if _open(folder, samples, face_input.size) is None:
            raise


def _remove_unused(folder: Path, place: str) -> None:
    """Remove what nobody used for a month, and the older state of the dataset, split and input that are `place`.

    Another process may be making the same cache: neither `folder`, which it may just have finished, nor hidden folders,
    which are being written, are older states."""
    for found in folder.parent.glob("*px-*"):
        with contextlib.suppress(OSError, ValueError, AttributeError):
            old = time.time() - found.stat().st_mtime > _UNUSED_SECONDS
            whole = found != folder and not found.name.startswith(".")
            if old or (whole and json.loads((found / "index.json").read_text(encoding="utf-8")).get("place") == place):
                shutil.rmtree(found)


def _to_stderr(message: str) -> None:
    sys.stderr.write(message + "\n")
