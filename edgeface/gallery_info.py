"""What a gallery says about itself: the model and input its templates belong to, and how they are kept."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from typing import Any

from edgeface.bundle import Bundle
from edgeface.errors import GalleryError, UsageError
from edgeface.gallery_file import GalleryFile

VERSION = "1"
LONGEST_NAME = 200
UNKNOWN = "unknown"
"""What somebody who is not in the gallery is called, so that nobody in it may be."""


@dataclass(frozen=True)
class Info:
    """What a gallery's templates belong to, and how they are kept. `bundle` is where it was when they were made,
    `detector` the name of what found the faces in their photos, "" where that is not known."""

    model_sha256: str
    face_input: dict[str, Any]
    embedding_size: int
    flip: bool
    keep_photos: bool
    encrypted: bool
    bundle: str
    detector: str


def new_meta(bundle: Bundle, *, flip: bool, keep_photos: bool, key_check: str, detector: str) -> dict[str, str]:
    """The `meta` rows of a new gallery."""
    return {
        "version": VERSION,
        **model_meta(bundle),
        "flip": str(int(flip)),
        "keep_photos": str(int(keep_photos)),
        "key_check": key_check,
        "detector": detector,
    }


def model_meta(bundle: Bundle) -> dict[str, str]:
    """The `meta` rows that change when a gallery is rebuilt for another bundle."""
    return {
        "model_sha256": bundle.model_sha256,
        "input": json.dumps(contract(bundle)),
        "embedding_size": str(bundle.embedding_size),
        "bundle": os.fsencode(bundle.path.absolute()).decode("utf-8", "replace"),
    }


def read_info(meta: dict[str, Any], file: GalleryFile) -> Info:
    """The rows of `meta` as Info. Raises GalleryError when one is missing or senseless."""
    if meta.get("version") != VERSION:
        found = str(meta.get("version"))[:20]
        raise GalleryError(f"{file.path}: version {found}, this EdgeFace reads {VERSION}; enrol again")
    try:
        info = Info(
            model_sha256=str(meta["model_sha256"]),
            face_input=json.loads(meta["input"]),
            embedding_size=int(meta["embedding_size"]),
            flip=meta["flip"] == "1",
            keep_photos=meta["keep_photos"] == "1",
            encrypted=bool(meta["key_check"]),
            bundle=str(meta["bundle"]),
            detector=str(meta.get("detector", "")),  # galleries of before have none
        )
    except (KeyError, ValueError, TypeError, RecursionError):
        raise GalleryError(file.damaged()) from None
    if not 1 <= info.embedding_size <= 1 << 20:
        raise GalleryError(file.damaged())
    return info


def contract(bundle: Bundle) -> dict[str, Any]:
    """The input contract as it is stored: only lists and numbers."""
    return json.loads(json.dumps(bundle.face_input.to_dict()))


def checked_name(name: str) -> str:
    """The name, when it can be one: printable, one line, 1-200 characters, no space at its ends, not 'unknown'."""
    if not 1 <= len(name) <= LONGEST_NAME or name != name.strip() or not name.isprintable():
        raise UsageError(f"{name[:40]!r} cannot be a name; use 1-{LONGEST_NAME} printable characters on one line")
    if name.casefold() == UNKNOWN:
        raise UsageError(f"{name!r} cannot be a name: it is what strangers are called; use another")
    return name
