"""What a network would weigh and how fast it would be with fewer channels, before anything is trained."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tf_keras

from edgeface.bundle import write_bundle
from edgeface.compress.channels import widths_of
from edgeface.compress.export import to_tflite
from edgeface.compress.goal import MeasureFps, narrowed
from edgeface.compress.importance import IMPORTANCE, Scores, channel_importance
from edgeface.compress.twin import twin_of
from edgeface.errors import UsageError
from edgeface.models.summary import multiply_adds
from edgeface.run import Run
from edgeface.train.batches import Images


def measure_shapes(
    run: Run,
    model: tf_keras.Model,
    train: Images,
    keeps: Sequence[float],
    *,
    calibration: np.ndarray,
    align: int,
    fps: MeasureFps,
    stem: str,
    seed: int,
    say: Any,
) -> list[dict[str, Any]]:
    """`keep`, `macs`, `size` (bytes in int8), `fps` and `speedup` (to the first) for each share of MACs to keep.

    The networks are pruned at once, by the measure that pruning in rounds uses, and untrained twins of them exported in
    int8; their speed is measured in one run. Rounds leave somewhat other channels, so these are estimates that tell
    what is worth training; only the first of `keeps`, which must be 1.0, has the shape of the network itself. `problem`
    is None, or says why a share is out of reach; then the figures are None.
    """
    rows: list[dict[str, Any]] = []
    scores: Scores = {}
    if min(keeps) < 1.0:
        say("measuring the importance of every channel")
        scores = channel_importance(model, widths_of(run), IMPORTANCE, train, run.face_input, seed)
    bundles: list[Path] = []
    with tempfile.TemporaryDirectory() as folder:
        for keep in keeps:
            say(f"exporting the shape of {keep:g} of the MACs")
            row: dict[str, Any] = {"keep": keep, "macs": None, "size": None, "fps": None, "speedup": None}
            try:
                build = run.build if keep == 1.0 else narrowed(run, model, run, "macs", keep, scores, align)[1]
                narrow = twin_of(run.network, build)
                content = to_tflite(narrow, "int8", calibration=calibration, stem=stem)
                bundles.append(
                    write_bundle(Path(folder) / f"{keep:g}", content, run.identities, run.face_input, "int8").path
                )
                row |= {"problem": None, "macs": multiply_adds(narrow), "size": len(content)}
            except UsageError as error:
                row["problem"] = str(error)
            rows.append(row)
        say(f"measuring the speed of {len(bundles)} shapes")
        measured = list(fps(bundles))
    reached = [row for row in rows if row["problem"] is None]
    for row, rate in zip(reached, measured, strict=True):
        row["fps"] = rate
        row["speedup"] = rate / measured[0] if rate and measured[0] else None
    return rows
