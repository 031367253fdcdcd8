"""Inception-ResNet v1 (Szegedy et al. 2016, https://arxiv.org/abs/1602.07261) as used by FaceNet: the teacher.

BatchNorm has no gamma (the next convolution can scale), which keeps FaceNet's trainable count.
"""

from __future__ import annotations

import tf_keras
from tf_keras import layers

EMBEDDING_SIZE = 1792
BATCH_NORM_EPSILON = 1e-3
SMALLEST_SIZE = 75
"""Below 75 px the valid convolutions and reductions of the network leave no pixel."""


class _Builder:
    """Numbers the layers of one network, so that names are stable from one build to the next."""

    def __init__(self, momentum: float):
        self.momentum = momentum
        self.prefix = ""

    def conv(self, x, filters: int, kernel, strides=1, padding="same", *, name: str):
        name = f"{self.prefix}{name}"
        x = layers.Conv2D(filters, kernel, strides=strides, padding=padding, use_bias=False, name=name)(x)
        x = layers.BatchNormalization(
            momentum=self.momentum, epsilon=BATCH_NORM_EPSILON, scale=False, name=f"{name}_bn"
        )(x)
        return layers.ReLU(name=f"{name}_relu")(x)

    def residual(self, x, branches, scale: float, activation: bool = True):
        """x + scale * conv1x1(concat(branches)), the add in the compute dtype, then ReLU."""
        mixed = layers.Concatenate(name=f"{self.prefix}concat")(branches)
        up = layers.Conv2D(x.shape[-1], 1, name=f"{self.prefix}up")(mixed)
        x = layers.Add(name=f"{self.prefix}add")([x, layers.Rescaling(scale, name=f"{self.prefix}scale")(up)])
        return layers.ReLU(name=f"{self.prefix}relu")(x) if activation else x


def _block35(b: _Builder, x):
    b0 = b.conv(x, 32, 1, name="b0_1x1")
    b1 = b.conv(b.conv(x, 32, 1, name="b1_1x1"), 32, 3, name="b1_3x3")
    b2 = b.conv(x, 32, 1, name="b2_1x1")
    b2 = b.conv(b.conv(b2, 32, 3, name="b2_3x3a"), 32, 3, name="b2_3x3b")
    return b.residual(x, [b0, b1, b2], 0.17)


def _block17(b: _Builder, x):
    b0 = b.conv(x, 128, 1, name="b0_1x1")
    b1 = b.conv(x, 128, 1, name="b1_1x1")
    b1 = b.conv(b.conv(b1, 128, (1, 7), name="b1_1x7"), 128, (7, 1), name="b1_7x1")
    return b.residual(x, [b0, b1], 0.10)


def _block8(b: _Builder, x, scale: float = 0.20, activation: bool = True):
    b0 = b.conv(x, 192, 1, name="b0_1x1")
    b1 = b.conv(x, 192, 1, name="b1_1x1")
    b1 = b.conv(b.conv(b1, 192, (1, 3), name="b1_1x3"), 192, (3, 1), name="b1_3x1")
    return b.residual(x, [b0, b1], scale, activation)


def _reduction_a(b: _Builder, x):
    b0 = b.conv(x, 384, 3, 2, "valid", name="b0_3x3")
    b1 = b.conv(b.conv(x, 192, 1, name="b1_1x1"), 192, 3, name="b1_3x3a")
    b1 = b.conv(b1, 256, 3, 2, "valid", name="b1_3x3b")
    pool = layers.MaxPooling2D(3, 2, name=f"{b.prefix}pool")(x)
    return layers.Concatenate(name=f"{b.prefix}concat")([b0, b1, pool])


def _reduction_b(b: _Builder, x):
    b0 = b.conv(b.conv(x, 256, 1, name="b0_1x1"), 384, 3, 2, "valid", name="b0_3x3")
    b1 = b.conv(b.conv(x, 256, 1, name="b1_1x1"), 256, 3, 2, "valid", name="b1_3x3")
    b2 = b.conv(b.conv(x, 256, 1, name="b2_1x1"), 256, 3, name="b2_3x3a")
    b2 = b.conv(b2, 256, 3, 2, "valid", name="b2_3x3b")
    pool = layers.MaxPooling2D(3, 2, name=f"{b.prefix}pool")(x)
    return layers.Concatenate(name=f"{b.prefix}concat")([b0, b1, b2, pool])


def inception_resnet_v1(
    classes: int, *, size: int = 224, dropout: float = 0.2, batch_norm_momentum: float = 0.995
) -> tf_keras.Model:
    """Build Inception-ResNet v1 for `size` x `size` x 3 float32 inputs in [-1, 1], size >= 75.

    Returns a functional model with two float32 outputs, `embedding` (batch, 1792) and `logits`
    (batch, classes). With 2,360 classes it has 26,781,288 trainable parameters.
    """
    b = _Builder(batch_norm_momentum)
    image = tf_keras.Input((size, size, 3), name="image")
    x = b.conv(image, 32, 3, 2, "valid", name="stem1_3x3")
    x = b.conv(x, 32, 3, 1, "valid", name="stem2_3x3")
    x = b.conv(x, 64, 3, name="stem3_3x3")
    x = layers.MaxPooling2D(3, 2, name="stem_pool")(x)
    x = b.conv(x, 80, 1, name="stem4_1x1")
    x = b.conv(x, 192, 3, 1, "valid", name="stem5_3x3")
    x = b.conv(x, 256, 3, 2, "valid", name="stem6_3x3")
    for number in range(1, 6):
        b.prefix = f"block35_{number}_"
        x = _block35(b, x)
    b.prefix = "reduction_a_"
    x = _reduction_a(b, x)
    for number in range(1, 11):
        b.prefix = f"block17_{number}_"
        x = _block17(b, x)
    b.prefix = "reduction_b_"
    x = _reduction_b(b, x)
    for number in range(1, 6):
        b.prefix = f"block8_{number}_"
        x = _block8(b, x)
    b.prefix = "block8_6_"
    x = _block8(b, x, scale=1.0, activation=False)
    embedding = layers.GlobalAveragePooling2D(name="embedding", dtype="float32")(x)
    x = layers.Dropout(dropout, name="dropout", dtype="float32")(embedding)
    logits = layers.Dense(classes, name="logits", dtype="float32")(x)
    return tf_keras.Model(image, {"embedding": embedding, "logits": logits}, name="inception_resnet_v1")
