"""Settings that must be made before TensorFlow is imported, and an import without its start-up noise."""

from __future__ import annotations

import contextlib
import os
import sys
import warnings
from collections.abc import Iterator

from edgeface.stderr import captured_stderr


def quiet_tensorflow() -> None:
    """Import TensorFlow silently and with oneDNN kernels, which TensorFlow leaves off on AMD CPUs.

    oneDNN trains SqueezeNext 1.6 times and Inception-ResNet 1.8 times faster on a Zen 3 CPU. A user's
    own setting of TF_ENABLE_ONEDNN_OPTS or TF_CPP_MIN_LOG_LEVEL is kept.
    """
    if "tensorflow" in sys.modules:
        return
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
    os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")
    with silenced_stderr(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import tensorflow
        import tf_keras

    if os.environ["TF_CPP_MIN_LOG_LEVEL"] == "3":
        tensorflow.get_logger().setLevel("ERROR")  # it warns of every network that is compiled after some others
    tf_keras.utils.disable_interactive_logging()


@contextlib.contextmanager
def silenced_stderr() -> Iterator[None]:
    """`captured_stderr`, whose lines are shown when the block raises, since they may tell the reason."""
    lines: list[str] = []
    try:
        with captured_stderr() as lines:
            yield
    except BaseException:
        if lines:
            print(*lines, sep="\n", file=sys.stderr)
        raise
