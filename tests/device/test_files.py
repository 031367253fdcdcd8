"""Atomic writing: whatever fails, and wherever it is stopped, the old content or the new one is there, whole."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from edgeface.errors import StorageError, UsageError
from edgeface.files import atomic_folder, locked, write_text
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


def test_a_folder_is_held_by_one_command_and_not_left_empty(tmp_path: Path) -> None:
    folder = tmp_path / "runs" / "door"
    with locked(folder, "edgeface train"):
        with (
            pytest.raises(UsageError, match="another 'edgeface train' is at work here"),
            locked(folder, "edgeface train"),
        ):
            pass
        with locked(folder, "edgeface prune", ".prune.lock"):
            pass
    assert (folder / ".prune.lock").exists()
    with pytest.raises(KeyError), locked(tmp_path / "new" / "one", "edgeface train"):
        raise KeyError
    assert not (tmp_path / "new").exists()
    with locked(folder, "edgeface train"):
        (folder / "file").touch()
    assert (folder / "file").exists()


def test_a_name_as_long_as_names_may_be_is_written(tmp_path: Path) -> None:
    name = "n" * 250 + ".txt"
    write_text(tmp_path / name, "text")
    fill(tmp_path / ("f" * 255), "content")
    assert sorted(os.listdir(tmp_path)) == ["f" * 255, name]


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
