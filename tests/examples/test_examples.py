"""What lies in `examples/` runs as it stands there."""

from __future__ import annotations

import importlib.util
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from edgeface import Recognizer

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


@pytest.fixture(scope="module")
def recognise(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The C++ program, built against the runtime's own library; skipped with the reason where that cannot be."""
    compiler = shutil.which("g++") or shutil.which("clang++")
    if compiler is None:
        pytest.skip("no C++ compiler")
    spec = importlib.util.find_spec("ai_edge_litert")
    folder = Path(next(iter(spec.submodule_search_locations))) if spec and spec.submodule_search_locations else None
    if folder is None or not (folder / "libLiteRt.so").is_file():
        pytest.skip("the ai-edge-litert wheel with libLiteRt.so is not installed")
    program = tmp_path_factory.mktemp("cpp") / "recognise"
    source = EXAMPLES / "cpp" / "recognise.cpp"
    warnings = ["-Wall", "-Wextra", "-Werror"]
    link = [f"-L{folder}", "-l:libLiteRt.so", f"-Wl,-rpath,{folder}"]
    subprocess.run([compiler, "-std=c++17", *warnings, str(source), "-o", str(program), *link], check=True)
    return program


def run(program: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [program, *map(str, arguments)], capture_output=True, text=True, check=False, timeout=60, errors="replace"
    )


def test_the_cpp_program_says_what_python_says(
    recognise: Path, tiny_bundles: dict[str, Path], tiny_photos: np.ndarray, tmp_path: Path
) -> None:
    picture = tmp_path / "face.ppm"
    for mode, bundle in tiny_bundles.items():
        recognizer = Recognizer(bundle)
        face = recognizer.bundle.face_input.prepare(tiny_photos[2])
        cv2.imwrite(str(picture), cv2.cvtColor(face, cv2.COLOR_RGB2BGR))
        logits = recognizer.logits([face], prepared=True)[0]
        done = run(recognise, bundle, picture)
        assert done.returncode == 0, (mode, done.stderr)
        label, value = done.stdout.split()
        step = recognizer.bundle.tensors["classify"].outputs[0].scale or 1e-4
        assert float(value) == pytest.approx(logits.max(), abs=2 * step)
        assert label in recognizer.labels
        assert logits[recognizer.labels.index(label)] >= logits.max() - 2 * step


def test_the_cpp_program_refuses_what_it_cannot_use(recognise: Path, tiny_bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "small.ppm").write_bytes(b"P6 8 8 255\n" + bytes(192))
    (tmp_path / "cut.ppm").write_bytes(b"P6 32 32 255\n" + bytes(100))
    for arguments in ((), (tiny_bundle, tmp_path / "small.ppm"), (tiny_bundle, tmp_path / "cut.ppm"), (tmp_path, "x")):
        done = run(recognise, *arguments)
        assert done.returncode == 2, arguments
        assert done.stderr.splitlines()[-1].startswith("error: ")
    assert "32x32" in run(recognise, tiny_bundle, tmp_path / "small.ppm").stderr


def test_the_python_loop_names_what_the_camera_sees(
    tiny_bundle: Path, tiny_photos: np.ndarray, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Camera:
        def __init__(self, _: int) -> None:
            self.frames = [cv2.cvtColor(photo, cv2.COLOR_RGB2BGR) for photo in tiny_photos[:3]]

        def read(self) -> tuple[bool, np.ndarray | None]:
            return (True, self.frames.pop(0)) if self.frames else (False, None)

    monkeypatch.setattr(cv2, "VideoCapture", Camera)
    monkeypatch.setattr("edgeface.detector.open_detector", lambda: None)
    monkeypatch.setattr(sys, "argv", ["watch_door.py", str(tiny_bundle)])
    runpy.run_path(str(EXAMPLES / "watch_door.py"))
    names = [line.split()[0] for line in capsys.readouterr().out.splitlines()]
    assert names == [Recognizer(tiny_bundle).predict(photo)[0].identity for photo in tiny_photos[:3]]
