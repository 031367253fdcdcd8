"""A network trained for int8 as a run: an ordinary one, whose `run.json` also holds the ranges it learnt.

Every command takes it as the float network with the trained weights; `edgeface quantize --mode qat --epochs 0` makes
the same int8 model of it again.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import tf_keras

from edgeface.compress.chain import run_chain, taught
from edgeface.compress.qat_model import Ranges, activation_ranges, plain_weights
from edgeface.errors import RunError
from edgeface.face_input import FaceInput
from edgeface.files import atomic_folder, sha256, write_json
from edgeface.metrics import top_k
from edgeface.models import save_weights
from edgeface.run import Run
from edgeface.train.batches import Images
from edgeface.train.outputs import make_predictor, outputs_over


@dataclass(frozen=True)
class Stored:
    """What a run trained for int8 holds besides its weights: the range (low, high) of every activation by layer, the
    layers left in floats, and how it was taught."""

    ranges: Ranges
    float_layers: tuple[str, ...]
    teaching: dict[str, Any]

    @staticmethod
    def of(quantized: tf_keras.Model, float_layers: tuple[str, ...], teaching: dict[str, Any]) -> Stored:
        """From a trained fake-quantized network."""
        return Stored(activation_ranges(quantized), float_layers, teaching)


def stored(run: Run) -> Stored | None:
    """The ranges of a run trained for int8, None for any other. Raises RunError when they are damaged."""
    entry = run.info.get("quantization")
    if entry is None:
        return None
    try:
        ranges = {str(name): (float(low), float(high)) for name, (low, high) in entry["ranges"].items()}
        return Stored(ranges, tuple(map(str, entry["float_layers"])), dict(entry["teaching"]))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise RunError(f"{run.path / 'run.json'}: its quantization is damaged ({error!r}); train it again") from None


def figures_of(
    training: list[dict[str, Any]], quantized: tf_keras.Model, validation: Images, face_input: FaceInput
) -> dict[str, Any]:
    """The figures of a run to save: those of the epoch that was kept, measured now when nothing was trained."""
    if training:
        best = max(training, key=lambda row: (row["val_accuracy"], row["epoch"]))
        found = {"val_accuracy": best["val_accuracy"], "epoch": best["epoch"]}
    else:
        logits = outputs_over(make_predictor(quantized), validation, face_input)["logits"]
        found = {"val_accuracy": top_k(logits, validation.labels)}
    return {"finished": True, "validation_images": len(validation), **found}


def save(
    folder: Path,
    run: Run,
    quantized: tf_keras.Model,
    model: tf_keras.Model,
    kept: Stored,
    figures: dict[str, Any],
    teacher: Path | None = None,
) -> None:
    """Write the run. `model` is the float network that `quantized` was made from; it is left as it is. `teacher` is the
    run that taught it for int8."""
    plain = tf_keras.models.clone_model(model)
    plain_weights(quantized, plain)
    with atomic_folder(folder) as temporary:
        save_weights(plain, temporary / "weights.h5")
        for name in ("recipe.toml", "identities.txt"):
            (temporary / name).write_bytes((run.path / name).read_bytes())
        chain = taught(run_chain(run, model), teacher)
        info = {**run.info, "figures": figures, "quantization": asdict(kept), "chain": chain}
        info["weights_sha256"] = sha256(temporary / "weights.h5")
        write_json(temporary / "run.json", info)
