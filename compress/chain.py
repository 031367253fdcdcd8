"""The road that a network has come: teacher -> student -> pruned -> int8, with what each step gave."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import tf_keras

from edgeface.bundle import open_bundle
from edgeface.errors import EdgeFaceError
from edgeface.models import build_network
from edgeface.models.summary import multiply_adds, weight_bytes
from edgeface.run import Run, open_run

FIELDS = ("step", "name", "network", "build", "accuracy", "images", "macs", "bytes", "fps")
"""What every entry holds. `accuracy` is top-1 (0..1) on the validation images, `bytes` the size of the weights as
float32 or of the .tflite file, `fps` was measured where the run says; None where it was not measured. `build` holds the
arguments of a float network, None for a .tflite file's and where they were not recorded."""


def run_chain(run: Run, model: tf_keras.Model) -> list[dict[str, Any]]:
    """The entries up to a run, which `model` is the network of: the run or bundle it began with, its teacher, the steps
    it recorded, and itself."""
    recorded = [_entry(**step) for step in run.info.get("chain") or []]
    own = network_entry(_step_name(run), run, model)
    if not recorded:
        before = [*_bundle(run), *_begun_with(run)]
        return [*before, *_teacher(run, before), own]
    if run.info.get("quantization"):  # it recorded what came before it, a pruned run also itself
        return [*recorded, own]
    *before, last = recorded
    known = {key: value for key, value in last.items() if value is not None}
    # Its folder may have been moved, and another teacher than the student's may have taught it.
    return [*before, *_teacher(run, before), {**own, **known, "name": own["name"]}]


def taught(chain: list[dict[str, Any]], teacher: Path | None) -> list[dict[str, Any]]:
    """The chain with the run `teacher`, which taught the step that comes next, unless it is the last teacher in it."""
    if teacher is None:
        return chain
    run = open_run(teacher)
    return [*chain, *_new_teacher(network_entry("teacher", run, build_network(run.network, run.build)), chain)]


def network_entry(step: str, run: Run, model: tf_keras.Model) -> dict[str, Any]:
    """The entry of a run's network as it is, in float32."""
    return _entry(
        step=step,
        name=run.path.resolve().name,
        network=run.network,
        build=run.build,
        accuracy=run.figures.get("val_accuracy"),
        images=run.figures.get("validation_images"),
        macs=multiply_adds(model),
        bytes=weight_bytes(model)[0],
    )


def network_of(entry: dict[str, Any]) -> tf_keras.Model | None:
    """The float network of an entry, untrained; None where the entry does not say how to build it."""
    try:
        return build_network(str(entry["network"]), dict(entry["build"]))
    except (KeyError, TypeError, ValueError):
        return None


def _step_name(run: Run) -> str:
    if run.info.get("quantization"):
        return "trained for int8"
    return "teacher" if run.network == "inception_resnet_v1" else "student"


def _bundle(run: Run) -> list[dict[str, Any]]:
    """The chain of the bundle that a run began with, while that is still there."""
    known = run.info.get("init")
    if not isinstance(known, dict) or "bundle" not in known:
        return []
    try:
        bundle = open_bundle(str(known["bundle"]))
    except (EdgeFaceError, OSError):
        return []
    return [_entry(**step) for step in bundle.chain] if bundle.model_sha256 == known.get("model_sha256") else []


def _begun_with(run: Run) -> list[dict[str, Any]]:
    """The chain of the run that a run took its first weights from, while that is still there as it was."""
    known = run.info.get("init")
    if not isinstance(known, dict) or "run" not in known:
        return []
    first = _unchanged(Path(str(known["run"])), known.get("weights_sha256"))
    return [] if first is None else run_chain(first, build_network(first.network, first.build))


def _unchanged(path: Path, weights_sha256: Any) -> Run | None:
    """The run at `path`, if it is there and has these weights."""
    try:
        run = open_run(path)
    except (EdgeFaceError, OSError):
        return None
    return run if run.info["weights_sha256"] == weights_sha256 else None


def _teacher(run: Run, before: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The teacher that a run was taught by, unless it is the last teacher of the steps `before`; from the teacher's own
    run where that is still there."""
    known = run.info.get("teacher")
    if not isinstance(known, dict):
        return []
    figures = known.get("figures") or {}
    path = Path(str(known.get("run", "")))
    entry = _entry(
        step="teacher", name=path.name, accuracy=figures.get("val_accuracy"), images=figures.get("validation_images")
    )
    teacher = _unchanged(path, known.get("weights_sha256"))
    if teacher is not None:
        entry = network_entry("teacher", teacher, build_network(teacher.network, teacher.build))
    return _new_teacher(entry, before)


def _new_teacher(entry: dict[str, Any], before: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The entry, or nothing when it is the last teacher of the steps `before`."""
    last = next((step for step in reversed(before) if step["step"] == "teacher"), None)
    same = last is not None and all(last[key] == entry[key] for key in ("name", "accuracy", "images"))
    return [] if same else [entry]


def _entry(**values: Any) -> dict[str, Any]:
    return {key: values.get(key) for key in FIELDS}
