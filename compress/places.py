"""Where results may go, refused before minutes are spent."""

from __future__ import annotations

import tempfile
from pathlib import Path

from edgeface.bundle import refuse_other_files
from edgeface.errors import UsageError
from edgeface.files import storage_errors


def check_out(out: Path) -> None:
    """Refuse, before minutes are spent, a folder that the bundle cannot be written to."""
    refuse_other_files(out)
    with storage_errors(out):
        out.parent.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryDirectory(prefix=f".{out.name}-", dir=out.parent).cleanup()


def check_apart(option: str, folder: Path | None, out: Path) -> None:
    """Refuse a folder within the bundle's, which is replaced as a whole and takes nothing else in."""
    if folder is not None and folder.resolve().is_relative_to(out.resolve()):
        raise UsageError(f"{option} {folder}: lies within the bundle's folder {out}; choose one outside of it")
