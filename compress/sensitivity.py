"""`edgeface sensitivity`: what each layer or block costs when it alone is int8, or loses channels."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras

from edgeface.compress import calibration
from edgeface.compress.quantize import dataset_of
from edgeface.compress.ranges import batch_means, extremes
from edgeface.compress.units import (
    Change,
    Unit,
    cuts,
    followed_by,
    importance,
    kept_channels,
    kernel_of,
    producers,
    run_layers,
    split_units,
)
from edgeface.errors import RunError, UsageError
from edgeface.metrics import cosine_summary, top_k
from edgeface.models import load_model
from edgeface.run import Run, open_run
from edgeface.train.progress import Bar
from edgeface.train.session import load_split

FORMAT, VERSION = "edgeface-sensitivity", 1
SHARES = (0.25, 0.5, 0.75)
SMALLEST = 32
_BATCH = 256
_CALIBRATION = 128


@dataclass(frozen=True)
class Request:
    """What the user asked for: units by 'block' or by 'layer', `images` of the validation images, and the `shares` of
    channels to take away."""

    run: Path
    data: Path | None = None
    by: str = "block"
    images: int = 256
    shares: tuple[float, ...] = SHARES
    seed: int = 0
    strict: bool = False
    quiet: bool = False


@dataclass(frozen=True)
class _Bench:
    """The network with what every trial needs: `reference` are its outputs as it is, `ranges` every activation's by
    layer."""

    model: tf_keras.Model
    labels: np.ndarray
    reference: dict[str, np.ndarray]
    ranges: dict[str, tuple[float, float]]


def measure_sensitivity(request: Request) -> dict[str, Any]:
    """Try every unit by itself and return the audit (JSON-serialisable): a row a unit with `accuracy_change` (0..1,
    negative is a loss) and the embedding's `cosine` to the untouched network, for int8 and each share of pruning.

    int8 is simulated: kernels per channel, activations by the ranges of 128 training images. A pruned channel gives
    zeros. Every trial begins at the stored activations before its unit, so that only the rest is run again.
    Raises UsageError, RunError or DataError; see their messages.
    """
    _check(request)
    started = time.monotonic()
    run = open_run(request.run)
    dataset = dataset_of(run, request.data)
    model = load_model(run)
    units = split_units(model, request.by)
    train = load_split(dataset, "train", run.face_input, strict=request.strict)
    validation = load_split(dataset, "val", run.face_input, strict=request.strict)
    chosen = np.sort(calibration.spread(validation.labels, request.images, request.seed))
    samples = calibration.samples(
        train.images[np.sort(calibration.choose(train.labels, _CALIBRATION, request.seed))], run.face_input
    )
    pixels = run.face_input.normalise(np.asarray(validation.images[chosen]))
    bench = _prepare(model, validation.labels[chosen], pixels, samples, run)
    rows = _rows(bench, units, pixels, request)
    return {
        "format": FORMAT,
        "version": VERSION,
        "run": run.path.resolve().name,
        "network": run.network,
        "weights_sha256": run.info["weights_sha256"],
        "data": f"{dataset.root.resolve().name}, val",
        "images": len(chosen),
        "calibration_images": len(samples),
        "seed": request.seed,
        "by": request.by,
        "shares": list(request.shares),
        "accuracy": top_k(bench.reference["logits"], bench.labels),
        "seconds": round(time.monotonic() - started, 1),
        "rows": rows,
    }


def read_audit(path: Path) -> dict[str, Any]:
    """An audit that was written as JSON. Raises UsageError when it is not one."""
    try:
        audit = json.loads(path.read_text(encoding="utf-8"))
        if audit["format"] != FORMAT or audit["version"] != VERSION or not isinstance(audit["rows"], list):
            raise ValueError("another format")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(f"{path}: not a sensitivity audit ({error}); make one with 'edgeface sensitivity'") from None
    return audit


def _check(request: Request) -> None:
    if request.images < SMALLEST:
        raise UsageError(f"--images {request.images}: give at least {SMALLEST}; fewer show nothing but chance")
    for share in request.shares:
        if not 0 < share < 1:
            raise UsageError(f"--shares {share:g}: shares of the channels lie between 0 and 1")


def _prepare(model: tf_keras.Model, labels: np.ndarray, pixels: np.ndarray, samples: np.ndarray, run: Run) -> _Bench:
    """The float outputs and the range of every activation."""
    names = [layer.name for layer in model.layers if not isinstance(layer, tf_keras.layers.InputLayer)]
    means = batch_means(extremes(model, names, samples))
    ranges = {
        name: (min(float(low), 0.0), max(float(high), 1e-6)) for name, (low, high) in zip(names, means, strict=True)
    }
    ranges[model.layers[0].name] = calibration.input_range(run.face_input.value_range)
    outputs = _finish(model, 0, _batches(pixels))
    if not np.isfinite(outputs["logits"]).all():
        raise RunError(f"{run.path}: its network gives NaN or infinity; train the run again")
    return _Bench(model, labels, outputs, ranges)


def _rows(bench: _Bench, units: list[Unit], pixels: np.ndarray, request: Request) -> list[dict[str, Any]]:
    """Walk through the network, keeping the activations at the last cut before each unit."""
    model, rows = bench.model, []
    places = {layer.name: index for index, layer in enumerate(model.layers)}
    boundaries = cuts(model)
    place, state = 0, _batches(pixels)
    with Bar(len(units), quiet=request.quiet) as bar:
        for unit in units:
            target = max(cut for cut in boundaries if cut < min(places[name] for name in unit.layers))
            if target > place:
                name = model.layers[target].name
                state = [run_layers(model, place, part, target)[name] for part in state]
                place = target
            with _int8_kernels(model, unit):
                int8 = _trial(bench, place, state, _int8_change(bench, unit))
            prune = {}
            for share in request.shares:
                key = f"{share:g}"
                prune[key] = _trial(bench, place, state, _prune_change(model, unit, share)) if unit.prunes else None
            rows.append(
                {
                    "unit": unit.name,
                    "layers": list(unit.layers),
                    "int8": int8,
                    "prune": prune,
                    "pruned_together": [list(group) for group in unit.prunes],
                }
            )
            bar.advance(f"{unit.name}")
    return rows


def _batches(pixels: np.ndarray) -> list[tf.Tensor]:
    return [tf.constant(pixels[start : start + _BATCH]) for start in range(0, len(pixels), _BATCH)]


def _finish(
    model: tf_keras.Model, place: int, state: list[tf.Tensor], change: Change | None = None
) -> dict[str, np.ndarray]:
    """Embedding and logits of all images from the activations after a layer on."""
    parts = [run_layers(model, place, part, len(model.layers) - 1, change) for part in state]
    return {name: np.concatenate([part[name].numpy() for part in parts]) for name in ("embedding", "logits")}


def _trial(bench: _Bench, place: int, state: list[tf.Tensor], change: Change) -> dict[str, Any]:
    outputs = _finish(bench.model, place, state, change)
    accuracy = top_k(outputs["logits"], bench.labels) - top_k(bench.reference["logits"], bench.labels)
    return {"accuracy_change": accuracy, "cosine": cosine_summary(bench.reference["embedding"], outputs["embedding"])}


def _int8_change(bench: _Bench, unit: Unit) -> Change:
    """Round what the unit reads and what it gives to int8."""
    read = {name for layer in unit.layers for name in producers(bench.model.get_layer(layer))}
    rounded = read | set(unit.activations)

    def change(name: str, output: tf.Tensor) -> tf.Tensor:
        if name not in rounded:
            return output
        return tf.quantization.fake_quant_with_min_max_args(output, *bench.ranges[name], num_bits=8)

    return change


@contextlib.contextmanager
def _int8_kernels(model: tf_keras.Model, unit: Unit) -> Iterator[None]:
    """The unit's kernels rounded to int8 per output channel, and put back afterwards.

    BatchNorm folds into the channels' scales without another rounding.
    """
    kernels = [kernel_of(model.get_layer(name)) for name in unit.layers]
    before = [kernel.numpy() for kernel in kernels]
    try:
        for name, kernel, values in zip(unit.layers, kernels, before, strict=True):
            depthwise = isinstance(model.get_layer(name), tf_keras.layers.DepthwiseConv2D)
            axes = (0, 1) if depthwise else tuple(range(values.ndim - 1))
            scale = np.maximum(np.abs(values).max(axis=axes, keepdims=True) / 127, 1e-12)
            kernel.assign(np.rint(values / scale) * scale)
        yield
    finally:
        for kernel, values in zip(kernels, before, strict=True):
            kernel.assign(values)


def _prune_change(model: tf_keras.Model, unit: Unit, share: float) -> Change:
    """Zero the least important channels of each of the unit's groups."""
    masks: dict[str, tf.Tensor] = {}
    for group in unit.prunes:
        mask = tf.constant(kept_channels(importance(model, group), share))
        masks |= {followed_by(model, name)[-1]: mask for name in group}
    return lambda name, output: output * masks[name] if name in masks else output
