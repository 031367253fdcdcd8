"""Sealing templates and kept photos with a key file: AES-256-GCM, from the `cryptography` package."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from edgeface.errors import GalleryError, MissingDependencyError, UsageError
from edgeface.files import storage_errors

_KEY_BYTES = 32
_NONCE_BYTES = 12
_CHECK = b"edgeface gallery key"


class Key:
    """A key read from its file. Names, dates and counts of a gallery are not sealed, templates and photos are."""

    def __init__(self, path: Path) -> None:
        cipher, invalid = _cryptography()
        try:
            with path.open("rb") as file:
                content = file.read(_KEY_BYTES + 1)
        except OSError as error:
            raise UsageError(f"{path}: the key file cannot be read ({error.strerror}); name the right one") from None
        if len(content) != _KEY_BYTES:
            raise UsageError(f"{path}: is not a key file ({_KEY_BYTES} bytes); name the one the gallery was made with")
        self._cipher: Any = cipher(content)
        self._invalid = invalid

    def seal(self, content: bytes, place: str) -> bytes:
        """Nonce and sealed content; `place` ties it to its use, so that rows cannot be swapped."""
        nonce = os.urandom(_NONCE_BYTES)
        return nonce + self._cipher.encrypt(nonce, content, place.encode())

    def open(self, sealed: bytes, place: str) -> bytes:
        """The content. Raises GalleryError when the key is another or a bit was changed."""
        try:
            return self._cipher.decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], place.encode())
        except (self._invalid, ValueError):
            raise GalleryError("the key file is not this gallery's; name the one it was made with") from None

    def check_value(self) -> str:
        """What a gallery keeps to recognise its key."""
        return self.seal(_CHECK, "check").hex()

    def fits(self, value: str) -> bool:
        """Whether a gallery's check value was made with this key."""
        try:
            return self.open(bytes.fromhex(value), "check") == _CHECK
        except (GalleryError, ValueError):
            return False


def gallery_key(gallery: Path, key: str | Path | None, check: str) -> Key | None:
    """The key of a gallery whose check value is `check`, None for an open one.

    Raises GalleryError for a missing or another key, UsageError for one that is not needed.
    """
    if not check:
        if key is not None:
            raise UsageError(f"{gallery}: is not encrypted; leave --key-file out")
        return None
    if key is None:
        raise GalleryError(f"{gallery}: is encrypted; give its key with --key-file FILE")
    opened = Key(Path(key))
    if not opened.fits(check):
        raise GalleryError(f"{gallery}: {key} is not its key; name the key file it was made with")
    return opened


def make_key(path: Path) -> None:
    """Write a new random key file, mode 0600. Raises StorageError; an existing file is left alone.

    Raises MissingDependencyError, and writes nothing, where a gallery could not be encrypted with it.
    """
    _cryptography()
    with storage_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "wb") as file:
            file.write(os.urandom(_KEY_BYTES))
            file.flush()
            os.fsync(file.fileno())


def _cryptography() -> tuple[Any, type[Exception]]:
    """AESGCM, and what it raises for another key."""
    try:
        from cryptography.exceptions import InvalidTag
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM
    except ImportError:
        raise MissingDependencyError(
            "an encrypted gallery needs cryptography; install it with: pip install 'edgeface[secure]'"
        ) from None
    return AESGCM, InvalidTag
