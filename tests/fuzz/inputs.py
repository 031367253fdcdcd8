"""The sound inputs that are damaged: `python -m tests.fuzz.inputs FOLDER` makes tiny ones, with TensorFlow."""

from __future__ import annotations

import json
import sys
import warnings
from pathlib import Path


def make_inputs(folder: Path) -> None:
    """`bundle/`, `other/` (a bundle of another mode), `run/` and `faces/` (four drawn people, 72 training photos)."""
    from edgeface.tensorflow_setup import quiet_tensorflow

    quiet_tensorflow()
    import tf_keras

    from edgeface.bundle import write_bundle
    from edgeface.compress.export import to_tflite
    from edgeface.data.layouts import load_dataset
    from edgeface.data.synthetic import draw_faces
    from edgeface.face_input import FaceInput
    from edgeface.files import sha256
    from edgeface.models import build_network

    draw_faces(folder / "faces", identities=4, images=24, val=0.25)
    labels = load_dataset(folder / "faces").identities
    build = {"classes": len(labels), "size": 32, "width": 0.5, "blocks": [1, 0, 0, 0]}
    tf_keras.utils.set_random_seed(7)
    model = build_network("squeezenext_23v5", build)
    face_input = FaceInput(32)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name, mode in (("bundle", "float32"), ("other", "float16")):
            write_bundle(folder / name, to_tflite(model, mode), labels, face_input, mode, note="drawn")
    run = folder / "run"
    run.mkdir()
    model.save_weights(run / "weights.h5")
    (run / "identities.txt").write_text("".join(f"{label}\n" for label in labels), encoding="utf-8")
    (run / "recipe.toml").write_text("", encoding="utf-8")
    info = {
        "format": 1, "network": "squeezenext_23v5", "build": build, "face_input": face_input.to_dict(), "figures": {},
        "dataset": {}, "weights_sha256": sha256(run / "weights.h5"),
    }  # fmt: skip
    (run / "run.json").write_text(json.dumps(info), encoding="utf-8")


if __name__ == "__main__":
    make_inputs(Path(sys.argv[1]))
