"""Where a command's data lie and its results may go, refused before minutes are spent."""

from __future__ import annotations

from pathlib import Path

from edgeface.bundle import refuse_other_files
from edgeface.errors import DataError, UsageError
from edgeface.files import check_writable
from edgeface.run import Run


def data_folder(run: Run, data: Path | None) -> Path:
    """The folder given, or that of the run's own dataset. Raises DataError when the latter is not there."""
    folder = data or Path(str(run.dataset.get("path", "")))
    if data is None and not (run.dataset.get("path") and folder.is_dir()):
        raise DataError(f"{run.path}: its dataset {str(folder)!r} is not there; give the folder with --data")
    return folder


def check_out(out: Path) -> None:
    """Refuse, before minutes are spent, a folder that the bundle cannot be written to."""
    refuse_other_files(out)
    check_writable(out.parent)


def check_apart(option: str, folder: Path | None, out: Path) -> None:
    """Refuse a folder within the bundle's, which is replaced as a whole and takes nothing else in."""
    if folder is not None and folder.resolve().is_relative_to(out.resolve()):
        raise UsageError(f"{option} {folder}: lies within the bundle's folder {out}; choose one outside of it")
