"""The first convolution of an int8 model over other groups of pixels than single ones: the same outputs, sooner.

Runtimes lay channels out in groups of 4 or 8, so the three of a pixel waste most of the work, and every position of a
kernel has a price of its own. In the int8 1.0-SqueezeNext the stem is a quarter of the multiply-adds and was a third of
the time on x86.

- Pairs: a convolution with stride 2 over an image (height, width, 3) is one with stride (2, 1) over the same bytes
  taken as (height, width / 2, 6). A kernel of odd width is filled up with zeros: 5x5x3 becomes 5x3x6.
- Rows: a convolution whose weights are 0 and 1 (`gatherer`) writes for every output column the pixels side by side that
  a row of the kernel reads, 15 bytes and one zero; the stem over them is 5x1x16. Only for kernels wider
  than 4 pixels: with 3x3 the copy costs what it saves.

In float32 channels are not filled up, and pairs are 4 % slower: those models are left as they are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:  # a profile needs the names alone, and has to answer at once
    import numpy as np

GATHERER = "stem_rows/kernel"
"""Name of the tensor that holds a gatherer in a .tflite: the one convolution that is not a layer of the network."""
ROWS = "stem_rows"
"""Name of what it writes: the stem's input."""
GROUP = 8
NARROW = 4
"""Kernels of up to so many pixels are not laid out in rows."""


def over_pairs(kernel: np.ndarray) -> np.ndarray:
    """A kernel (outputs, height, width, channels) for pairs of pixels: (outputs, height, width / 2, 2 * channels), the
    width rounded up."""
    import numpy as np

    outputs, height, width, channels = kernel.shape
    filled = np.pad(kernel, ((0, 0), (0, 0), (0, width % 2), (0, 0)))
    return filled.reshape(outputs, height, -1, 2 * channels)


def over_rows(kernel: np.ndarray) -> np.ndarray:
    """A kernel (outputs, height, width, channels) for gathered rows: (outputs, height, 1, width * channels), the last
    rounded up to `GROUP`."""
    import numpy as np

    outputs, height, width, channels = kernel.shape
    rows = kernel.reshape(outputs, height, 1, width * channels)
    return np.pad(rows, ((0, 0), (0, 0), (0, 0), (0, -rows.shape[3] % GROUP)))


def gatherer(width: int, channels: int = 3) -> np.ndarray:
    """The kernel, int8 (width * channels rounded up to `GROUP`, 1, width / 2 rounded up, 2 * channels), that puts
    `width` pixels side by side, read as pairs."""
    import numpy as np

    lanes = width * channels
    kernel = np.eye(lanes + -lanes % GROUP, -(-width // 2) * 2 * channels, dtype=np.int8)
    kernel[lanes:] = 0
    return kernel.reshape(len(kernel), 1, -1, 2 * channels)


def over_pixels(kernel: np.ndarray, channels: int = 3) -> np.ndarray:
    """The kernel over single pixels of one over pairs or rows, without what filled it up; any other as it is.

    Stems are square and wider than one pixel: a kernel half as wide as high over twice the channels is of pairs, a
    high one of width 1 over a rounded row of channels is of rows.
    """
    outputs, height, width, depth = kernel.shape
    row = height * channels
    if height > NARROW and width == 1 and depth == row + -row % GROUP:
        return kernel[..., :row].reshape(outputs, height, height, channels)
    if depth != 2 * channels or width == height or width != -(-height // 2):
        return kernel
    return kernel.reshape(outputs, height, 2 * width, channels)[:, :, :height]
