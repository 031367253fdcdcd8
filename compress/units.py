"""The parts of a network that can be quantized or pruned by themselves, found from its graph alone."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import tensorflow as tf
import tf_keras

from edgeface.errors import UsageError

_WEIGHTED = (tf_keras.layers.Conv2D, tf_keras.layers.DepthwiseConv2D, tf_keras.layers.Dense)
_FOLLOWERS = (
    tf_keras.layers.BatchNormalization,
    tf_keras.layers.ReLU,
    tf_keras.layers.PReLU,
    tf_keras.layers.Activation,
)
_BLOCK = re.compile(r"(.*?block\d+(?:_\d+)?)_")


@dataclass(frozen=True)
class Unit:
    """A layer with weights, or a block of them. `layers` are those with weights; `activations` the layers whose outputs
    are int8 when the unit is; `prunes` groups of layers whose outputs lose the same channels, each group by itself."""

    name: str
    layers: tuple[str, ...]
    activations: tuple[str, ...]
    prunes: tuple[tuple[str, ...], ...]


def weighted_layers(model: tf_keras.Model) -> list[str]:
    """Names of the layers with kernels, in the order they run."""
    return [layer.name for layer in model.layers if isinstance(layer, _WEIGHTED)]


def kernel_of(layer: tf_keras.layers.Layer) -> tf.Variable:
    """The kernel of a convolution or dense layer; its last axis (depthwise: the last two) are the output channels."""
    return layer.depthwise_kernel if isinstance(layer, tf_keras.layers.DepthwiseConv2D) else layer.kernel


def producers(layer: tf_keras.layers.Layer) -> list[str]:
    """Names of the layers that a layer reads."""
    return [before.name for before in tf.nest.flatten(layer.inbound_nodes[0].inbound_layers)]


def split_units(model: tf_keras.Model, by: str) -> list[Unit]:
    """The network's units in the order they run, by 'layer' or by 'block'. Raises UsageError for anything else."""
    if by not in ("layer", "block"):
        raise UsageError(f"--by {by}: choose layer or block")
    names = weighted_layers(model)
    ends = {name: followed_by(model, name)[-1] for name in names}
    members: dict[str, list[str]] = {}
    for name in names:
        block = _BLOCK.match(name)
        members.setdefault(block.group(1) if block and by == "block" else name, []).append(name)
    adds = {layer.name for layer in model.layers if isinstance(layer, tf_keras.layers.Add)}
    groups = prune_groups(model)
    units = []
    for unit, layers in members.items():
        own = {ends[name] for name in layers}
        sums = [name for name in adds if by == "block" and name.startswith(f"{unit}_")]
        # A group that layers of several units share is pruned with the first of them.
        prunes = tuple(group for group in groups if group[0] in layers)
        units.append(Unit(unit, tuple(layers), (*sorted(own), *sums), prunes))
    return units


def followed_by(model: tf_keras.Model, name: str) -> list[str]:
    """A layer and the BatchNorm and activation that alone read it, one after the other."""
    names = [name]
    while True:
        users = [node.outbound_layer for node in model.get_layer(names[-1]).outbound_nodes]
        users = [user for user in users if any(user is layer for layer in model.layers)]
        if len(users) != 1 or not isinstance(users[0], _FOLLOWERS):
            return names
        names.append(users[0].name)


def prune_groups(model: tf_keras.Model) -> list[tuple[str, ...]]:
    """Layers with weights whose output channels can only be removed together, in the order they run.

    What meets in an addition, or passes a depthwise convolution, keeps the same channels. Channels that reach an output
    of the network are not among them: the embedding keeps its size.
    """
    parent: dict[str, str] = {}

    def root(name: str) -> str:
        while parent.setdefault(name, name) != name:
            name = parent[name]
        return name

    for layer in model.layers:
        if isinstance(layer, (tf_keras.layers.Conv2D, tf_keras.layers.Dense, tf_keras.layers.InputLayer)):
            root(layer.name)
        else:
            # A concatenation lays channels side by side: nothing before it can be matched by position.
            joined = "logits" if isinstance(layer, tf_keras.layers.Concatenate) else layer.name
            for before in producers(layer):
                parent[root(before)] = root(joined)
    fixed = {root(name) for name in ("embedding", "logits", model.layers[0].name)}
    groups: dict[str, list[str]] = {}
    for name in weighted_layers(model):
        if root(name) not in fixed:
            groups.setdefault(root(name), []).append(name)
    return [tuple(group) for group in groups.values()]


def importance(model: tf_keras.Model, group: Sequence[str]) -> np.ndarray:
    """Importance of each channel of a group, float64: the sum of its BatchNorms' |gamma|, of |kernel| without one."""
    total = np.zeros(1)
    for name in group:
        scale = [
            np.abs(model.get_layer(follower).gamma.numpy())
            for follower in followed_by(model, name)
            if isinstance(model.get_layer(follower), tf_keras.layers.BatchNormalization)
            and model.get_layer(follower).scale
        ]
        if not scale:
            kernel = np.abs(kernel_of(model.get_layer(name)).numpy())
            scale = [kernel.mean(axis=(0, 1)).reshape(-1) if _is_depthwise(model, name) else _per_output(kernel)]
        total = total + scale[0].astype(np.float64)
    return total


def kept_channels(scores: np.ndarray, share: float) -> np.ndarray:
    """Mask, float32, that drops this share of the channels, the least important first, and never all of them."""
    drop = min(round(share * len(scores)), len(scores) - 1)
    mask = np.ones(len(scores), np.float32)
    mask[np.argsort(scores, kind="stable")[:drop]] = 0
    return mask


def cuts(model: tf_keras.Model) -> list[int]:
    """Positions in `model.layers` after which one tensor, that layer's output, is all that the rest reads."""
    places = {layer.name: index for index, layer in enumerate(model.layers)}
    last_use = dict.fromkeys(places, -1)
    for index, layer in enumerate(model.layers):
        if not isinstance(layer, tf_keras.layers.InputLayer):
            for before in producers(layer):
                last_use[before] = index
    end = places["embedding"]
    found = []
    for index in range(end):
        alive = [name for name, place in places.items() if place <= index < last_use[name]]
        if alive == [model.layers[index].name]:
            found.append(index)
    return found


Change = Callable[[str, tf.Tensor], tf.Tensor]


def run_layers(
    model: tf_keras.Model, start: int, state: tf.Tensor, stop: int, change: Change | None = None
) -> dict[str, tf.Tensor]:
    """Run the layers after `start`, whose output is `state`, up to `stop`, one by one in inference mode.

    `change(layer name, output)` may replace any output, that of `start` too. Returns the outputs of `stop`, `embedding`
    and `logits`, as far as they were reached.
    """
    layers = model.layers
    values = {layers[start].name: change(layers[start].name, state) if change else state}
    readers: dict[str, int] = {}
    for layer in layers[start + 1 : stop + 1]:
        for before in producers(layer):
            readers[before] = readers.get(before, 0) + 1
    wanted = {"embedding", "logits", layers[stop].name}
    for layer in layers[start + 1 : stop + 1]:
        names = producers(layer)
        inputs = [values[name] for name in names]
        output = layer(inputs if len(inputs) > 1 else inputs[0], training=False)
        values[layer.name] = change(layer.name, output) if change else output
        for name in names:
            readers[name] -= 1
            if not readers[name] and name not in wanted:
                del values[name]
    return {name: values[name] for name in wanted if name in values}


def _is_depthwise(model: tf_keras.Model, name: str) -> bool:
    return isinstance(model.get_layer(name), tf_keras.layers.DepthwiseConv2D)


def _per_output(kernel: np.ndarray) -> np.ndarray:
    return kernel.reshape(-1, kernel.shape[-1]).mean(axis=0)
