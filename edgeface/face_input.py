"""FaceInput: crop, size and value range, the one preprocessing of training, calibration, evaluation and device."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from edgeface.errors import BundleError, ImageError


def checked_rgb(image: Any, name: str | Path = "image") -> np.ndarray:
    """The image itself. Raises ImageError when it is not an RGB uint8 array (height, width, 3)."""
    if not isinstance(image, np.ndarray) or image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        found = f"{image.dtype} {image.shape}" if isinstance(image, np.ndarray) else type(image).__name__
        raise ImageError(f"{name}: expected an RGB uint8 image (height, width, 3), got {found}")
    return image


@dataclass(frozen=True)
class FaceInput:
    """How a photo of one aligned face becomes the network's input.

    `crop` is (top, bottom, left, right) in pixels of the `frame` (height, width) that all images must
    have; without a crop the whole image is used, whatever its size. The region is resized to
    `size` x `size` and scaled linearly from 0..255 to `value_range`.
    """

    size: int = 96
    crop: tuple[int, int, int, int] | None = None
    frame: tuple[int, int] | None = None
    value_range: tuple[float, float] = (-1.0, 1.0)

    def __post_init__(self) -> None:
        if self.crop is not None:
            if self.frame is None:
                raise ValueError("FaceInput: a crop needs the frame (height, width) it refers to")
            (top, bottom, left, right), (height, width) = self.crop, self.frame
            if not (0 <= top < bottom <= height and 0 <= left < right <= width):
                raise ValueError(f"FaceInput: crop {self.crop} does not lie within the frame {self.frame}")

    def prepare(self, image: np.ndarray, name: str | Path = "image") -> np.ndarray:
        """Crop and resize an RGB uint8 image (height, width, 3) to uint8 (size, size, 3).

        Raises ImageError when the image is not RGB uint8 or does not have the frame's size.
        """
        checked_rgb(image, name)
        if self.crop is not None and self.frame is not None:
            if image.shape[:2] != self.frame:
                height, width = image.shape[:2]
                raise ImageError(
                    f"{name}: is {width}x{height}, this dataset's frame is {self.frame[1]}x{self.frame[0]}; "
                    "align the face to that frame first"
                )
            top, bottom, left, right = self.crop
            image = image[top:bottom, left:right]
        if image.shape[:2] == (self.size, self.size):
            return np.ascontiguousarray(image)
        shrinking = image.shape[0] > self.size and image.shape[1] > self.size
        return cv2.resize(
            image, (self.size, self.size), interpolation=cv2.INTER_AREA if shrinking else cv2.INTER_LINEAR
        )

    def normalise(self, images: np.ndarray) -> np.ndarray:
        """Scale uint8 images (any leading shape, 3) to float32 in `value_range`."""
        low, high = self.value_range
        return images.astype(np.float32) * np.float32((high - low) / 255.0) + np.float32(low)

    def to_dict(self) -> dict[str, Any]:
        """A JSON-serialisable form, read back by `from_dict`."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> FaceInput:
        """Inverse of `to_dict`. Raises BundleError when a field is missing or unknown."""
        try:
            return cls(
                size=int(values["size"]),
                crop=None if values["crop"] is None else tuple(int(v) for v in values["crop"]),  # type: ignore[arg-type]
                frame=None if values["frame"] is None else tuple(int(v) for v in values["frame"]),  # type: ignore[arg-type]
                value_range=tuple(float(v) for v in values["value_range"]),  # type: ignore[arg-type]
            )
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise BundleError(f"input contract is damaged ({error!r}); export the bundle again") from None
