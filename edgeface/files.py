"""Atomic writing and hashing of files: nothing half-written is ever left."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from edgeface.errors import StorageError, UsageError


@contextlib.contextmanager
def storage_errors(path: Path) -> Iterator[None]:
    """Turn an OSError while writing to `path` into a StorageError that names it."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        advice = "free some space or choose another folder" if full else "choose another folder"
        raise StorageError(f"cannot write {path}: {reason}; {advice}") from None


@contextlib.contextmanager
def atomic_path(path: Path, mode: int = 0o666) -> Iterator[Path]:
    """Yield a temporary path beside `path`, moved onto it when the block ends without an error.

    Its permissions are `mode` as the umask leaves it, and 0600 until then. The temporary name keeps the suffix of
    `path`, for writers that choose the format by it.
    """
    with storage_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=".edgeface-", suffix=path.suffix, dir=path.parent)
        os.close(handle)
        temporary = Path(name)
        try:
            yield temporary
            os.chmod(temporary, mode & ~_umask())
            _sync(temporary)
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def atomic_folder(path: Path, mode: int = 0o777) -> Iterator[Path]:
    """Yield a temporary folder beside `path`, which replaces `path` when the block ends without an error.

    Its permissions are `mode` as the umask leaves it. On Linux in one step, so that there is a whole folder at `path`
    whenever the process dies.
    """
    with storage_errors(path):
        path = Path(os.path.abspath(path))  # "." has no name and cannot be replaced
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=".edgeface-", dir=path.parent))
        old = temporary.with_name(temporary.name + "-old")
        try:
            yield temporary
            os.chmod(temporary, mode & ~_umask())
            for file in temporary.rglob("*"):
                if file.is_file():
                    _sync(file)
            if path.exists() and not _exchanged(temporary, path):
                os.replace(path, old)
            if not path.exists():
                os.replace(temporary, path)
        finally:
            if old.exists() and not path.exists():  # stopped between the two
                os.replace(old, path)
            shutil.rmtree(temporary, ignore_errors=True)
            shutil.rmtree(old, ignore_errors=True)


def check_writable(folder: Path) -> None:
    """Raise StorageError where nothing can be written into a folder. It need not exist yet; nothing is left behind."""
    folder = Path(os.path.abspath(folder))
    with storage_errors(folder):
        nearest = next(place for place in (folder, *folder.parents) if place.exists())
        tempfile.TemporaryDirectory(prefix=".edgeface-", dir=nearest).cleanup()


@contextlib.contextmanager
def locked(folder: Path, command: str, name: str = ".lock") -> Iterator[IO[str] | None]:
    """Hold a folder, made if need be, for one command; yields the file `name` in it, open while the folder is held.

    Raises UsageError when another `command` is at work in it. A folder that was made here and got nothing else is
    removed again. Where the system has no flock, nothing is held.
    """
    made = [place for place in (folder, *folder.parents) if not place.exists()]
    with storage_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        file = (folder / name).open("w")
    with file:
        try:
            held = _flocked(file)
        except BlockingIOError:
            raise UsageError(f"{folder}: another '{command}' is at work here; wait for it") from None
        try:
            yield file if held else None
        finally:
            with contextlib.suppress(OSError):
                if made and os.listdir(folder) == [name]:
                    (folder / name).unlink()
                    for place in made:
                        place.rmdir()


def _flocked(file: IO[str]) -> bool:
    """Whether the file is held now, until it is closed. Raises BlockingIOError when somebody else holds it."""
    try:
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise
    except (ImportError, OSError):  # another system, or a file system without locks
        return False
    return True


def is_line(text: str) -> bool:
    """Whether a text survives being written as one line of a UTF-8 file and read again."""
    return text.encode("utf-8", "replace").decode() == text and text.strip() == text and len(text.splitlines()) == 1


def write_text(path: Path, text: str) -> None:
    """Write a text file atomically."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    """Write a JSON file atomically, indented, with a final newline."""
    write_text(path, json.dumps(value, indent=2) + "\n")


def sha256(path: Path) -> str:
    """SHA-256 of a file's content, hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def text_sha256(path: Path) -> str:
    """SHA-256 of a UTF-8 text file's content, hexadecimal, the same whatever a system's line ends are."""
    return hashlib.sha256(path.read_text(encoding="utf-8").encode()).hexdigest()


def _exchanged(one: Path, other: Path) -> bool:
    """Whether two folders changed places in one step: Linux's renameat2, where the C library and file system have it.

    Python has no call that replaces a folder that is not empty.
    """
    try:
        renameat2 = ctypes.CDLL(None, use_errno=True).renameat2
    except (OSError, AttributeError, TypeError):
        return False
    at_working_folder, exchange = -100, 2
    return renameat2(at_working_folder, os.fsencode(one), at_working_folder, os.fsencode(other), exchange) == 0


def _sync(path: Path) -> None:
    """Have a file's content on the disk before it gets its name: else a power cut may leave the name and no content."""
    with path.open("rb+" if os.name == "nt" else "rb") as file:
        os.fsync(file.fileno())


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
