"""The networks (tf_keras). Imported only by train, compress and the Keras side of bench."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import tf_keras

from edgeface.errors import RunError
from edgeface.face_input import FaceInput
from edgeface.models.inception_resnet import inception_resnet_v1
from edgeface.models.mobilefacenet import mobilefacenet, mobilefacenet_prelu
from edgeface.models.squeezenext import squeezenext_23v5
from edgeface.run import Run, open_run

NETWORKS = {
    "inception_resnet_v1": inception_resnet_v1,
    "squeezenext_23v5": squeezenext_23v5,
    "mobilefacenet": mobilefacenet,
    "mobilefacenet_prelu": mobilefacenet_prelu,
}

__all__ = [
    "NETWORKS",
    "build_network",
    "inception_resnet_v1",
    "load_model",
    "load_run_model",
    "mobilefacenet",
    "mobilefacenet_prelu",
    "save_weights",
    "squeezenext_23v5",
]


def build_network(network: str, build: dict[str, Any]) -> tf_keras.Model:
    """Build a network by name with its arguments. Raises KeyError or TypeError when they do not fit."""
    return NETWORKS[network](**build)


def save_weights(model: tf_keras.Model, path: Path) -> None:
    """Write a network's weights as Keras HDF5. Raises OSError, also for the RuntimeError that is h5py's word for a full
    disk when it closes the file."""
    try:
        model.save_weights(str(path), save_format="h5")
    except RuntimeError as error:
        raise OSError(str(error).splitlines()[0]) from None


def load_model(run: Run) -> tf_keras.Model:
    """The trained network of an opened run. Raises RunError when its weights do not fit."""
    try:
        model = build_network(run.network, run.build)
        model.load_weights(run.weights)
    except (KeyError, TypeError, ValueError, OSError) as error:
        raise RunError(f"{run.path}: its weights do not fit its network ({error}); train the run again") from None
    return model


def load_run_model(path: Path) -> tuple[tf_keras.Model, FaceInput, tuple[str, ...]]:
    """Open a run and load its network: (model, input contract, identities)."""
    run = open_run(path)
    return load_model(run), run.face_input, run.identities
