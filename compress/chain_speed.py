"""The speed of every step of a chain, measured side by side."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from edgeface.bundle import write_bundle
from edgeface.compress.chain import network_of
from edgeface.compress.export import to_tflite
from edgeface.compress.goal import MeasureFps
from edgeface.face_input import FaceInput


def with_speed(
    chain: Sequence[dict[str, Any]],
    model: bytes,
    mode: str,
    labels: Sequence[str],
    face_input: FaceInput,
    measure: MeasureFps,
) -> list[dict[str, Any]]:
    """The chain with `fps` at each step: `model`, a .tflite file, at the last; at those before it their networks as
    float32, built anew without training, as weights do not change the speed. Steps that do not say how to build them
    stay as they are."""
    networks = [network_of(step) for step in chain[:-1]]
    places = [place for place, network in enumerate(networks) if network is not None]
    with tempfile.TemporaryDirectory() as folder:
        bundles = []
        for place in places:
            network = networks[place]
            size = replace(face_input, size=network.input_shape[1])
            bundles.append(
                write_bundle(Path(folder) / str(place), to_tflite(network, "float32"), labels, size, "float32").path
            )
        bundles.append(write_bundle(Path(folder) / "last", model, labels, face_input, mode).path)
        rates = dict(zip([*places, len(networks)], measure(bundles), strict=True))
    return [{**step, "fps": rates[place]} if place in rates else step for place, step in enumerate(chain)]
