"""MobileFaceNet (Chen et al. 2018, https://arxiv.org/abs/1804.07573): a peer to compare the students with.

Inverted residual bottlenecks (MobileNetV2's) with fewer channels, and a global depthwise convolution in place of the
average pool. The paper has PReLU; the variant with ReLU is the one that int8 runs fast. Its 128 outputs are the
embedding; 1,003,136 parameters without the classifier with PReLU at 112 px, 995,584 with ReLU.
"""

from __future__ import annotations

import tf_keras
from tf_keras import layers

EMBEDDING_SIZE = 128
BATCH_NORM_EPSILON = 1e-3
BOTTLENECKS = ((2, 64, 5, 2), (4, 128, 1, 2), (2, 128, 6, 1), (4, 128, 1, 2), (2, 128, 2, 1))
"""Expansion, channels, repetitions and stride of the first, as in the paper's table 1."""


class _Builder:
    """What all convolutions of one network share."""

    def __init__(self, momentum: float, prelu: bool):
        self.momentum, self.prelu = momentum, prelu

    def conv(self, x, filters: int, kernel: int, strides: int = 1, *, name: str, linear: bool = False):
        layer = layers.Conv2D(
            filters, kernel, strides, "same", use_bias=False, kernel_initializer="he_normal", name=name
        )
        return self._norm(layer(x), name, linear)

    def depthwise(self, x, kernel, strides: int = 1, padding: str = "same", *, name: str, linear: bool = False):
        layer = layers.DepthwiseConv2D(
            kernel, strides, padding, use_bias=False, depthwise_initializer="he_normal", name=name
        )
        return self._norm(layer(x), name, linear)

    def bottleneck(self, x, expansion: int, channels: int, strides: int, *, name: str):
        """1x1 to `expansion` times the channels, 3x3 depthwise, linear 1x1; plus identity where shapes allow it."""
        before = x.shape[-1]
        y = self.conv(x, before * expansion, 1, name=f"{name}_expand")
        y = self.depthwise(y, 3, strides, name=f"{name}_depthwise")
        y = self.conv(y, channels, 1, name=f"{name}_project", linear=True)
        return layers.Add(name=f"{name}_add")([x, y]) if strides == 1 and before == channels else y

    def _norm(self, x, name: str, linear: bool):
        x = layers.BatchNormalization(momentum=self.momentum, epsilon=BATCH_NORM_EPSILON, name=f"{name}_bn")(x)
        if linear:
            return x
        return (
            layers.PReLU(shared_axes=[1, 2], name=f"{name}_prelu")(x)
            if self.prelu
            else layers.ReLU(name=f"{name}_relu")(x)
        )


def mobilefacenet(
    classes: int,
    *,
    size: int = 112,
    dropout: float = 0.2,
    batch_norm_momentum: float = 0.99,
    prelu: bool = False,
    bottlenecks: tuple[tuple[int, int, int, int], ...] = BOTTLENECKS,
) -> tf_keras.Model:
    """Build MobileFaceNet for `size` x `size` x 3 float32 inputs in [-1, 1].

    Returns a functional model with two float32 outputs, `embedding` (batch, 128) and `logits` (batch, classes).
    `bottlenecks` gives (expansion, channels, repetitions, stride), fewer of them for quick tests.
    """
    b = _Builder(batch_norm_momentum, prelu)
    image = tf_keras.Input((size, size, 3), name="image")
    x = b.conv(image, 64, 3, 2, name="stem")
    x = b.depthwise(x, 3, name="stem_depthwise")
    for group, (expansion, channels, count, stride) in enumerate(bottlenecks, 1):
        for number in range(1, count + 1):
            name = f"group{group}_block{number}"
            x = b.bottleneck(x, expansion, channels, stride if number == 1 else 1, name=name)
    x = b.conv(x, 512, 1, name="head")
    x = b.depthwise(x, tuple(x.shape[1:3]), padding="valid", name="global_depthwise", linear=True)
    x = b.conv(x, EMBEDDING_SIZE, 1, name="projection", linear=True)
    # One pixel is left: its average is the pixel itself.
    embedding = layers.GlobalAveragePooling2D(name="embedding", dtype="float32")(x)
    x = layers.Dropout(dropout, name="dropout", dtype="float32")(embedding)
    logits = layers.Dense(classes, name="logits", dtype="float32")(x)
    return tf_keras.Model(image, {"embedding": embedding, "logits": logits}, name="mobilefacenet")


def mobilefacenet_prelu(classes: int, **options) -> tf_keras.Model:
    """MobileFaceNet with PReLU, as published. For float networks: int8 runtimes are slow at PReLU."""
    return mobilefacenet(classes, prelu=True, **options)
