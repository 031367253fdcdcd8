"""The pinned packages that the emulator is made of."""

from __future__ import annotations

import functools
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgeface.bench.arm.home import PACKAGES_FILE
from edgeface.errors import EmulatorError
from edgeface.files import sha256

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


@dataclass(frozen=True)
class Package:
    """One file to get. `part` is emulator, sysroot, litert or host; `python` is set for wheels ("3.11")."""

    name: str
    version: str
    architecture: str
    part: str
    file: str
    sha256: str
    bytes: int
    python: str = ""

    def is_in(self, folder: Path) -> bool:
        """Whether the folder holds this very file."""
        path = folder / self.file
        return path.is_file() and sha256(path) == self.sha256


def needed_packages() -> tuple[Package, ...]:
    """All pinned packages except the `host` wheels of other Pythons than this one."""
    here = f"{sys.version_info.major}.{sys.version_info.minor}"
    return tuple(package for package in _pinned()[1] if package.part != "host" or package.python == here)


def litert_version() -> str:
    """Version of the emulated LiteRT."""
    return _pinned()[0]


@functools.cache
def _pinned() -> tuple[str, tuple[Package, ...]]:
    try:
        table: dict[str, Any] = tomllib.loads(PACKAGES_FILE.read_text(encoding="utf-8"))
        return str(table["litert"]), tuple(Package(**entry) for entry in table["packages"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise EmulatorError(f"{PACKAGES_FILE}: is cut short or edited ({error}); install EdgeFace again") from None
