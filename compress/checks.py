"""Are the calibration images fit to set the ranges? Outliers that stretch a range, and images unlike those to come."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import tf_keras

from edgeface.compress.ranges import extremes
from edgeface.compress.units import followed_by, weighted_layers
from edgeface.face_input import FaceInput

STRETCH = 1.5
"""A layer's range is stretched when its width is this many times the 99th percentile of the images' own."""
BEYOND = 0.05
"""Validation images that leave the calibrated ranges: 1 / (calibration images + 1) is expected, this is warned of."""
APART = 0.8
"""Difference of a picture property in standard deviations (Cohen's d); 0.8 is called large."""
_CHECKED = 256


@dataclass(frozen=True)
class Outlier:
    """A layer whose range few images set: `low`..`high` from all images; `stretch` times the 99th percentile of the
    images' own widths. `image` is the place of the image that reaches furthest among the calibration images, `photo`
    its file in the dataset where that is known."""

    layer: str
    low: float
    high: float
    stretch: float
    image: int
    photo: str = ""


@dataclass(frozen=True)
class CalibrationCheck:
    """`outliers`, the worst first. `beyond` is the mean share, over layers, of validation images whose activations
    leave the calibrated range by over 1 % of it. `differences`: brightness, contrast, sharpness, red, green, blue of
    the validation images against the calibration images, in standard deviations."""

    outliers: tuple[Outlier, ...]
    beyond: float
    differences: dict[str, float]

    def warnings(self, mode: str) -> list[str]:
        """Sentences for people, after a conversion of this mode."""
        found = []
        if self.outliers:
            worst = self.outliers[0]
            image = worst.photo or "that image"
            found.append(
                f"{len(self.outliers)} layer{'s have' if len(self.outliers) > 1 else ' has'} a range stretched by few "
                f"calibration images, most "
                f"{worst.layer} ({worst.stretch:.1f} times that of 99 % of them): look at {image}"
                f"{', or use --mode qat' if mode == 'int8' else ''}"
            )
        apart = {name: value for name, value in self.differences.items() if abs(value) > APART}
        if apart or self.beyond > BEYOND:
            named = ", ".join(f"{name} {value:+.1f} standard deviations" for name, value in apart.items())
            found.append(
                f"the calibration images are not like the validation images ({named or 'by what layers answer'}; "
                f"{100 * self.beyond:.1f} % leave a layer's range): calibrate with images from where the device will be"
            )
        return found


def check_calibration(
    model: tf_keras.Model, calibration: np.ndarray, validation: np.ndarray, face_input: FaceInput, seed: int = 0
) -> CalibrationCheck:
    """Compare calibration images with (at most 256 of) the validation images, prepared uint8 (N, size, size, 3)."""
    if len(validation) > _CHECKED:
        chosen = np.random.default_rng(seed).choice(len(validation), _CHECKED, replace=False)
        validation = validation[np.sort(chosen)]
    # What int8 gives a range: where a convolution with all that folds into it ends, sums, and the outputs.
    ends = {"embedding", *(followed_by(model, name)[-1] for name in weighted_layers(model))}
    kinds = (tf_keras.layers.ReLU, tf_keras.layers.Add)
    names = [layer.name for layer in model.layers if layer.name in ends or isinstance(layer, kinds)]
    ours = extremes(model, names, face_input.normalise(np.asarray(calibration)))
    theirs = extremes(model, names, face_input.normalise(np.asarray(validation)))
    return CalibrationCheck(
        range_outliers(names, ours), share_beyond(ours, theirs), picture_differences(calibration, validation)
    )


def range_outliers(names: list[str], values: np.ndarray) -> tuple[Outlier, ...]:
    """Layers of `extremes` (images, layers, 2) whose whole range is over `STRETCH` times the usual, the worst first."""
    low, high = np.minimum(values[..., 0], 0), np.maximum(values[..., 1], 0)
    whole = high.max(axis=0) - low.min(axis=0)
    usual = np.percentile(high, 99, axis=0) - np.percentile(low, 1, axis=0)
    stretch = whole / np.maximum(usual, 1e-9)
    found = []
    for index in np.flatnonzero((stretch > STRETCH) & (whole > 1e-6)):
        reach = (high[:, index] / max(high[:, index].max(), 1e-9), low[:, index] / min(low[:, index].min(), -1e-9))
        top = high[:, index].max() >= -low[:, index].min()
        image = int(np.argmax(reach[0] if top else reach[1]))
        limits = float(low[:, index].min()), float(high[:, index].max())
        found.append(Outlier(names[index], *limits, float(stretch[index]), image))
    return tuple(sorted(found, key=lambda item: -item.stretch))


def share_beyond(ours: np.ndarray, theirs: np.ndarray) -> float:
    """Mean share, over layers, of the images of `theirs` that leave the range of `ours` by over 1 % of it, 0..1."""
    low, high = ours[..., 0].min(axis=0), ours[..., 1].max(axis=0)
    slack = 0.01 * (high - low)
    outside = (theirs[..., 0] < low - slack) | (theirs[..., 1] > high + slack)
    return float(outside.mean())


def picture_differences(ours: np.ndarray, theirs: np.ndarray) -> dict[str, float]:
    """How far `theirs` are from `ours` in brightness, contrast, sharpness and colours: Cohen's d of each."""
    first, second = _properties(ours), _properties(theirs)
    differences = {}
    for name in first:
        spread = np.sqrt((first[name].var() + second[name].var()) / 2)
        gap = second[name].mean() - first[name].mean()
        differences[name] = (
            float(gap / spread) if spread > 1e-9 else 0.0 if abs(gap) < 1e-9 else float(np.sign(gap)) * 99
        )
    return differences


def _properties(images: np.ndarray) -> dict[str, Any]:
    values = np.asarray(images, np.float32)
    gray = values.mean(axis=3)
    return {
        "brightness": gray.mean(axis=(1, 2)),
        "contrast": gray.std(axis=(1, 2)),
        "sharpness": np.abs(np.diff(gray, axis=2)).mean(axis=(1, 2)),
        **{name: (values[..., index] - gray).mean(axis=(1, 2)) for index, name in enumerate(("red", "green", "blue"))},
    }
