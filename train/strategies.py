"""Scale-out: TensorFlow's own distribution strategies, chosen by name."""

from __future__ import annotations

import os

import tensorflow as tf

from edgeface.errors import UsageError

STRATEGIES = ("auto", "mirrored", "multiworker")


def make_strategy(name: str) -> tf.distribute.Strategy:
    """`auto`: mirrored over the GPUs where there are several, else one device. `mirrored`: all local GPUs, or all
    logical CPUs where there is none. `multiworker`: the workers named in TF_CONFIG.

    Raises UsageError for another name and when multiworker finds no TF_CONFIG.
    """
    if name == "multiworker":
        if "TF_CONFIG" not in os.environ:
            raise UsageError("--strategy multiworker: set TF_CONFIG (cluster and task) in the environment first")
        return tf.distribute.MultiWorkerMirroredStrategy()
    gpus = tf.config.list_logical_devices("GPU")
    if name == "mirrored":
        return tf.distribute.MirroredStrategy([d.name for d in gpus or tf.config.list_logical_devices("CPU")])
    if name == "auto":
        return tf.distribute.MirroredStrategy() if len(gpus) > 1 else tf.distribute.get_strategy()
    raise UsageError(f"--strategy {name}: choose one of {', '.join(STRATEGIES)}")


def is_chief(strategy: tf.distribute.Strategy) -> bool:
    """Whether this process writes the run's files."""
    resolver = getattr(strategy, "cluster_resolver", None)
    if resolver is None or not resolver.task_type:
        return True
    return resolver.task_type == "chief" or (resolver.task_type == "worker" and resolver.task_id == 0)
