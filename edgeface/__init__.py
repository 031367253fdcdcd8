"""EdgeFace: train a face recogniser on a closed set of people, compress it, run it on phones and boards.

Importing this package never imports TensorFlow. `Recognizer` is loaded on first use, so that
`edgeface --help` answers at once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from edgeface.embedder import Prediction, Recognizer
    from edgeface.face_input import FaceInput

__version__ = "0.1.0"
__all__ = ["FaceInput", "Prediction", "Recognizer", "__version__"]


def __getattr__(name: str) -> Any:
    if name in ("Prediction", "Recognizer"):
        from edgeface import embedder

        return getattr(embedder, name)
    if name == "FaceInput":
        from edgeface.face_input import FaceInput

        return FaceInput
    raise AttributeError(f"module 'edgeface' has no attribute {name!r}")
