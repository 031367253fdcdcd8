"""The channels of SqueezeNext that can be removed: which convolutions share them, what they cost, removing them.

A group is a set of channels that exist once however many convolutions write or read them: the stem's, the inner ones
of each block, and each stage's residual, to which the stage's first convolution and every block of it add.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import tf_keras

from edgeface.errors import UsageError
from edgeface.models import build_network
from edgeface.models.squeezenext import EMBEDDING_SIZE, STAGE_BLOCKS, STAGE_STRIDES, Widths, uniform_widths
from edgeface.run import Run

PRUNABLE = "squeezenext_23v5"
INNER = ("reduce1", "reduce2", "3x1", "1x3")
Counts = dict[str, int]
"""Channels by group."""


@dataclass(frozen=True)
class Convolution:
    """A convolution between two groups; `area` is that of its kernel and `pixels` that of its output."""

    name: str
    reads: str
    writes: str
    area: int
    pixels: int


def widths_of(run: Run) -> Widths:
    """The width list of a run's network. Raises UsageError for a network that is not a SqueezeNext."""
    if run.network != PRUNABLE:
        raise UsageError(
            f"{run.path}: its network is {run.network}; channels can be removed from {PRUNABLE} alone, "
            "single weights from any student (--unstructured)"
        )
    given = run.build.get("widths")
    return given or uniform_widths(run.build.get("width", 1.0), run.build.get("blocks", STAGE_BLOCKS))


def group_sizes(widths: Widths) -> Counts:
    """The channels of every group, in the order that the network computes them."""
    counts = {"stem": widths["stem"]}
    for stage, (channels, blocks) in enumerate(zip(widths["stages"], widths["blocks"], strict=True), 1):
        counts[f"stage{stage}"] = channels
        for number, block in enumerate(blocks, 1):
            counts |= {f"stage{stage}_block{number}_{part}": n for part, n in zip(INNER, block, strict=True)}
    return counts


def with_sizes(widths: Widths, counts: Mapping[str, int]) -> Widths:
    """The width list with other numbers of channels."""
    return {
        "stem": counts["stem"],
        "stages": [counts[f"stage{stage}"] for stage in range(1, len(widths["stages"]) + 1)],
        "blocks": [
            [[counts[f"stage{stage}_block{number}_{part}"] for part in INNER] for number in range(1, len(blocks) + 1)]
            for stage, blocks in enumerate(widths["blocks"], 1)
        ],
    }


def convolutions(widths: Widths, size: int) -> list[Convolution]:
    """All convolutions of the network for inputs of `size` pixels, in order."""
    side = (size - 5) // 2 + 1
    found = [Convolution("stem", "image", "stem", 25, side * side)]
    side, before = -(-side // 2), "stem"
    for stage, (blocks, stride) in enumerate(zip(widths["blocks"], STAGE_STRIDES, strict=True), 1):
        side, group = -(-side // stride), f"stage{stage}"
        pixels = side * side
        found.append(Convolution(f"{group}_enter", before, group, 1, pixels))
        for number in range(1, len(blocks) + 1):
            reads = group
            for part, area in zip(INNER, (1, 1, 3, 3), strict=True):
                name = f"{group}_block{number}_{part}"
                found.append(Convolution(name, reads, name, area, pixels))
                reads = name
            found.append(Convolution(f"{group}_block{number}_expand", reads, group, 1, pixels))
        before = group
    found.append(Convolution("head", before, "embedding", 1, side * side))
    return found


@dataclass(frozen=True)
class Cost:
    """What a network costs by its channels, in multiply-adds of one image or in trainable parameters."""

    layers: tuple[Convolution, ...]
    classes: int
    unit: str

    def total(self, counts: Mapping[str, int]) -> int:
        """The whole network's."""
        sizes = {**counts, "image": 3, "embedding": EMBEDDING_SIZE}
        dense = EMBEDDING_SIZE * self.classes + (self.classes if self.unit == "params" else 0)
        return dense + sum(self._layer(layer, sizes[layer.reads], sizes[layer.writes]) for layer in self.layers)

    def saved(self, counts: Mapping[str, int], group: str, channels: int) -> int:
        """What removing some channels of a group saves."""
        sizes = {**counts, "image": 3, "embedding": EMBEDDING_SIZE}
        saved = 0
        for layer in self.layers:
            if layer.writes == group:
                saved += self._layer(layer, sizes[layer.reads], channels)
            elif layer.reads == group:
                area = layer.area * (layer.pixels if self.unit == "macs" else 1)
                saved += area * channels * sizes[layer.writes]
        return saved

    def _layer(self, layer: Convolution, reads: int, writes: int) -> int:
        if self.unit == "macs":
            return layer.area * layer.pixels * reads * writes
        return layer.area * reads * writes + 2 * writes  # BatchNorm's gamma and beta


def cost_of(widths: Widths, size: int, classes: int, unit: str) -> Cost:
    """The cost by `unit`, 'macs' or 'params', of networks with these blocks."""
    return Cost(tuple(convolutions(widths, size)), classes, unit)


def remove_channels(
    model: tf_keras.Model, network: str, build: Mapping[str, Any], widths: Widths, keep: Mapping[str, np.ndarray]
) -> tuple[tf_keras.Model, dict[str, Any]]:
    """The network without the channels that `keep` leaves out: (a plain model, the arguments that build it).

    `keep` holds the sorted indices of the channels that stay, int64, by group; groups it does not name stay whole.
    Channels whose output is zero everywhere change nothing.
    """
    kept = {group: np.arange(count) for group, count in group_sizes(widths).items()} | dict(keep)
    narrow = with_sizes(widths, {group: len(indices) for group, indices in kept.items()})
    smaller_build = {**build, "widths": narrow}
    smaller = build_network(network, smaller_build)
    kept |= {"image": np.arange(3), "embedding": np.arange(EMBEDDING_SIZE)}
    for layer in convolutions(widths, model.input_shape[1]):
        (kernel,) = model.get_layer(layer.name).get_weights()
        smaller.get_layer(layer.name).set_weights([kernel[:, :, kept[layer.reads]][..., kept[layer.writes]]])
        statistics = model.get_layer(f"{layer.name}_bn").get_weights()
        smaller.get_layer(f"{layer.name}_bn").set_weights([values[kept[layer.writes]] for values in statistics])
    smaller.get_layer("logits").set_weights(model.get_layer("logits").get_weights())
    return smaller, smaller_build
