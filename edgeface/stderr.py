"""Standard error of native code: kept out of the user's sight, and shown when it may tell why something failed."""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
from collections.abc import Iterator


@contextlib.contextmanager
def captured_stderr() -> Iterator[list[str]]:
    """Keep what native code writes on standard error out of the user's sight: the lines are in the list afterwards.

    The runtimes and TensorFlow announce themselves there and have no switch for it.
    """
    lines: list[str] = []
    with contextlib.ExitStack() as stack:
        try:
            sys.stderr.flush()
            saved = os.dup(2)
            stack.callback(os.close, saved)
            file = stack.enter_context(tempfile.TemporaryFile())
        except (OSError, AttributeError, ValueError):  # no standard error, or nowhere to keep a temporary file
            yield lines
            return
        os.dup2(file.fileno(), 2)
        try:
            yield lines
        finally:
            with contextlib.suppress(OSError, AttributeError, ValueError):
                sys.stderr.flush()
            os.dup2(saved, 2)
            file.seek(0)
            lines += file.read().decode("utf-8", "replace").splitlines()
