"""`edgeface train student ... --init BUNDLE`: training that goes on from a bundle, its run being gone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras
from tensorflow.lite.python import schema_py_generated as schema
from tensorflow.lite.tools import flatbuffer_utils

from edgeface.bundle import open_bundle
from edgeface.data.layouts import default_face_input, load_dataset
from edgeface.errors import BundleError, RunError
from edgeface.face_input import FaceInput
from edgeface.models.squeezenext import Widths, check_widths, uniform_widths
from edgeface.stem_layout import GATHERER, over_pixels
from edgeface.train.batches import Images, plain_batches
from edgeface.train.session import load_split
from edgeface.train.start import Start
from edgeface.train.step import Learner

BATCH = 64
IMAGES = 512
"""Training images, spread over the set, that the BatchNorm statistics come from."""
FORMATS = {
    schema.TensorType.FLOAT32: np.float32,
    schema.TensorType.FLOAT16: np.float16,
    schema.TensorType.INT8: np.int8,
}

Layer = tuple[np.ndarray, np.ndarray]
"""A folded layer: kernel, float32, (outputs, ...) as TFLite orders it, and bias (outputs,)."""


def bundle_start(path: Path, data: Path) -> Start:
    """Begin with the weights of the SqueezeNext bundle at `path`, of any mode; its people must be those of `data`.

    In a bundle BatchNorm is folded into the convolutions. It is put back so that the network computes the same:
    each channel's mean and deviation over training images become BatchNorm's statistics, its kernel is scaled to
    unit variance (as in LSUV, Mishkin & Matas 2016, https://arxiv.org/abs/1511.06422), and gamma and beta undo both.
    Raises BundleError or RunError.
    """
    bundle = open_bundle(path)
    dataset = load_dataset(data)
    if bundle.labels != tuple(dataset.identities):
        raise RunError(f"{path}: knows other identities than {data}; --init goes on with the same people")
    if bundle.source.get("network") != "squeezenext_23v5":
        raise BundleError(f"{path}: holds no SqueezeNext student; --init takes a run of this network instead")
    convolutions, dense = folded_layers(bundle.read_model(), path)
    widths = widths_of([kernel for kernel, _ in convolutions], path)
    width = widths["stages"][0] / uniform_widths()["stages"][0]
    shape: dict[str, Any] = {"width": width}
    if widths != uniform_widths(width):
        shape["widths"] = widths

    def prepare(learner: Learner) -> None:
        face_input = default_face_input(dataset, learner.model.input_shape[1])
        images = load_split(dataset, "train", face_input)
        chosen = np.linspace(0, len(images) - 1, min(IMAGES, len(images))).astype(int)
        sample = Images(images.images[chosen], images.labels[chosen])
        unfold(learner.model, convolutions, dense, sample, face_input, path)

    accuracy = (bundle.accuracy or {}).get("after")
    facts = {"bundle": str(path.resolve()), "model_sha256": bundle.model_sha256, "figures": {"val_accuracy": accuracy}}
    return Start("squeezenext_23v5", shape, prepare, {"init": facts}, bundle.face_input)


def folded_layers(model: bytes, path: Path) -> tuple[list[Layer], Layer]:
    """The convolutions of a .tflite file in the order they run, and its dense layer, all as float32."""
    tree = flatbuffer_utils.convert_bytearray_to_object(bytearray(model))
    graph = tree.subgraphs[0]
    code = [max(entry.builtinCode, entry.deprecatedBuiltinCode) for entry in tree.operatorCodes]
    operators = [(code[op.opcodeIndex], op) for op in graph.operators]
    stored = {op.outputs[0]: op.inputs[0] for kind, op in operators if kind == schema.BuiltinOperator.DEQUANTIZE}

    def values(index: int) -> np.ndarray:
        tensor = graph.tensors[stored.get(index, index)]
        raw, kind = tree.buffers[tensor.buffer].data, {**FORMATS, schema.TensorType.INT32: np.int32}.get(tensor.type)
        if raw is None or kind is None or tensor.sparsity is not None:
            raise BundleError(f"{path}: its weights are not stored in a way that training can go on from")
        array = np.frombuffer(bytes(raw), kind).reshape(tensor.shape).astype(np.float32)
        if np.dtype(kind).kind == "i":
            scale, zero = (getattr(tensor.quantization, name, None) for name in ("scale", "zeroPoint"))
            if scale is None or zero is None or len(scale) not in (1, len(array)) or len(zero) != len(scale):
                raise BundleError(f"{path}: its integer weights have no scales that training can go on from")
            side = (-1,) + (1,) * (array.ndim - 1)  # One scale for the tensor, or one for each output channel.
            array = (array - np.asarray(zero, np.float32).reshape(side)) * np.asarray(scale, np.float32).reshape(side)
        return array

    def layers(kind: int) -> list[Layer]:
        listed = []
        for inputs in (op.inputs for found, op in operators if found == kind):
            if graph.tensors[inputs[1]].name == GATHERER.encode():
                continue
            kernel = values(inputs[1])
            has_bias = len(inputs) > 2 and inputs[2] >= 0  # The converter leaves out a bias of zeros.
            listed.append((kernel, values(inputs[2]) if has_bias else np.zeros(len(kernel), np.float32)))
        return listed

    dense = layers(schema.BuiltinOperator.FULLY_CONNECTED)
    if len(dense) != 1:
        raise BundleError(f"{path}: has {len(dense)} dense layers; a SqueezeNext student has one")
    stem, *others = layers(schema.BuiltinOperator.CONV_2D)
    return [(over_pixels(stem[0]), stem[1]), *others], dense[0]


def widths_of(kernels: list[np.ndarray], path: Path) -> Widths:
    """The width list of a SqueezeNext from its kernels: a block is two 1x1 ones, then the 3x1, the 1x3 and a 1x1."""
    tall = [kernel.shape[1:3] == (3, 1) for kernel in kernels] + [False] * 4
    widths: Widths = {"stem": len(kernels[0]) if kernels else 0, "stages": [], "blocks": []}
    at = 1
    while at < len(kernels) - 1:
        if tall[at + 2] and widths["stages"]:
            widths["blocks"][-1].append([len(kernel) for kernel in kernels[at : at + 4]])
            at += 5
        else:
            widths["stages"].append(len(kernels[at]))
            widths["blocks"].append([])
            at += 1
    try:
        check_widths(widths)
    except ValueError as error:
        raise BundleError(f"{path}: {error}") from None
    return widths


def unfold(
    model: tf_keras.Model,
    convolutions: list[Layer],
    dense: Layer,
    images: Images,
    face_input: FaceInput,
    path: Path,
) -> None:
    """Give a network of Conv2D, BatchNormalization pairs and one Dense layer the weights of folded layers."""
    convs = [layer for layer in model.layers if isinstance(layer, tf_keras.layers.Conv2D)]
    norms = [layer for layer in model.layers if isinstance(layer, tf_keras.layers.BatchNormalization)]
    kernels = [np.transpose(kernel, (1, 2, 3, 0)) for kernel, _ in convolutions]
    if [kernel.shape for kernel in kernels] != [tuple(layer.kernel.shape) for layer in convs]:
        raise BundleError(f"{path}: its convolutions are not those of the network it names")
    for conv, norm, kernel, (_, bias) in zip(convs, norms, kernels, convolutions, strict=True):
        conv.set_weights([kernel])
        neutral = np.ones_like(bias)
        norm.set_weights([neutral * np.sqrt(1 + norm.epsilon), bias, 0 * neutral, neutral])
    model.get_layer("logits").set_weights([dense[0].T, dense[1]])

    means, deviations = _statistics(tf_keras.Model(model.input, [conv.output for conv in convs]), images, face_input)
    for conv, norm, kernel, (_, bias), mean, deviation in zip(
        convs, norms, kernels, convolutions, means, deviations, strict=True
    ):
        scale = np.where(deviation > 1e-6, deviation, 1.0)
        conv.set_weights([kernel / scale])
        norm.set_weights([scale * np.sqrt(1 + norm.epsilon), bias + mean, mean / scale, np.ones_like(scale)])


def _statistics(model: tf_keras.Model, images: Images, face_input: FaceInput) -> tuple[list, list]:
    """Mean and standard deviation of every channel of each of the model's outputs, float32 (under bf16, too)."""

    @tf.function
    def moments(batch: tf.Tensor) -> list[tf.Tensor]:
        outputs = [tf.cast(out, tf.float32) for out in model(batch, training=False)]
        return [tf.stack(tf.nn.moments(out, (0, 1, 2))) for out in outputs]

    weights, parts = [], []
    for batch, _ in plain_batches(images, face_input, BATCH):
        weights.append(len(batch))
        parts.append([part.numpy().astype(np.float64) for part in moments(batch)])
    means, deviations = [], []
    for layer in zip(*parts, strict=True):
        mean, variance = np.average(np.stack(layer), axis=0, weights=weights)
        # Within the batches and between them. Mean squares minus squared means would lose small deviations.
        between = np.average([(own - mean) ** 2 for own, _ in layer], axis=0, weights=weights)
        means.append(mean.astype(np.float32))
        deviations.append(np.sqrt(variance + between).astype(np.float32))
    return means, deviations
