"""Single weights made zero by TFMOT, for smaller downloads: by share or in an N:M pattern, layer by layer.

Zhu and Gupta 2017, https://arxiv.org/abs/1710.01878 (magnitude, growing sparsity); Mishra et al. 2021,
https://arxiv.org/abs/2104.08378 (2:4). The masks are TFMOT's; the network stays a plain one, whose zeros are put back
after every step of fine-tuning.
"""

from __future__ import annotations

import gzip
import re
import warnings
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras

from edgeface.compress.audit import operators_with_weights
from edgeface.compress.channels import PRUNABLE
from edgeface.errors import UsageError
from edgeface.models.summary import is_prunable
from edgeface.models.summary import sparsity as made_sparse
from edgeface.tensorflow_setup import silenced_stderr

with silenced_stderr(), warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from tensorflow_model_optimization.python.core.quantization.keras.collab_opts.prune_preserve import (
        default_8bit_prune_preserve_quantize_scheme as preserving,
    )
    from tensorflow_model_optimization.python.core.quantization.keras.default_8bit import default_8bit_quantize_scheme
    from tensorflow_model_optimization.python.core.sparsity.keras.pruning_impl import Pruning
    from tensorflow_model_optimization.python.core.sparsity.keras.pruning_schedule import ConstantSparsity

NO_FASTER = (
    "it will not run faster: the runtime's sparse kernels take float 1x1 and depthwise convolutions only, and this "
    "network runs in int8, with {others} of {all} convolutions of another kind; only the compressed file is smaller"
)


@dataclass(frozen=True)
class Sparsity:
    """Either the `share` of the weights that become zero, or the `pattern` (n, m): n of m neighbours stay."""

    share: float | None = None
    pattern: tuple[int, int] | None = None

    def to_dict(self) -> dict[str, Any]:
        """A JSON-serialisable form."""
        values = asdict(self)
        return {**values, "pattern": None if self.pattern is None else list(self.pattern)}

    @property
    def title(self) -> str:
        """For tables."""
        return (
            f"{self.pattern[0]}:{self.pattern[1]} sparse" if self.pattern else f"{100 * (self.share or 0):.0f} % sparse"
        )

    def check(self) -> None:
        """Raise UsageError for a share or a pattern that makes no sense."""
        if self.share is not None and not 0 < self.share < 1:
            raise UsageError(f"--unstructured {self.share:g}: give the share that becomes zero, such as 0.8")
        if self.pattern is not None and not 0 < self.pattern[0] < self.pattern[1] <= 16:
            raise UsageError(f"--pattern {self.pattern[0]}:{self.pattern[1]}: give n:m with n below m, such as 2:4")

    def rounds(self, wanted: int) -> int:
        """A pattern comes at once; a share may grow over rounds."""
        return 1 if self.pattern else wanted

    def at(self, number: int, rounds: int) -> Sparsity:
        """The sparsity of a round, from 1: most weights go in the first ones (Zhu and Gupta 2017)."""
        if self.share is None:
            return self
        return Sparsity(self.share * (1 - (1 - number / rounds) ** 3))


def parse_pattern(text: str) -> tuple[int, int]:
    """'2:4' as (2, 4). Raises UsageError for anything else."""
    found = re.fullmatch(r"(\d+):(\d+)", text.strip())
    if not found:
        raise UsageError(f"--pattern {text}: write it as n:m, n of m neighbouring weights stay, such as 2:4")
    return int(found[1]), int(found[2])


def sparsify(model: tf_keras.Model, sparsity: Sparsity) -> Callable[[], None]:
    """Make the smallest weights of every convolution and dense layer zero; returns what makes them zero again.

    Kernels of depthwise convolutions are left alone: they are few and weigh little. Patterns run along the input
    channels, the order of weights in a .tflite file.
    """
    kernels = [layer.kernel for layer in model.layers if is_prunable(layer)]
    masks = [tf.Variable(tf.ones_like(kernel), trainable=False) for kernel in kernels]
    thresholds = [tf.Variable(0.0, trainable=False) for _ in kernels]
    pattern = None if sparsity.pattern is None else (sparsity.pattern[1] - sparsity.pattern[0], sparsity.pattern[1])
    # TFMOT sets patterns at step 1 and no other; the schedule agrees to any step.
    pruning = Pruning(
        training_step_fn=lambda: tf.constant(1),
        pruning_vars=list(zip(kernels, masks, thresholds, strict=True)),
        pruning_schedule=ConstantSparsity(sparsity.share or 0.0, begin_step=0, frequency=1),
        block_size=(1, 1),
        block_pooling_type="AVG",
        sparsity_m_by_n=pattern,
    )

    @tf.function
    def set_masks() -> None:
        pruning.conditional_mask_update()

    @tf.function
    def keep() -> None:
        for kernel, mask in zip(kernels, masks, strict=True):  # TFMOT's own op knows no mirrored variables
            kernel.assign(kernel * mask)

    set_masks()
    keep()
    return keep


def scheme_for(model: tf_keras.Model) -> Any:
    """TFMOT's quantization scheme for training: one that keeps zeros for a network that was made sparse."""
    if made_sparse(model):
        return preserving.Default8BitPrunePreserveQuantizeScheme()
    return default_8bit_quantize_scheme.Default8BitQuantizeScheme()


def file_sparsity(model: bytes) -> list[dict[str, Any]]:
    """`layer`, `weights` and `sparsity` (0..1) of every convolution and dense layer of a .tflite, in order."""
    return [
        {"layer": name, "weights": int(values.size), "sparsity": _zeros(values)}
        for name, values in operators_with_weights(model)
    ]


def gzip_bytes(model: bytes) -> int:
    """The size of a file as it is downloaded."""
    return len(gzip.compress(model, 9, mtime=0))


def no_faster(model: tf_keras.Model, network: str) -> str:
    """The plain line that this does not make the network faster, and why; and what would, where there is something."""
    convolutions = [layer for layer in model.layers if isinstance(layer, tf_keras.layers.Conv2D)]
    others = [layer for layer in convolutions if tuple(layer.kernel_size) != (1, 1)]
    advice = ". For speed remove channels: edgeface prune --keep-macs 0.6" if network == PRUNABLE else ""
    return NO_FASTER.format(others=len(others), all=len(convolutions)) + advice


def _zeros(values: np.ndarray) -> float:
    return float(np.mean(values == 0))
