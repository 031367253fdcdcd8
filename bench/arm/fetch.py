"""Gets the pinned packages: through the machine's own apt-get and pip, or from a folder that the user filled.

apt-get runs with a configuration of its own: private state, cache and package lists, with arm64 added, and the
machine's own list of sources. Nothing is installed and nothing needs root.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from edgeface.bench.arm.packages import Package, needed_packages
from edgeface.errors import EmulatorError, UsageError
from edgeface.files import sha256, storage_errors

SECONDS = 900.0
"""apt-get and pip have their own timeouts and retries; this one ends what hangs all the same."""
Say = Callable[[str], None]


def fetch(folder: Path, source: Path | None, say: Say) -> None:
    """Fill `folder` with every needed package; those that are there already with the right SHA-256 are kept.

    Raises EmulatorError naming what is missing and how to go on, and UsageError for a `source` that is no folder.
    """
    with storage_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    missing = _missing(folder)
    if not missing:
        return
    if source is not None:
        _copy(missing, source, folder)
        return
    reasons = []
    debian = [package for package in missing if package.file.endswith(".deb")]
    wheels = [package for package in missing if package.file.endswith(".whl")]
    if debian:
        say(f"apt-get: {len(debian)} packages, {sum(package.bytes for package in debian) / 1e6:.0f} MB")
        reasons += _apt(debian, folder)
    for package in wheels:
        say(f"pip: {package.file}, {package.bytes / 1e6:.0f} MB")
        reasons += _pip(package, folder)
    reasons += _drop_wrong(missing, folder)
    if missing := _missing(folder):
        raise EmulatorError(_how_to_go_on(missing, reasons))


def _missing(folder: Path) -> list[Package]:
    return [package for package in needed_packages() if not package.is_in(folder)]


def _how_to_go_on(missing: Sequence[Package], reasons: Sequence[str]) -> str:
    names = ", ".join(f"{package.name}:{package.architecture} {package.version}" for package in missing)
    causes = list(dict.fromkeys(reasons))
    if len(causes) > 3:  # apt-get says the same of every package; pip comes last
        causes = [*causes[:2], f"and {len(causes) - 3} more like it", causes[-1]]
    why = f" ({'; '.join(causes)})" if causes else ""
    return (
        f"could not get {names}{why}\n"
        "run it again to get the rest, or put the files that 'edgeface devices setup arm --list' names into a folder "
        "and give it with --from FOLDER"
    )


def _drop_wrong(packages: Sequence[Package], folder: Path) -> list[str]:
    """Remove files whose content is not the pinned one; returns what was wrong with them."""
    reasons = []
    for package in packages:
        path = folder / package.file
        if path.is_file() and not package.is_in(folder):
            reasons.append(f"{package.file} has SHA-256 {sha256(path)[:12]}..., pinned is {package.sha256[:12]}...")
            path.unlink()
    return reasons


def _copy(missing: Sequence[Package], source: Path, folder: Path) -> None:
    if not source.is_dir():
        raise UsageError(f"--from {source}: is not a folder")
    absent = [package.file for package in missing if not (source / package.file).is_file()]
    if absent:
        raise EmulatorError(f"{source}: lacks {', '.join(absent)}; 'edgeface devices setup arm --list' names all")
    for package in missing:
        if not package.is_in(source):
            found = sha256(source / package.file)
            raise EmulatorError(
                f"{source / package.file}: has SHA-256 {found}, pinned is {package.sha256}; get it again"
            )
        with storage_errors(folder):
            shutil.copyfile(source / package.file, folder / package.file)


def _apt(packages: Sequence[Package], folder: Path) -> list[str]:
    """Download Debian packages; returns reasons for what did not come."""
    if not shutil.which("apt-get"):
        return ["this machine has no apt-get"]
    environment = {**os.environ, "APT_CONFIG": str(_apt_configuration(folder)), "LC_ALL": "C"}
    reasons = _call(["apt-get", "-q", "update"], folder, environment, "E:", "W: Failed")
    wanted = [f"{package.name}:{package.architecture}={package.version}" for package in packages]
    # One version that the mirror no longer has stops them all: then each is asked for alone.
    if _call(["apt-get", "-q", "download", *wanted], folder, environment, "E:"):
        for name in wanted:
            reasons += _call(["apt-get", "-q", "download", name], folder, environment, "E:")
    return reasons


def _apt_configuration(folder: Path) -> Path:
    """A configuration file that keeps everything under `folder`/apt."""
    place = folder.resolve() / "apt"
    with storage_errors(place):
        (place / "state" / "lists" / "partial").mkdir(parents=True, exist_ok=True)
        (place / "cache" / "archives" / "partial").mkdir(parents=True, exist_ok=True)
        (place / "state" / "status").touch()
        path = place / "apt.conf"
        path.write_text(
            f'Dir::State "{place / "state"}";\nDir::State::status "{place / "state" / "status"}";\n'
            f'Dir::Cache "{place / "cache"}";\n'
            'APT::Architecture "amd64";\nAPT::Architectures { "amd64"; "arm64"; };\n'
            'APT::Sandbox::User "root";\nAcquire::Languages "none";\n'
        )
    return path


def _pip(package: Package, folder: Path) -> list[str]:
    """Download a wheel for another Python or machine than this one; returns reasons if it did not come."""
    platform = package.file[:-4].rsplit("-", 1)[1]
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
    command += ["--platform", platform, "--python-version", package.python, "--implementation", "cp"]
    command += [f"{package.name}=={package.version}", "--dest", "."]
    return _call(command, folder, dict(os.environ), "ERROR:", "No module named pip")


def _call(command: Sequence[str], folder: Path, environment: dict[str, str], *telling: str) -> list[str]:
    """Run a program in the folder; returns [] or the line of its output that tells why it failed."""
    try:
        result = subprocess.run(
            command,
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=SECONDS,
        )
    except subprocess.TimeoutExpired:
        return [f"{command[0]} took more than {SECONDS:.0f} s"]
    except OSError as error:
        return [f"{command[0]}: {error.strerror}"]
    lines = result.stdout.decode(errors="replace").strip().splitlines()
    told = [line.strip() for line in lines if any(mark in line for mark in telling)]
    if not result.returncode and not told:
        return []
    return [(told or lines or [f"{command[0]}: exit code {result.returncode}"])[-1]]
