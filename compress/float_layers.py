"""Which layers a quantization-aware trained network computes in floats: some of the first, some of the last."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import tf_keras

from edgeface.compress.units import followed_by, weighted_layers
from edgeface.errors import UsageError

SMALLEST_GAIN = 0.3
"""auto: accuracy, percentage points, that a layer must cost when it alone is int8."""
SMALLEST_COSINE = 0.98
"""auto: or the 1st percentile of the embedding cosine must fall below this."""


def resolve(model: tf_keras.Model, text: str, audit: Mapping[str, Any] | None = None) -> tuple[str, ...]:
    """Names of all layers to leave in floats: the convolutions or dense layers asked for, with BatchNorm and ReLU.

    `text` is '' (none), 'first', 'last', names of layers with weights, or 'auto', separated by commas; 'auto' needs a
    sensitivity `audit` and takes the first and the last layers that it shows to suffer from int8. Raises UsageError
    for an unknown name, and for a layer in the middle: the converter makes that int8 all the same.
    """
    weighted = weighted_layers(model)
    names: list[str] = []
    for word in filter(None, (part.strip() for part in text.split(","))):
        if word == "auto":
            names += _sensitive_ends(weighted, audit)
        elif word in ("first", "last"):
            names.append(weighted[0 if word == "first" else -1])
        elif word in weighted:
            names.append(word)
        else:
            ends = f"{weighted[0]}, {weighted[1]}, ..., {weighted[-2]}, {weighted[-1]}"
            raise UsageError(f"--float-layers {word}: no such layer with weights; give first, last, auto or of {ends}")
    if len(set(names)) == len(weighted):
        raise UsageError("--float-layers names every layer; --mode float32 is that")
    _refuse_middle(weighted, names)
    return tuple(layer for name in dict.fromkeys(names) for layer in followed_by(model, name))


def _refuse_middle(weighted: list[str], names: list[str]) -> None:
    """From the image on, or up to the outputs, all layers must be float: between int8 tensors the converter quantizes
    a convolution, whatever the network says (tried with TensorFlow 2.21)."""
    first, last = set(names), set(names)
    for name in weighted:
        if name not in first:
            break
        first.discard(name)
    for name in reversed(weighted):
        if name not in last:
            break
        last.discard(name)
    middle = [name for name in names if name in first and name in last]
    if middle:
        raise UsageError(
            f"--float-layers {middle[0]}: lies between int8 layers, and the converter would quantize it all the same; "
            "name all layers from the first to it, or from it to the last"
        )


def _sensitive_ends(weighted: list[str], audit: Mapping[str, Any] | None) -> list[str]:
    """The layers from either end on that lose more than the limits when they alone are int8."""
    if audit is None:
        raise UsageError("--float-layers auto needs a sensitivity audit; run 'edgeface sensitivity RUN --by layer'")
    try:
        cost = {
            layer: row["int8"]
            for row in audit["rows"]
            for layer in row["layers"]
            if len(row["layers"]) == 1 and row.get("int8") is not None
        }
        suffers = {
            layer: -100 * found["accuracy_change"] >= SMALLEST_GAIN or found["cosine"]["p1"] < SMALLEST_COSINE
            for layer, found in cost.items()
        }
    except (KeyError, TypeError) as error:
        raise UsageError(f"the sensitivity audit is damaged ({error!r}); run 'edgeface sensitivity' again") from None
    if audit.get("by", "layer") != "layer" or not set(suffers) & {weighted[0], weighted[-1]}:
        raise UsageError("the sensitivity audit has no single layers; run 'edgeface sensitivity RUN --by layer'")
    chosen: list[str] = []
    # Half of the layers at the most from each end: a network that suffers everywhere is a case for more training.
    for order in (weighted, weighted[::-1]):
        for name in order[: len(weighted) // 2]:
            if not suffers.get(name, False):
                break
            chosen.append(name)
    return chosen
