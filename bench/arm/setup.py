"""Sets the emulator up in its own folder, without root, and removes it."""

from __future__ import annotations

import io
import lzma
import platform
import shutil
import subprocess
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

from edgeface.bench.arm.fetch import Say, fetch
from edgeface.bench.arm.home import MACHINE, PLUGIN_SOURCE, home, is_set_up, made_from, on_this_machine
from edgeface.bench.arm.packages import Package, needed_packages
from edgeface.bench.arm.run import check
from edgeface.errors import EmulatorError, StorageError
from edgeface.files import storage_errors, write_json, write_text

MARKER = ".edgeface-arm"
"""Tells that the folder is ours: only then is anything in it replaced or removed."""
PARTS = ("bin", "lib", "sysroot", "litert", "host")
OWN = ("ready.json", *PARTS, "insn_count.so", "download")
"""In the order in which it is removed: what is half gone is not ready."""
UNNEEDED = ("usr/share/", "etc/", "usr/lib/python3.11/sitecustomize.py", "usr/lib/aarch64-linux-gnu/gconv/")


def setup(source: Path | None, say: Say) -> Path:
    """Get, check, unpack, compile and try the emulator; returns its folder. Does nothing when that is done already.

    `source` is a folder with the packages, None for apt-get and pip. Interrupted, it goes on where it stopped: packages
    that arrived are kept until the end. Raises EmulatorError saying what is missing and how to go on.
    """
    if not on_this_machine():
        raise EmulatorError(
            f"arm emulation needs {MACHINE}, this is {platform.system()} {platform.machine()}; "
            "devices are simulated by their profiles here"
        )
    if is_set_up():
        return home()
    compiler = _compiler()
    _claim()
    download = home() / "download"
    fetch(download, source, say)
    say("unpacking")
    with storage_errors(home()):
        _unpack(download)
        _compile(compiler)
    say("trying")
    check()
    write_json(home() / "ready.json", {"made_from": made_from()})
    shutil.rmtree(download, ignore_errors=True)
    return home()


def remove() -> bool:
    """Remove the emulator. False when there was none. Raises StorageError for a folder that is not ours."""
    place = home()
    if not place.exists():
        return False
    if not (place / MARKER).exists():
        raise StorageError(f"{place}: was not made by 'edgeface devices setup arm' and is left alone")
    with storage_errors(place):
        for name in OWN:
            _delete(place / name)
        (place / MARKER).unlink()
        if not any(place.iterdir()):
            place.rmdir()
    return True


def _claim() -> None:
    place = home()
    with storage_errors(place):
        place.mkdir(parents=True, exist_ok=True)
        if not (place / MARKER).exists() and any(place.iterdir()):
            raise StorageError(f"{place}: holds other files; choose another folder with EDGEFACE_ARM_HOME")
    write_text(
        place / MARKER, "made by 'edgeface devices setup arm'; removed by 'edgeface devices setup arm --remove'\n"
    )


def _delete(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _unpack(download: Path) -> None:
    for name in ("ready.json", *PARTS):
        _delete(home() / name)
    for name in PARTS:
        (home() / name).mkdir()
    for package in needed_packages():
        try:
            _unpack_package(package, download / package.file)
        except (ValueError, KeyError, lzma.LZMAError, tarfile.TarError, zipfile.BadZipFile) as error:
            raise EmulatorError(f"{download / package.file}: cannot be unpacked ({error})") from None


def _unpack_package(package: Package, path: Path) -> None:
    place = home()
    if package.part == "sysroot":
        _extract(path, place / "sysroot", lambda name: not name.startswith(UNNEEDED))
    elif package.part == "emulator":
        for member, content in _files(path):
            if member == "usr/bin/qemu-aarch64":
                _write_program(place / "bin" / "qemu-aarch64", content)
            elif member.startswith("usr/lib/x86_64-linux-gnu/lib"):
                # The name that programs ask for: libcapstone.so.4, liburing.so.2 of liburing.so.2.3.
                name = Path(member).name
                base, _, version = name.partition(".so.")
                _write_program(place / "lib" / f"{base}.so.{version.split('.')[0]}", content)
    else:
        with zipfile.ZipFile(path) as wheel:
            if package.part == "litert":
                content = wheel.read("ai_edge_litert/libLiteRtRuntimeCApi.so")
                _write_program(place / "litert" / "libLiteRtRuntimeCApi.so", content)
            else:  # the runtime alone, without the vendors' compilers and tools in folders of their own
                names = [
                    name for name in wheel.namelist() if name.startswith("ai_edge_litert/") and name.count("/") == 1
                ]
                wheel.extractall(place / "host", names)


def _extract(path: Path, target: Path, wanted: Callable[[str], bool]) -> None:
    with _data(path) as archive:
        members = [member for member in archive if wanted(member.name.removeprefix("./"))]
        # A Python without filters (3.10 before 3.10.12) extracts all: the package's digest is pinned.
        options = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}
        archive.extractall(target, members, **options)  # type: ignore[arg-type]


def _files(path: Path) -> Iterator[tuple[str, bytes]]:
    """Path and content of every regular file in a Debian package."""
    with _data(path) as archive:
        for member in archive:
            file = archive.extractfile(member) if member.isfile() else None
            if file is not None:
                yield member.name.removeprefix("./"), file.read()


def _data(path: Path) -> tarfile.TarFile:
    """The data archive of a Debian package, an `ar` file: 60-byte headers, contents padded to even length."""
    content = path.read_bytes()
    if content[:8] != b"!<arch>\n":
        raise ValueError("not a Debian package")
    at = 8
    while at + 60 <= len(content):
        name, size = content[at : at + 16].rstrip(b" /"), int(content[at + 48 : at + 58])
        if name.startswith(b"data.tar"):
            return tarfile.open(fileobj=io.BytesIO(content[at + 60 : at + 60 + size]), mode="r:*")
        at += 60 + size + size % 2
    raise ValueError("it has no data archive")


def _write_program(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    path.chmod(0o755)


def _compiler() -> str:
    for name in ("gcc", "cc", "clang"):
        if found := shutil.which(name):
            return found
    raise EmulatorError("arm emulation compiles its instruction counter: install gcc (Debian: package gcc, libc6-dev)")


def _compile(compiler: str) -> None:
    command = [compiler, "-O2", "-fPIC", "-shared", "-fvisibility=hidden", "-Wl,--unresolved-symbols=ignore-all"]
    command += ["-o", str(home() / "insn_count.so"), str(PLUGIN_SOURCE)]
    result = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    if result.returncode:
        told = [line for line in result.stderr.splitlines() if "error" in line] or [f"exit code {result.returncode}"]
        raise EmulatorError(f"{compiler} cannot compile {PLUGIN_SOURCE.name}: {told[0]}")
