"""Signed bundles: Ed25519 (RFC 8032) over the manifest, which holds the SHA-256 of every file. Needs `cryptography`.

A device that pins a public key opens only bundles that the matching private key signed. It is pinned by the
environment variable EDGEFACE_TRUST (a path), or by the file `edgeface/trust.pub` in the user's configuration folder.
EDGEFACE_TRUST=any pins none.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgeface.errors import BundleError, MissingDependencyError, StorageError, UsageError
from edgeface.files import write_json
from edgeface.manifest import SIGNATURE_FILE, read_file, read_manifest, read_regular, render

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

TRUST_VARIABLE = "EDGEFACE_TRUST"
_ANY = "any"
_ALGORITHM = "ed25519"
_DOMAIN = b"edgeface bundle manifest 1\0"
_LARGEST_SIGNATURE = 4096
_LARGEST_KEY = 1 << 16


def pinned_key() -> Path | None:
    """The public key that this device trusts, or None when it opens unsigned bundles too."""
    named = os.environ.get(TRUST_VARIABLE)
    if named:
        return None if named == _ANY else Path(named)
    folder = os.environ.get("XDG_CONFIG_HOME") or os.path.expanduser("~/.config")
    path = Path(folder) / "edgeface" / "trust.pub"
    return path if os.path.lexists(path) else None


@contextlib.contextmanager
def own_bundles() -> Iterator[None]:
    """Within, this process and those it starts open unsigned bundles: those that they make themselves, to be measured
    before anybody could sign them."""
    before = os.environ.get(TRUST_VARIABLE)
    os.environ[TRUST_VARIABLE] = _ANY
    try:
        yield
    finally:
        if before is None:
            del os.environ[TRUST_VARIABLE]
        else:
            os.environ[TRUST_VARIABLE] = before


def create_key(path: Path) -> Path:
    """Write a new private key (PEM, readable by its owner alone) and, beside it, its public key `<name>.pub`.

    Returns the public key's path. Raises UsageError when either exists: a key is never overwritten.
    """
    _need_cryptography()
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    public_path = path.with_name(path.name + ".pub")
    for existing in (path, public_path):
        if os.path.lexists(existing):
            raise UsageError(f"{existing}: exists already; choose another name for the new key")
    key = Ed25519PrivateKey.generate()
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    _write_new(path, private, 0o600)
    _write_new(public_path, public, 0o644)
    return public_path


def sign_bundle(folder: Path, key_path: Path) -> str:
    """Check every file of a bundle and write its `bundle.sig`. Returns the key's fingerprint.

    Raises BundleError for a damaged bundle and UsageError for a key that is none.
    """
    key = _private_key(key_path)
    manifest = read_manifest(folder)
    for name, entry in manifest["files"].items():
        read_file(folder, name, entry)
    signature = key.sign(_message(manifest))
    public = key.public_key().public_bytes_raw()
    write_json(
        folder / SIGNATURE_FILE,
        {"algorithm": _ALGORITHM, "public_key": public.hex(), "signature": signature.hex()},
    )
    return _fingerprint(public)


def check_signature(folder: Path, manifest: dict[str, Any], trust: Path) -> str:
    """Raise BundleError unless `bundle.sig` is the trusted key's signature of `manifest`. Returns its fingerprint."""
    key = _public_key(trust)
    path = folder / SIGNATURE_FILE
    if not os.path.lexists(path):
        raise BundleError(f"{folder}: is not signed, and this device trusts only {trust}; sign it with: edgeface sign")
    public, signature = _read_signature(path)
    if public != key.public_bytes_raw():
        raise BundleError(
            f"{path}: signed by key {_fingerprint(public)}, not by the trusted {_fingerprint(key.public_bytes_raw())}; "
            "get the bundle from whom you trust"
        )
    from cryptography.exceptions import InvalidSignature

    try:
        key.verify(signature, _message(manifest))
    except InvalidSignature:
        raise BundleError(f"{path}: the signature does not fit the bundle: it was changed; get it again") from None
    return _fingerprint(public)


def signer(folder: Path) -> str | None:
    """Fingerprint of the key that a bundle says it was signed by (not checked), None when it is not signed."""
    path = folder / SIGNATURE_FILE
    return _fingerprint(_read_signature(path)[0]) if os.path.lexists(path) else None


def _message(manifest: dict[str, Any]) -> bytes:
    return _DOMAIN + render(manifest).encode()


def _read_signature(path: Path) -> tuple[bytes, bytes]:
    try:
        document = json.loads(read_regular(path, _LARGEST_SIGNATURE))
        if document["algorithm"] != _ALGORITHM:
            raise ValueError
        return bytes.fromhex(document["public_key"]), bytes.fromhex(document["signature"])
    except (ValueError, KeyError, TypeError, RecursionError):
        raise BundleError(f"{path}: is not a signature; sign the bundle again") from None


def _fingerprint(public: bytes) -> str:
    return hashlib.sha256(public).hexdigest()[:16]


def _private_key(path: Path) -> Ed25519PrivateKey:
    _need_cryptography()
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        key = load_pem_private_key(_read_key(path), None)
    except (ValueError, TypeError):
        key = None
    if not isinstance(key, Ed25519PrivateKey):
        raise UsageError(
            f"{path}: is not an Ed25519 private key without a password; make one with: edgeface sign --new-key"
        )
    return key


def _public_key(path: Path) -> Ed25519PublicKey:
    _need_cryptography()
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    try:
        key = load_pem_public_key(_read_key(path))
    except (ValueError, TypeError):
        key = None
    if not isinstance(key, Ed25519PublicKey):
        raise UsageError(f"{path}: is not an Ed25519 public key; give the .pub file that edgeface sign --new-key wrote")
    return key


def _read_key(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(_LARGEST_KEY)
    except OSError as error:
        raise UsageError(f"{path}: the key cannot be read ({error.strerror}); give a key file") from None


def _write_new(path: Path, content: bytes, mode: int) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
            file.write(content)
    except OSError as error:
        raise StorageError(f"cannot write {path}: {error.strerror}; choose another place for the key") from None


def _need_cryptography() -> None:
    try:
        import cryptography  # noqa: F401
    except ImportError:
        raise MissingDependencyError(
            "signatures need the package cryptography; install it with: pip install 'edgeface[secure]'"
        ) from None
