"""The networks that the published latencies are of, by their papers, with random weights and without the final NMS.

MobileNetV1 (Howard et al. 2017, https://arxiv.org/abs/1704.04861), MobileNetV2 (Sandler et al. 2018,
https://arxiv.org/abs/1801.04381) and on it SSDLite (same paper, section 6.2), EfficientDet-Lite0 to 2 (Tan et al. 2020,
https://arxiv.org/abs/1911.09070; the Lite variants' sizes are those of google/automl's hparams_config.py).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from math import ceil

from edgeface.bench.calibration.builder import Builder

DTYPES = ("float32", "int8")
COCO_CLASSES = 90
ANCHORS = 9


def build(name: str, dtype: str) -> bytes:
    """A network of NETWORKS as a .tflite file's content. Raises KeyError for an unknown name."""
    net = Builder(dtype)
    image, outputs = NETWORKS[name](net)
    return net.finish([image], outputs)


def mobilenet_v1(net: Builder, side: int = 224, classes: int = 1001) -> tuple[int, list[int]]:
    """MobileNetV1 1.0: 569 million multiply-adds and 4.2 million parameters at 224 px."""
    image = net.image(side)
    x = net.conv(image, 32, 3, 2)
    for filters, stride in [(64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *[(512, 1)] * 5, (1024, 2)]:
        x = net.conv(net.depthwise(x, 3, stride), filters, 1)
    x = net.conv(net.depthwise(x, 3), 1024, 1)
    return image, [net.softmax(net.dense(net.global_pool(x), classes))]


def mobilenet_v2(net: Builder, width: float = 1.0, side: int = 224, classes: int = 1000) -> tuple[int, list[int]]:
    """MobileNetV2: 300 million multiply-adds and 3.5 million parameters at width 1.0, 224 px."""
    image, _, features = _mobilenet_v2_features(net, width, side)
    return image, [net.softmax(net.dense(net.global_pool(features), classes))]


def ssdlite_mobilenet_v2(net: Builder, side: int = 300) -> tuple[int, list[int]]:
    """SSDLite on MobileNetV2 as in TensorFlow's detection model zoo: 91 classes, 1,917 anchors on six feature maps."""
    image, middle, features = _mobilenet_v2_features(net, 1.0, side)
    maps = [middle, features]
    for filters in (512, 256, 256, 128):
        x = net.conv(maps[-1], filters // 2, 1)
        maps.append(net.conv(net.depthwise(x, 3, 2), filters, 1))
    boxes: list[int] = []
    scores: list[int] = []
    for number, feature_map in enumerate(maps):
        anchors = 3 if number == 0 else 6
        for values, outputs in ((4, boxes), (COCO_CLASSES + 1, scores)):
            x = net.conv(net.depthwise(feature_map, 3), anchors * values, 1, activation="")
            outputs.append(net.rows(x, values))
    return image, [net.concatenate(boxes), net.logistic(net.concatenate(scores))]


def efficientdet_lite(
    net: Builder,
    side: int,
    filters: int,
    cells: int,
    width: float = 1.0,
    depth: float = 1.0,
    classes: int = COCO_CLASSES,
) -> tuple[int, list[int]]:
    """EfficientDet-Lite: EfficientNet-Lite, `cells` BiFPN cells of `filters` channels, three-layer heads on P3-P7."""
    image = net.image(side)
    stages = _efficientnet_lite(net, image, width, depth)
    levels = [stages[number] for number in (2, 4, 6)]  # strides 8, 16 and 32
    p6 = net.max_pool(net.conv(levels[2], filters, 1, activation=""))
    levels += [p6, net.max_pool(p6)]
    for _ in range(cells):
        levels = _bifpn_cell(net, levels, filters)
    boxes: list[int] = []
    scores: list[int] = []
    for level in levels:
        for values, outputs in ((classes, scores), (4, boxes)):
            x = level
            for _ in range(3):
                x = net.conv(net.depthwise(x, 3, activation=""), filters, 1)
            x = net.conv(net.depthwise(x, 3, activation=""), ANCHORS * values, 1, activation="")
            outputs.append(net.rows(x, values))
    return image, [net.logistic(net.concatenate(scores)), net.concatenate(boxes)]


NETWORKS: Mapping[str, Callable[[Builder], tuple[int, list[int]]]] = {
    "mobilenet_v1": mobilenet_v1,
    "mobilenet_v2": mobilenet_v2,
    "mobilenet_v2_1.4": partial(mobilenet_v2, width=1.4),
    "mobilenet_v2_0.35_128": partial(mobilenet_v2, width=0.35, side=128),
    "mobilenet_v2_0.35_224": partial(mobilenet_v2, width=0.35, side=224),
    "mobilenet_v2_0.35_128_flowers": partial(mobilenet_v2, width=0.35, side=128, classes=5),
    "mobilenet_v2_0.35_224_flowers": partial(mobilenet_v2, width=0.35, side=224, classes=5),
    "ssdlite_mobilenet_v2_300": ssdlite_mobilenet_v2,
    "efficientdet_lite0": partial(efficientdet_lite, side=320, filters=64, cells=3),
    "efficientdet_lite1": partial(efficientdet_lite, side=384, filters=88, cells=4, depth=1.1),
    "efficientdet_lite2": partial(efficientdet_lite, side=448, filters=112, cells=5, width=1.1, depth=1.2),
}
"""Name in the devices' calibration points -> how it is built."""


def _rounded(channels: float, divisor: int = 8) -> int:
    """Channels to the next multiple of `divisor`, not more than 10 % below (both papers' reference code)."""
    rounded = max(divisor, int(channels + divisor / 2) // divisor * divisor)
    return rounded + divisor if rounded < 0.9 * channels else rounded


def _inverted_residual(net: Builder, x: int, filters: int, kernel: int, stride: int, expansion: int) -> tuple[int, int]:
    """(output, the expanded tensor): 1x1 up, depthwise, 1x1 down without activation, identity where shapes agree."""
    channels = net.shape(x)[3]
    expanded = x if expansion == 1 else net.conv(x, channels * expansion, 1)
    y = net.conv(net.depthwise(expanded, kernel, stride), filters, 1, activation="")
    return (net.add(x, y) if stride == 1 and channels == filters else y), expanded


def _mobilenet_v2_features(net: Builder, width: float, side: int) -> tuple[int, int, int]:
    """(image, the expansion of block 13 at stride 16, the last 1x1 convolution at stride 32)."""
    image = net.image(side)
    x = net.conv(image, _rounded(32 * width), 3, 2)
    middle = x
    rows = [(1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1)]
    for expansion, filters, repeats, stride in rows:
        for number in range(repeats):
            step = stride if number == 0 else 1
            x, expanded = _inverted_residual(net, x, _rounded(filters * width), 3, step, expansion)
            if filters == 160 and number == 0:
                middle = expanded
    return image, middle, net.conv(x, max(1280, _rounded(1280 * width)), 1)


def _efficientnet_lite(net: Builder, image: int, width: float, depth: float) -> list[int]:
    """The outputs of the seven stages. Lite does not scale the stem, nor the depth of the first and last stage."""
    x = net.conv(image, 32, 3, 2)
    rows = [
        (1, 16, 1, 1, 3),
        (6, 24, 2, 2, 3),
        (6, 40, 2, 2, 5),
        (6, 80, 3, 2, 3),
        (6, 112, 3, 1, 5),
        (6, 192, 4, 2, 5),
    ]
    rows.append((6, 320, 1, 1, 3))
    outputs = []
    for index, (expansion, filters, repeats, stride, kernel) in enumerate(rows):
        for number in range(repeats if index in (0, len(rows) - 1) else ceil(repeats * depth)):
            step = stride if number == 0 else 1
            x, _ = _inverted_residual(net, x, _rounded(filters * width), kernel, step, expansion)
        outputs.append(x)
    return outputs


def _bifpn_cell(net: Builder, levels: list[int], filters: int) -> list[int]:
    """One BiFPN cell over P3..P7, unweighted ("sum"): the Lite variants' node is add, ReLU6, separable convolution."""

    def fit(x: int, like: int) -> int:
        """Bring `x` to the cell's channels and to the height and width of `like`."""
        if net.shape(x)[3] != filters:
            x = net.conv(x, filters, 1, activation="")
        _, height, width, _ = net.shape(like)
        if net.shape(x)[1] > height:
            return net.max_pool(x)
        return net.upsample(x, height, width) if net.shape(x)[1] < height else x

    def node(like: int, *inputs: int) -> int:
        fitted = [fit(x, like) for x in inputs]
        total = net.add(fitted[0], fitted[1], "relu6" if len(fitted) == 2 else "")
        for number, x in enumerate(fitted[2:], start=3):
            total = net.add(total, x, "relu6" if number == len(fitted) else "")
        return net.conv(net.depthwise(total, 3, activation=""), filters, 1, activation="")

    p3, p4, p5, p6, p7 = levels
    top6 = node(p6, p6, p7)
    top5 = node(p5, p5, top6)
    top4 = node(p4, p4, top5)
    out3 = node(p3, p3, top4)
    out4 = node(p4, p4, top4, out3)
    out5 = node(p5, p5, top5, out4)
    out6 = node(p6, p6, top6, out5)
    return [out3, out4, out5, out6, node(p7, p7, out6)]
