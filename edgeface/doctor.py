"""What `edgeface doctor` looks at: whether this machine can run a bundle, and what to install where it cannot."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgeface.errors import EdgeFaceError, MissingDependencyError
from edgeface.machine import int8_dot_products
from edgeface.thresholds import DEFAULT_FMR, OWN_PEOPLE

OK, WARN, FAIL = "ok", "warn", "FAIL"
_OPENCV = ("opencv-python", "opencv-python-headless", "opencv-contrib-python", "opencv-contrib-python-headless")
_EXTRAS = {
    "cryptography": ("signed bundles, encrypted galleries", "pip install 'edgeface[secure]'"),
    "usearch": ("galleries of over 100,000 templates", "pip install 'edgeface[index]'"),
    "tensorflow": ("training and compression", "pip install 'edgeface[train]'"),
    "matplotlib": ("figures of calibrate and eval", "pip install matplotlib"),
}


@dataclass(frozen=True)
class Check:
    """One line: `state` is ok, warn (works, but know this) or FAIL (does not work); `fix` says what to do."""

    name: str
    state: str
    text: str
    fix: str = ""

    def line(self) -> str:
        """For people."""
        return f"{self.state:<4} {self.name:<12} {self.text}" + (f"; {self.fix}" if self.fix else "")


def examine(machine: dict[str, Any], bundle: Path | None = None, threads: int = 1) -> Iterator[Check]:
    """Every check, in the order of what depends on what. `machine` is what `edgeface.machine.describe` says.

    Yields as it goes; a check that cannot be made says so and the rest go on.
    """
    yield _python()
    yield from _numpy()
    opencv = _opencv()
    yield opencv
    yield from _runtimes()
    yield from _processor(machine)
    yield _threads(threads)
    yield _camera()
    yield _screen()
    yield from (_extra(name) for name in _EXTRAS)
    if bundle is not None and opencv.state == FAIL:
        yield _untried("bundle")
    elif bundle is not None:
        yield from _bundle(bundle, threads)


def version_of(distribution: str) -> str | None:
    """The installed version of a package, None when it is not installed. Does not import it."""
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None


def _python() -> Check:
    text = f"{platform.python_version()} on {platform.system()} {platform.machine()}"
    if (3, 10) <= sys.version_info[:2] <= (3, 13):
        return Check("python", OK, text)
    return Check("python", WARN, text, "EdgeFace is tested on Python 3.10 to 3.13")


def _numpy() -> Iterator[Check]:
    version = version_of("numpy")
    if version is None:
        yield Check("numpy", FAIL, "not installed", "pip install numpy")
        return
    try:
        import numpy  # noqa: F401
    except ImportError as error:
        yield Check(
            "numpy", FAIL, f"{version} does not load ({_first_line(error)})", "pip install --force-reinstall numpy"
        )
        return
    if version_of("tflite-runtime") is not None and int(version.split(".")[0]) >= 2:
        alone = version_of("ai-edge-litert") is None
        fix = "pip install 'numpy<2', or pip install ai-edge-litert"
        yield Check("numpy", FAIL if alone else WARN, f"{version}, but tflite-runtime was built against numpy 1", fix)
    else:
        yield Check("numpy", OK, version)


def _opencv() -> Check:
    installed = [f"{name} {version}" for name in _OPENCV if (version := version_of(name)) is not None]
    try:
        import numpy  # noqa: F401  # else OpenCV says on standard output what it lacks
    except ImportError:
        return _untried("opencv")
    try:
        import cv2
    except ImportError as error:
        if not installed:
            return Check("opencv", FAIL, "not installed", "pip install opencv-python")
        name = installed[0].split()[0]
        fix = f"pip install --force-reinstall {name}"
        if ".so" in str(error):  # a library of the system, which an image without a screen leaves out
            headless = f"pip uninstall {name} and pip install opencv-python-headless"
            fix = f"sudo apt install libgl1 libglib2.0-0, or {headless}"
        return Check("opencv", FAIL, f"{installed[0]} does not load ({_first_line(error)})", fix)
    if len(installed) > 1:
        return Check("opencv", WARN, " and ".join(installed), "they overwrite each other's files: keep one")
    return Check("opencv", OK, installed[0] if installed else cv2.__version__)


def _runtimes() -> Iterator[Check]:
    """The runtime that bundles will use, loaded; the others by name only, because they clash in one process."""
    try:
        from edgeface.interpreter import RUNTIMES, installed_runtimes, load_runtime

        names = installed_runtimes()
        _, used = load_runtime(None)
    except ImportError:  # NumPy
        yield _untried("runtime")
        return
    except MissingDependencyError as error:
        yield Check("runtime", FAIL, str(error))
        return
    others = [f"{RUNTIMES[name][0]} {version_of(RUNTIMES[name][2])}" for name in names]
    rest = ", ".join(other for other in others if other != used)
    text = used + (f" (also installed: {rest})" if rest else "")
    if used.startswith("LiteRT"):
        yield Check("runtime", OK, text)
    else:
        yield Check("runtime", WARN, text, "LiteRT runs int8 up to ten times faster: pip install ai-edge-litert")


def _processor(machine: dict[str, Any]) -> Iterator[Check]:
    features = machine["features"]
    yield Check("cpu", OK, f"{machine['cpu']}, {machine['cores']} cores; {', '.join(features) or 'features unknown'}")
    dot = int8_dot_products(features)
    if dot:
        yield Check("int8", OK, f"dot products in hardware ({', '.join(dot)}): int8 is the fast mode")
    elif features:
        fix = "float32 may be faster here: measure both with edgeface bench"
        yield Check("int8", WARN, "no int8 dot product instruction", fix)
    else:
        yield Check(
            "int8", WARN, "unknown: this system does not list the CPU's features", "measure with edgeface bench"
        )


def _threads(threads: int) -> Check:
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    text = f"{usable} cores may be used, {threads} asked for"
    if threads > usable:
        return Check("threads", WARN, text, f"more threads than cores is slower: --threads {usable}")
    return Check("threads", OK, text)


def _camera() -> Check:
    if not sys.platform.startswith("linux"):
        return Check("camera", WARN, "not looked for on this system", "try: edgeface watch GALLERY --camera 0")
    devices = sorted(Path("/dev").glob("video[0-9]"))  # from 10 on are the codecs of a Raspberry Pi
    if not devices:
        return Check(
            "camera", WARN, "none found (/dev/video0 to 9)", "plug one in, or give edgeface watch a video or folder"
        )
    usable = [device for device in devices if os.access(device, os.R_OK | os.W_OK)]
    if not usable:
        fix = "add yourself to its group: sudo usermod -aG video $USER"
        return Check("camera", FAIL, f"{devices[0]} may not be opened", fix)
    return Check("camera", OK, ", ".join(f"{device} ({_camera_name(device)})" for device in usable))


def _camera_name(device: Path) -> str:
    try:
        return Path(f"/sys/class/video4linux/{device.name}/name").read_text(errors="replace").strip()
    except OSError:
        return "no name"


def _screen() -> Check:
    headless = any(version_of(name) for name in _OPENCV if name.endswith("headless"))
    shown = not sys.platform.startswith("linux") or os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    if shown and not headless:
        return Check("screen", OK, "edgeface watch opens a window")
    reason = "opencv is headless" if headless else "no DISPLAY"
    return Check("screen", OK, f"{reason}: edgeface watch prints JSON lines")


def _extra(name: str) -> Check:
    use, install = _EXTRAS[name]
    version = version_of(name)
    if version is not None:
        return Check(name, OK, f"{version} ({use})")
    return Check(name, OK, f"not installed, only needed for {use}", install)


def _bundle(folder: Path, threads: int) -> Iterator[Check]:
    from edgeface.embedder import Recognizer
    from edgeface.signing import pinned_key, signer

    try:
        recognizer = Recognizer(folder, threads)
        fingerprint = signer(folder)
    except EdgeFaceError as error:
        yield Check("bundle", FAIL, str(error))
        return
    bundle = recognizer.bundle
    yield Check("bundle", OK, f"{folder}: {bundle.mode}, {bundle.size / 1e6:.2f} MB, {len(bundle.labels)} people")
    pinned = pinned_key()
    if fingerprint is None:
        yield Check("signature", OK, "not signed, and no key is pinned here")
    elif pinned is None:
        yield Check(
            "signature", WARN, f"signed by key {fingerprint}, not checked", "pin the key: EDGEFACE_TRUST=key.pub"
        )
    else:
        yield Check("signature", OK, f"signed by the trusted key {fingerprint}")
    yield _thresholds(bundle.thresholds, folder)
    delegate = recognizer.interpreter.delegate()
    state = WARN if delegate.name in ("none", "unknown") else OK
    yield Check("delegate", state, f"{delegate.name}: {delegate.evidence}")
    yield _self_test(recognizer)


def _thresholds(thresholds: Any, folder: Path) -> Check:
    if not thresholds:
        return Check("thresholds", WARN, "none: who is a stranger is not known", f"edgeface calibrate {folder} DATA")
    text = f"for FMR {', '.join(f'{entry.fmr:g}' for entry in thresholds)}"
    if thresholds[0].detector:
        text += f", by --detector {thresholds[0].detector}"
    if thresholds[0].flip:
        text += ", with --flip"
    again = f"edgeface calibrate {folder} DATA"
    if all(entry.fmr != DEFAULT_FMR for entry in thresholds):
        return Check("thresholds", WARN, f"{text}; not for {DEFAULT_FMR:g}, the default of identify", again)
    if any(entry.of_own_people for entry in thresholds):
        return Check("thresholds", WARN, f"{text}, of {OWN_PEOPLE}: the real rates are higher for strangers", again)
    return Check("thresholds", OK, text)


def _self_test(recognizer: Any) -> Check:
    from edgeface.self_test import run_self_test

    try:
        result = run_self_test(recognizer)
    except EdgeFaceError as error:
        return Check("self-test", FAIL, str(error))
    if result is None:
        return Check("self-test", WARN, "the bundle holds no stored outputs", "export it again with edgeface quantize")
    cosines = ", ".join(f"{name} {value:.5f}" for name, value in result.cosines.items())
    text = f"cosine to the outputs stored by {result.reference}: {cosines} (needed: {result.needed})"
    if result.passed:
        return Check("self-test", OK, text)
    return Check("self-test", FAIL, text, "this runtime computes something else: pip install -U ai-edge-litert")


def _untried(name: str) -> Check:
    """For what cannot be tried without a package that has a check of its own."""
    return Check(name, FAIL, "cannot be tried", "first mend what fails above")


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [repr(error)])[0]
