"""Where the emulator lies, and whether it is there.

`$EDGEFACE_ARM_HOME`, else `$XDG_DATA_HOME/edgeface/arm`, else `~/.local/share/edgeface/arm`:

    ready.json          written last: the digest of packages.toml and of the plugin's source that it was made from
    bin/ lib/           qemu-aarch64 and its libraries
    insn_count.so       the plugin, compiled here
    sysroot/            what the emulated Python needs of arm64 Debian
    litert/             the aarch64 LiteRT library
    host/               the same LiteRT version for this machine's Python, if there is one
    download/           packages while a setup is under way
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
from pathlib import Path

PLUGIN_SOURCE = Path(__file__).with_name("insn_count.c")
PACKAGES_FILE = Path(__file__).with_name("packages.toml")
MACHINE = "x86-64 Linux"


def home() -> Path:
    """The emulator's folder, whether it exists or not."""
    if given := os.environ.get("EDGEFACE_ARM_HOME"):
        return Path(given)
    base = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    return Path(base) / "edgeface" / "arm"


def is_set_up() -> bool:
    """Whether `edgeface devices setup arm` was finished, by this version of the pinned packages and the plugin."""
    return not_set_up() is None


def on_this_machine() -> bool:
    """Whether this is x86-64 Linux."""
    return platform.system() == "Linux" and platform.machine() in ("x86_64", "AMD64")


def not_set_up() -> str | None:
    """Why the emulator cannot be used, for a row's note; None when it can."""
    if not on_this_machine():
        return f"arm emulation needs {MACHINE}"
    try:
        ready = json.loads((home() / "ready.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        return "arm emulation is not set up: edgeface devices setup arm"
    except (OSError, ValueError):
        return f"{home() / 'ready.json'} is damaged: edgeface devices setup arm"
    if not isinstance(ready, dict) or ready.get("made_from") != made_from():
        return "arm emulation was set up by another version: edgeface devices setup arm"
    return None


def made_from() -> str:
    """Digest of what a setup depends on."""
    digest = hashlib.sha256()
    for path in (PACKAGES_FILE, PLUGIN_SOURCE):
        digest.update(path.read_bytes())
    return digest.hexdigest()
