"""A machine with programs of its own: apt-get, pip, gcc and QEMU as small scripts, and packages of a few bytes."""

import io
import json
import tarfile
import zipfile
from hashlib import sha256
from pathlib import Path

APT = """#!/bin/sh
# Packages come from $MIRROR; every call is noted in $LOG.
echo "apt-get $*" >> "$LOG"
[ -d "$MIRROR" ] || { echo "E: Failed to fetch InRelease  Could not resolve the name"; exit 100; }
grep -q 'Architectures { "amd64"; "arm64"; }' "$APT_CONFIG" || { echo "E: no arm64"; exit 100; }
[ "$2" = update ] && exit 0
shift 2
for want in "$@"; do
  name=${want%%:*}
  [ -f "$MIRROR/$name".deb ] || { echo "E: Version '${want#*=}' for '$name' was not found"; exit 100; }
done
for want in "$@"; do cp "$MIRROR/${want%%:*}.deb" "${want%%:*}.deb"; done
"""
PIP = """#!/bin/sh
echo "pip $*" >> "$LOG"
[ -d "$MIRROR" ] || { echo "ERROR: No matching distribution found for ai-edge-litert"; exit 1; }
case "$*" in *aarch64*) cp "$MIRROR"/arm.whl litert-aarch64.whl;; *) cp "$MIRROR"/host.whl litert-x86_64.whl;; esac
"""
GCC = """#!/bin/sh
while [ "$1" != -o ]; do shift; done
echo plugin > "$2"
"""
QEMU = "#!/bin/sh\nexit 0\n"
TOOLS = ("sh", "cp", "cat", "grep", "mkdir", "kill", "sleep", "head", "printf", "env")


def deb(files):
    """A Debian package of the files {path: content}: an ar archive with a data.tar.xz, of odd length to be padded."""
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w:xz") as archive:
        for path, content in files.items():
            member = tarfile.TarInfo("./" + path)
            member.size, member.mode = len(content), 0o755
            archive.addfile(member, io.BytesIO(content))
    parts = b"!<arch>\n"
    for name, content in (("debian-binary", b"2.0\n"), ("control.tar.xz", b"odd"), ("data.tar.xz", data.getvalue())):
        parts += f"{name:<16}{0:<12}{0:<6}{0:<6}{100644:<8}{len(content):<10}`\n".encode() + content
        parts += b"\n" * (len(content) % 2)
    return parts


def wheel(files):
    """A wheel of the files."""
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        for path, content in files.items():
            archive.writestr(path, content)
    return data.getvalue()


def script(path, text):
    """An executable script."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
    return path


class Machine:
    """Its folders: `mirror` of the packages, `path` of the programs, `home` of the emulator, and the log of calls."""

    def __init__(self, folder: Path, python: str, qemu: str = QEMU) -> None:
        self.mirror, self.bin, self.home = folder / "mirror", folder / "bin", folder / "home"
        self.log, self.pins = folder / "log", folder / "packages.toml"
        self.mirror.mkdir(parents=True)
        for name, text in (("apt-get", APT), ("python", PIP), ("gcc", GCC)):
            script(self.bin / name, text)
        self.contents = {
            "qemu-user": deb({"usr/bin/qemu-aarch64": qemu.encode(), "usr/bin/qemu-arm": b"not wanted"}),
            "libcapstone4": deb({"usr/lib/x86_64-linux-gnu/libcapstone.so.4": b"capstone"}),
            "python3.11-minimal": deb({"usr/bin/python3.11": b"python", "usr/share/doc/x": b"not wanted"}),
            "arm.whl": wheel({"ai_edge_litert/libLiteRtRuntimeCApi.so": b"arm library"}),
            "host.whl": wheel({"ai_edge_litert/interpreter.py": b"", "ai_edge_litert/tools/x.py": b"not wanted"}),
        }
        self.fill_mirror()
        lines = ['litert = "1.4.0"']
        for name, (architecture, part, file) in {
            "qemu-user": ("amd64", "emulator", "qemu-user.deb"),
            "libcapstone4": ("amd64", "emulator", "libcapstone4.deb"),
            "python3.11-minimal": ("arm64", "sysroot", "python3.11-minimal.deb"),
            "arm.whl": ("aarch64", "litert", "litert-aarch64.whl"),
            "host.whl": ("x86_64", "host", "litert-x86_64.whl"),
        }.items():
            content = self.contents[name]
            entry = {"name": name if file.endswith("deb") else "ai-edge-litert", "version": "1:2+3"}
            entry |= {"architecture": architecture, "part": part, "file": file, "sha256": sha256(content).hexdigest()}
            entry |= {"python": "3.11" if part == "litert" else python if part == "host" else ""}
            lines += ["[[packages]]", f"bytes = {len(content)}"]
            lines += [f"{key} = {json.dumps(value)}" for key, value in entry.items()]
        self.pins.write_text("\n".join(lines) + "\n")

    def fill_mirror(self):
        """Put every package there."""
        for name, content in self.contents.items():
            (self.mirror / (name if name.endswith("whl") else f"{name}.deb")).write_bytes(content)

    def calls(self):
        """What apt-get and pip were asked since the last time."""
        text = self.log.read_text() if self.log.exists() else ""
        self.log.unlink(missing_ok=True)
        return text
