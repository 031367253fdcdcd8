"""The first convolution of an int8 model, reading its pixels two by two: the same outputs, sooner.

A convolution with stride 2 over an image (height, width, 3) is one with stride (2, 1) over the same bytes taken as
(height, width / 2, 6). A kernel of odd width is filled up with zeros: 5x5x3 becomes 5x3x6. Runtimes lay channels out in
groups of 4 or 8, so three of them waste most of the work, and every position of the kernel has a price of its own, of
which there are fewer now. In the int8 1.0-SqueezeNext the stem is a quarter of the multiply-adds and was a third of the
time on x86. In float32 channels are not filled up, and pairs are 4 % slower: those models are left as they are.
"""

from __future__ import annotations

import numpy as np


def paired(kernel: np.ndarray) -> np.ndarray:
    """A kernel (outputs, height, width, channels) for pairs of pixels: (outputs, height, width / 2, 2 * channels), the
    width rounded up."""
    outputs, height, width, channels = kernel.shape
    filled = np.pad(kernel, ((0, 0), (0, 0), (0, width % 2), (0, 0)))
    return filled.reshape(outputs, height, -1, 2 * channels)


def unpaired(kernel: np.ndarray, channels: int = 3) -> np.ndarray:
    """The kernel over single pixels of one that `paired` made, without what filled it up; any other as it is.

    Stems are square and wider than one pixel, so a kernel over twice the channels and half as wide as high is of pairs.
    """
    outputs, height, pairs, depth = kernel.shape
    if depth != 2 * channels or pairs == height or pairs != -(-height // 2):
        return kernel
    return kernel.reshape(outputs, height, 2 * pairs, channels)[:, :, :height]
