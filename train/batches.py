"""From cached uint8 images to augmented batches. Everything follows from (seed, stage, epoch), nothing from chance."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

from edgeface.errors import RecipeError
from edgeface.face_input import FaceInput
from edgeface.recipe import Augmentation, Recipe, Stage
from edgeface.train import augment


@dataclass(frozen=True)
class Images:
    """A split in memory or memory-mapped: uint8 (count, side, side, 3) and int32 labels (count,)."""

    images: np.ndarray
    labels: np.ndarray

    def __len__(self) -> int:
        return len(self.labels)

    def fingerprint(self) -> dict[str, str]:
        """SHA-256 of the labels, and of a row of every image: another one in its place, or another order, shows."""
        middle = self.images.shape[1] // 2
        parts = {"labels": self.labels, "images": self.images[:, middle]}
        return {name: hashlib.sha256(part.tobytes()).hexdigest() for name, part in parts.items()}


def generator_for(*key: int) -> np.random.Generator:
    """A NumPy generator that depends on the key alone, e.g. (seed, stage, epoch, purpose)."""
    return np.random.default_rng(np.random.SeedSequence(key))


def steps_per_epoch(count: int, batch_size: int) -> int:
    """Whole batches in `count` images. Raises RecipeError when there is none."""
    if batch_size > count:
        raise RecipeError(f"batch_size {batch_size} is more than the {count} training images; lower batch_size")
    return count // batch_size


def epoch_order(
    labels: np.ndarray,
    batch_size: int,
    images_per_identity: int,
    generator: np.random.Generator,
    *,
    balanced: bool = False,
) -> np.ndarray:
    """Indices of an epoch's batches, int64 (steps, batch_size); the images of a last part batch wait an epoch.

    With `images_per_identity` K > 1 the batches are P x K: groups of K images of one identity. Each image comes once
    (but of P x K those of the last groups may wait, as many as filled up short groups), or with `balanced` each
    identity equally often, however many images it has.
    """
    steps = steps_per_epoch(len(labels), batch_size)
    if balanced:
        order = balanced_order(labels, steps * batch_size // images_per_identity, images_per_identity, generator)
    elif images_per_identity == 1:
        order = generator.permutation(len(labels))
    else:
        order = grouped_order(labels, images_per_identity, generator)
    return order[: steps * batch_size].reshape(steps, batch_size).astype(np.int64)


def grouping(recipe: Recipe, stage: Stage) -> dict[str, Any]:
    """How a stage of a recipe orders its images, as arguments of `epoch_order`."""
    together = recipe.images_per_identity if stage.triplet or recipe.balanced_batches else 1
    return {"images_per_identity": together, "balanced": recipe.balanced_batches}


def grouped_order(labels: np.ndarray, together: int, generator: np.random.Generator) -> np.ndarray:
    """Every image once: each identity's are shuffled and dealt in groups of `together`, and the groups are shuffled.

    A short last group is filled up with others of the identity.
    """
    groups = []
    for identity in np.unique(labels):
        own = generator.permutation(np.flatnonzero(labels == identity))
        missing = -len(own) % together
        groups.append(np.concatenate([own, generator.choice(own, missing)]).reshape(-1, together))
    return generator.permutation(np.concatenate(groups)).reshape(-1)


def balanced_order(labels: np.ndarray, groups: int, together: int, generator: np.random.Generator) -> np.ndarray:
    """`groups` groups of `together` images of one identity, every identity equally often (one group more or less).

    Identities come in shuffled rounds, so that a batch of no more groups than identities seldom meets one twice; an
    identity's images come in turn, each of them again only after all the others.
    """
    identities = np.unique(labels)
    rounds = -(-groups // len(identities))
    decks = {}
    for identity in identities:
        own = np.flatnonzero(labels == identity)
        passes = -(-rounds * together // len(own))
        deck = np.concatenate([generator.permutation(own) for _ in range(passes)])
        decks[identity] = deck[: rounds * together].reshape(rounds, together)
    turns = [decks[identity][turn] for turn in range(rounds) for identity in generator.permutation(identities)]
    return np.concatenate(turns[:groups])


def view_table(count: int, config: Augmentation, stage: Stage, seed: int, view: int) -> np.ndarray:
    """Augmentation parameters of one view of all images, float32 (count, COLUMNS)."""
    generator = generator_for(seed, view, 1)
    return augment.draw(count, config, basic=stage.basic_augmentation, seaweed=stage.seaweed, generator=generator)


def to_network(images: tf.Tensor, face_input: FaceInput) -> tf.Tensor:
    """0..255 to the network's value range, float32."""
    low, high = face_input.value_range
    return tf.cast(images, tf.float32) * ((high - low) / 255.0) + low


def training_batches(
    data: Images,
    face_input: FaceInput,
    stage: Stage,
    order: np.ndarray,
    table: np.ndarray,
    teacher: tuple[np.ndarray, np.ndarray] | None = None,
    context: tf.distribute.InputContext | None = None,
) -> tf.data.Dataset:
    """Augmented batches in the given order, as dicts of `image`, `label` and, from a cached teacher, its outputs.

    `order` is (steps, batch) and `table` (count, COLUMNS); `teacher` is (embedding, logits) of this view as float16
    (count, size). With a distribution context every replica gets its own equal part of each batch.
    """
    if context is not None:
        replicas = context.num_replicas_in_sync
        local = replicas // context.num_input_pipelines
        parts = order.reshape(len(order), replicas, -1)
        first = context.input_pipeline_id * local
        order = parts[:, first : first + local].reshape(len(order) * local, -1)

    def rows() -> Iterator[dict[str, np.ndarray]]:
        for index in order:
            images = augment.augment(
                data.images[index], table[index], basic=stage.basic_augmentation, seaweed=stage.seaweed
            )
            row = {"image": images, "label": data.labels[index]}
            if teacher is not None:
                row["teacher_embedding"], row["teacher_logits"] = teacher[0][index], teacher[1][index]
            yield row

    batch, side = order.shape[1], face_input.size
    signature = {
        "image": tf.TensorSpec((batch, side, side, 3), tf.float32),
        "label": tf.TensorSpec((batch,), tf.int32),
    }
    if teacher is not None:
        signature["teacher_embedding"] = tf.TensorSpec((batch, teacher[0].shape[1]), tf.float16)
        signature["teacher_logits"] = tf.TensorSpec((batch, teacher[1].shape[1]), tf.float16)

    def prepare(row: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        casts = {name: tf.cast(value, tf.float32) for name, value in row.items() if name.startswith("teacher")}
        return {"image": to_network(row["image"], face_input), "label": row["label"], **casts}

    dataset = tf.data.Dataset.from_generator(rows, output_signature=signature)
    options = tf.data.Options()
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.OFF
    return dataset.map(prepare, num_parallel_calls=2, deterministic=True).prefetch(2).with_options(options)


def plain_batches(data: Images, face_input: FaceInput, batch_size: int) -> Iterator[tuple[tf.Tensor, np.ndarray]]:
    """Every image once, in order, without augmentation: (float32 images, int32 labels)."""
    for start in range(0, len(data), batch_size):
        part = slice(start, start + batch_size)
        yield to_network(tf.constant(data.images[part]), face_input), np.asarray(data.labels[part])
