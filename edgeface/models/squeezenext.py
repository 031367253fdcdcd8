"""SqueezeNext-23v5 (Gholami et al. 2018, https://arxiv.org/abs/1803.10615): the student network.

A SqueezeNext block replaces a 3x3 convolution by a chain of small ones: two 1x1 reductions, a 3x1
and a 1x3 convolution, and a 1x1 expansion back to the stage's width. "23v5" is the block counts
2-4-14-1; the width multiplier scales every stage (1.0 and 2.0 are the published students).
Every convolution is conv -> BatchNorm -> ReLU without bias, which is what TFMOT folds for int8.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypedDict

import tf_keras
from tf_keras import layers

STEM_CHANNELS = 64
STAGE_CHANNELS = (32, 64, 128, 256)
STAGE_BLOCKS = (2, 4, 14, 1)
STAGE_STRIDES = (1, 2, 2, 2)
EMBEDDING_SIZE = 128
BATCH_NORM_EPSILON = 1e-3
BRANCH_SCALE = 0.2
"""Gamma of a block's last BatchNorm at the start. A small branch makes a deep residual network nearly an identity to
begin with (Goyal et al. 2017, https://arxiv.org/abs/1706.02677, start at 0; before a ReLU that would never learn)."""


class Widths(TypedDict):
    """Channels of every convolution but the head's: what pruning changes. JSON-serialisable, kept in run.json.

    `stem`; `stages`, the channels that each stage carries from block to block; `blocks`, a list a stage of
    [reduce1, reduce2, conv3x1, conv1x3] a block. The embedding keeps its size.
    """

    stem: int
    stages: list[int]
    blocks: list[list[list[int]]]


def uniform_widths(width: float = 1.0, blocks: Sequence[int] = STAGE_BLOCKS) -> Widths:
    """The channels of the published networks at a width multiplier: c/2, c/4, c/2, c/2 inside a stage of c."""
    stages = [round(channels * width) for channels in STAGE_CHANNELS]
    inner = [[c // 2, c // 4, c // 2, c // 2] for c in stages]
    listed = [[list(own) for _ in range(count)] for own, count in zip(inner, blocks, strict=True)]
    return {"stem": STEM_CHANNELS, "stages": stages, "blocks": listed}


def check_widths(widths: Widths) -> None:
    """Raise ValueError unless this is a width list of four stages with at least one channel everywhere."""
    stages, blocks = widths["stages"], widths["blocks"]
    fits = len(stages) == len(blocks) == len(STAGE_CHANNELS) and all(len(b) == 4 for stage in blocks for b in stage)
    numbers = [widths["stem"], *stages, *(number for stage in blocks for block in stage for number in block)]
    if not fits or any(not isinstance(number, int) or number < 1 for number in numbers):
        raise ValueError("its width list is not that of a SqueezeNext-23v5")


def _conv(x, filters: int, kernel, strides=1, padding="same", *, name: str, momentum: float, gamma: float = 1.0):
    x = layers.Conv2D(
        filters, kernel, strides=strides, padding=padding, use_bias=False, kernel_initializer="he_normal", name=name
    )(x)
    x = layers.BatchNormalization(
        momentum=momentum,
        epsilon=BATCH_NORM_EPSILON,
        gamma_initializer=tf_keras.initializers.Constant(gamma),
        name=f"{name}_bn",
    )(x)
    return layers.ReLU(name=f"{name}_relu")(x)


def _block(x, channels: int, inner: Sequence[int], *, name: str, momentum: float):
    """1x1, 1x1, 3x1 and 1x3 of `inner` channels, 1x1 back to `channels`, plus identity (no activation after it)."""
    reduce1, reduce2, conv3x1, conv1x3 = inner
    y = _conv(x, reduce1, 1, name=f"{name}_reduce1", momentum=momentum)
    y = _conv(y, reduce2, 1, name=f"{name}_reduce2", momentum=momentum)
    y = _conv(y, conv3x1, (3, 1), name=f"{name}_3x1", momentum=momentum)
    y = _conv(y, conv1x3, (1, 3), name=f"{name}_1x3", momentum=momentum)
    y = _conv(y, channels, 1, name=f"{name}_expand", momentum=momentum, gamma=BRANCH_SCALE)
    return layers.Add(name=f"{name}_add")([x, y])


def squeezenext_23v5(
    classes: int,
    *,
    size: int = 224,
    width: float = 1.0,
    dropout: float = 0.2,
    batch_norm_momentum: float = 0.99,
    blocks: Sequence[int] = STAGE_BLOCKS,
    widths: Widths | None = None,
) -> tf_keras.Model:
    """Build SqueezeNext-23v5 for `size` x `size` x 3 float32 inputs in [-1, 1].

    Returns a functional model with two float32 outputs, `embedding` (batch, 128) and `logits`
    (batch, classes). `blocks` gives the number of blocks a stage, fewer of them for quick tests. `widths`, of a
    pruned network, takes the place of `width` and `blocks`; ValueError when it is no such list.
    With 2,360 classes it has 1,106,456 trainable parameters at width 1.0 and 3,399,352 at 2.0.
    """
    widths = uniform_widths(width, blocks) if widths is None else widths
    check_widths(widths)
    image = tf_keras.Input((size, size, 3), name="image")
    x = _conv(image, widths["stem"], 5, 2, "valid", name="stem", momentum=batch_norm_momentum)
    x = layers.MaxPooling2D(3, 2, "same", name="stem_pool")(x)
    stages = zip(widths["stages"], widths["blocks"], STAGE_STRIDES, strict=True)
    for stage, (channels, listed, stride) in enumerate(stages, 1):
        x = _conv(x, channels, 1, stride, name=f"stage{stage}_enter", momentum=batch_norm_momentum)
        for number, inner in enumerate(listed, 1):
            x = _block(x, channels, inner, name=f"stage{stage}_block{number}", momentum=batch_norm_momentum)
    x = _conv(x, EMBEDDING_SIZE, 1, name="head", momentum=batch_norm_momentum)
    embedding = layers.GlobalAveragePooling2D(name="embedding", dtype="float32")(x)
    x = layers.Dropout(dropout, name="dropout", dtype="float32")(embedding)
    logits = layers.Dense(classes, name="logits", dtype="float32")(x)
    return tf_keras.Model(image, {"embedding": embedding, "logits": logits}, name=f"squeezenext_{width:g}")
