"""Recognizer: face photos in, identities or embeddings out, from a bundle. No TensorFlow."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import cv2
import numpy as np

from edgeface.bundle import OUTPUTS, Bundle, open_bundle
from edgeface.data.images import read_image
from edgeface.errors import BundleError, ImageError
from edgeface.interpreter import Interpreter

Image: TypeAlias = "str | Path | np.ndarray"


@dataclass(frozen=True)
class Prediction:
    """Who a face is: the likeliest identity, its softmax confidence (0..1), and the likeliest few with theirs."""

    identity: str
    confidence: float
    top: tuple[tuple[str, float], ...]


class Recognizer:
    """A bundle, verified, loaded and ready to name faces. Use one in each Python thread.

    Images are paths or RGB uint8 arrays (height, width, 3) of one aligned face each; give one image or many (also an
    array of them). They are read and run one by one, so that any number fits in memory. With `prepared`, they are
    arrays already cropped and resized by the bundle's `face_input`. `threads` and `runtime`: see `Interpreter`.

        Recognizer("bundles/door").predict("photo.jpg")[0].identity

    Raises BundleError for a bundle that is damaged or does not fit its model, ImageError for a bad image.
    """

    def __init__(self, bundle: str | Path | Bundle, threads: int = 1, runtime: str | None = None) -> None:
        self.bundle = bundle if isinstance(bundle, Bundle) else open_bundle(bundle)
        self.interpreter = Interpreter(self.bundle.read_model(), threads, runtime)
        for signature, declared in self.bundle.tensors.items():
            if self.interpreter.signatures.get(signature) != declared:
                raise BundleError(
                    f"{self.bundle.path}: the model's {signature} tensors are not those of bundle.json; "
                    "export the bundle again"
                )
        self._tables = {name: _input_table(self.bundle, name) for name in OUTPUTS}

    @property
    def runtime(self) -> str:
        """The runtime in use and its version, for instance "LiteRT 2.3.0"."""
        return self.interpreter.runtime

    @property
    def labels(self) -> tuple[str, ...]:
        """The identities, in the order of the logits."""
        return self.bundle.labels

    def predict(self, images: Image | Iterable[Image], top: int = 5, *, prepared: bool = False) -> list[Prediction]:
        """One Prediction for each image, with the `top` likeliest identities."""
        predictions = []
        for probabilities in softmax(self.logits(images, prepared=prepared)):
            order = np.argsort(-probabilities, kind="stable")[: max(top, 1)]
            ranked = tuple((self.labels[index], float(probabilities[index])) for index in order)
            predictions.append(Prediction(ranked[0][0], ranked[0][1], ranked))
        return predictions

    def logits(self, images: Image | Iterable[Image], *, prepared: bool = False) -> np.ndarray:
        """float32 (N, identities): one row of logits for each image."""
        return self._run("classify", images, prepared)

    def embed(
        self, images: Image | Iterable[Image], *, prepared: bool = False, unit: bool = False, flip: bool = False
    ) -> np.ndarray:
        """float32 (N, embedding_size): one vector for each image.

        With `unit`, of length 1 (a zero vector stays zero), so that the cosine of two faces is a dot product. With
        `flip`, the mean of the image's vector and its mirror image's, for twice the time.
        """
        if flip:
            faces = self._faces(images, prepared)
            both = (view for face in faces for view in (face, np.ascontiguousarray(face[:, ::-1])))
            pairs = self._run("embed", both, True)
            vectors = (pairs[::2] + pairs[1::2]) / np.float32(2)
        else:
            vectors = self._run("embed", images, prepared)
        return normalised(vectors) if unit else vectors

    def _checked(self, image: Image, name: str) -> np.ndarray:
        size = self.bundle.face_input.size
        if not isinstance(image, np.ndarray) or image.dtype != np.uint8 or image.shape != (size, size, 3):
            raise ImageError(f"{name}: a prepared image is a uint8 array ({size}, {size}, 3)")
        return image

    def model_input(self, face: np.ndarray, signature: str = "classify") -> np.ndarray:
        """The model's own input (1, size, size, 3) from a prepared uint8 face (size, size, 3)."""
        return cv2.LUT(face, self._tables[signature])[None]

    def _run(self, signature: str, images: Image | Iterable[Image], prepared: bool) -> np.ndarray:
        output = self.bundle.tensors[signature].outputs[0]
        rows = [
            self.interpreter.run(signature, self.model_input(face, signature))[output.name]
            for face in self._faces(images, prepared)
        ]
        raw = np.concatenate(rows) if rows else np.empty((0, *output.shape[1:]), output.dtype)
        return output.dequantize(raw)

    def _faces(self, images: Image | Iterable[Image], prepared: bool) -> Iterator[np.ndarray]:
        """uint8 (size, size, 3) for each image."""
        for number, image in enumerate(_each(images)):
            if prepared:
                yield self._checked(image, f"image {number + 1}")
            elif isinstance(image, (str, Path)):
                yield self.bundle.face_input.prepare(read_image(Path(image)), image)
            else:
                yield self.bundle.face_input.prepare(image, f"image {number + 1}")


def softmax(logits: np.ndarray) -> np.ndarray:
    """Probabilities (N, classes), float32, from logits (N, classes)."""
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


def normalised(vectors: np.ndarray) -> np.ndarray:
    """Rows (N, E) scaled to length 1, float32; a zero row stays zero."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return (vectors / np.where(lengths > 0, lengths, 1)).astype(np.float32)


def _input_table(bundle: Bundle, signature: str) -> np.ndarray:
    """What each of the 256 pixel values is as model input: FaceInput's scaling, then the tensor's quantization."""
    values = bundle.face_input.normalise(np.arange(256, dtype=np.uint8))
    return bundle.tensors[signature].inputs[0].quantize(values)


def _each(images: Image | Iterable[Image]) -> Iterable[Image]:
    """One image or many as many."""
    if isinstance(images, (str, Path)):
        return [images]
    if isinstance(images, np.ndarray) and images.ndim == 3:
        return [images]
    return images


__all__: Sequence[str] = ["Prediction", "Recognizer", "normalised", "softmax"]
