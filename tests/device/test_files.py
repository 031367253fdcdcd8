"""Atomic writing: whatever fails, and wherever it is stopped, the old content or the new one is there, whole."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from edgeface.errors import StorageError
from edgeface.files import atomic_folder, write_text
from edgeface.gallery_file import write_private


def fill(folder: Path, content: str) -> None:
    with atomic_folder(folder) as temporary:
        (temporary / "inside").mkdir()
        (temporary / "inside" / "file").write_text(content)


def test_the_working_folder_can_be_filled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    fill(Path(), "new")
    assert (tmp_path / "here" / "inside" / "file").read_text() == "new"
    assert os.listdir(tmp_path) == ["here"]


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError])
def test_a_folder_is_never_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: type[BaseException]) -> None:
    """Stopped between the two renamings that a system without an exchange of folders needs."""
    folder, replace = tmp_path / "bundle", os.replace
    fill(folder, "old")
    monkeypatch.setattr("edgeface.files._exchanged", lambda one, other: False)

    def stopped(source: Path, target: Path) -> None:
        if target == folder and not source.name.endswith("-old"):
            raise error
        replace(source, target)

    monkeypatch.setattr(os, "replace", stopped)
    with pytest.raises((KeyboardInterrupt, StorageError)):
        fill(folder, "new")
    monkeypatch.setattr(os, "replace", replace)
    assert (folder / "inside" / "file").read_text() == "old"
    fill(folder, "new")
    assert (folder / "inside" / "file").read_text() == "new"
    assert list(tmp_path.iterdir()) == [folder]


@pytest.mark.parametrize("writer", [write_text, fill, lambda path, text: write_private(path, text.encode())])
def test_content_is_on_the_disk_before_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, writer) -> None:
    path, steps = tmp_path / "new", []
    sync, replace = os.fsync, os.replace

    def synced(handle: int) -> None:
        steps.append(os.fstat(handle).st_size)
        sync(handle)

    def replaced(source: Path, target: Path) -> None:
        steps.append("named")
        replace(source, target)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(os, "replace", replaced)
    writer(path, "seven..")
    assert steps == [7, "named"]


@pytest.mark.parametrize("writer", [write_text, fill, lambda path, text: write_private(path, text.encode())])
def test_a_disk_that_fails_late_is_told_and_keeps_the_old(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, writer
) -> None:
    path = tmp_path / "door"
    writer(path, "old")

    def failing(handle: int) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "fsync", failing)
    with pytest.raises(StorageError, match=r"door: Input/output error"):
        writer(path, "new")
    assert list(tmp_path.iterdir()) == [path]
    assert (path / "inside" / "file" if path.is_dir() else path).read_text() == "old"
