"""EdgeFace: train a face recogniser on a closed set of people, compress it, run it on phones and boards.

Importing this package never imports TensorFlow. The names below are loaded on first use, so that
`edgeface --help` answers at once.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from edgeface.embedder import Prediction, Recognizer
    from edgeface.face_input import FaceInput
    from edgeface.face_reader import FaceReader, Reading
    from edgeface.gallery import Gallery, create_gallery
    from edgeface.identification import Identified, enroll_photos, identify_faces, watch_faces

__version__ = "0.1.0"
__all__ = [
    "FaceInput",
    "FaceReader",
    "Gallery",
    "Identified",
    "Prediction",
    "Reading",
    "Recognizer",
    "__version__",
    "create_gallery",
    "enroll_photos",
    "identify_faces",
    "watch_faces",
]
_HOMES = {
    "FaceInput": "face_input",
    "FaceReader": "face_reader",
    "Gallery": "gallery",
    "Identified": "identification",
    "Prediction": "embedder",
    "Reading": "face_reader",
    "Recognizer": "embedder",
    "create_gallery": "gallery",
    "enroll_photos": "identification",
    "identify_faces": "identification",
    "watch_faces": "identification",
}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(f"edgeface.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'edgeface' has no attribute {name!r}")
