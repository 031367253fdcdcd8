"""`bundle.json` as text: reading it safely, its one spelling, its checksum of itself."""

from __future__ import annotations

import hashlib
import json
import os
import stat
from pathlib import Path
from typing import Any

from edgeface import bundle_schema
from edgeface.errors import BundleError

MANIFEST_FILE = "bundle.json"
SIGNATURE_FILE = "bundle.sig"
_LARGEST_MANIFEST = 1 << 20


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of a bundle, checked by schema, spelling and checksum. Raises BundleError in one line."""
    path = folder / MANIFEST_FILE
    if not os.path.isdir(folder):  # unlike Path.is_dir, never an OSError
        if os.path.lexists(folder):
            raise BundleError(f"{folder}: is a file; give its folder, which `edgeface quantize` wrote")
        raise BundleError(f"{folder}: no such folder; give the folder that `edgeface quantize` wrote")
    content = read_regular(path, _LARGEST_MANIFEST)
    damaged = f"{path}: damaged or edited by hand; export the bundle again"
    try:
        manifest = json.loads(content)
        untouched = render(manifest).encode() == content
    except (ValueError, RecursionError):  # not UTF-8, not JSON, NaN, or nested without end
        raise BundleError(damaged) from None
    bundle_schema.check(manifest, path)
    if not untouched or manifest["checksum"] != _checksum(manifest):
        raise BundleError(damaged)
    return manifest


def sealed(manifest: dict[str, Any], contents: dict[str, bytes], path: Path) -> dict[str, Any]:
    """The manifest with the size and SHA-256 of `contents` entered, its checksum last. Raises BundleError by schema."""
    entries = {
        name: {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
        for name, content in contents.items()
    }
    result = {key: value for key, value in manifest.items() if key not in ("files", "checksum")}
    result["files"] = {**manifest.get("files", {}), **entries}
    result["checksum"] = _checksum(result)
    bundle_schema.check(result, path)
    return result


def render(manifest: dict[str, Any]) -> str:
    """The one spelling of a manifest: any other text with the same meaning was edited."""
    return json.dumps(manifest, indent=2, allow_nan=False) + "\n"


def read_file(folder: Path, name: str, entry: dict[str, Any]) -> bytes:
    """A file of the bundle, refused unless its size and SHA-256 are the manifest's."""
    path = folder / name
    content = read_regular(path, entry["size"], exactly=True)
    if hashlib.sha256(content).hexdigest() != entry["sha256"]:
        raise BundleError(f"{path}: SHA-256 differs from {MANIFEST_FILE}; copy or export the bundle again")
    return content


def read_regular(path: Path, largest: int, *, exactly: bool = False) -> bytes:
    """A regular file of at most, or `exactly`, `largest` bytes; links, folders and devices are refused."""
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    try:
        if not stat.S_ISREG(path.lstat().st_mode):
            raise BundleError(f"{path}: not a regular file; copy the bundle again without links")
        with os.fdopen(os.open(path, flags), "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise BundleError(f"{path}: not a regular file; copy the bundle again without links")
            size = os.fstat(file.fileno()).st_size
            content = file.read(size + 1) if size <= largest else b""
            size = max(size, len(content))
            if size > largest or (exactly and len(content) < largest):
                should = f"should be {largest}" + ("" if exactly else " at most")
                raise BundleError(f"{path}: {size} bytes, {should}; copy or export the bundle again")
            return content
    except FileNotFoundError:
        raise BundleError(f"{path}: missing; copy or export the bundle again") from None
    except OSError as error:
        raise BundleError(f"{path}: cannot be read ({error.strerror}); copy the bundle again") from None


def _checksum(manifest: dict[str, Any]) -> str:
    rest = {key: value for key, value in manifest.items() if key != "checksum"}
    return hashlib.sha256(render(rest).encode()).hexdigest()
