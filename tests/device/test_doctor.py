"""`edgeface doctor` and the self-test: a wrong machine, a wrong model and a missing package are named."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from edgeface import doctor as doctor_module
from edgeface.bundle import open_bundle
from edgeface.cli import app
from edgeface.doctor import examine
from edgeface.embedder import Recognizer
from edgeface.errors import MissingDependencyError
from edgeface.self_test import pictures, run_self_test

MACHINE = {"cpu": "drawn", "cores": 2, "features": ["avx2"]}


def found(name: str, **changes: object) -> doctor_module.Check:
    return next(check for check in examine({**MACHINE, **changes}) if check.name == name)


def test_pictures_are_the_same_everywhere() -> None:
    probes = pictures(4)
    assert probes.shape == (3, 4, 4, 3)
    # |512 * (2 row + 5 column) // 12 % 510 - 255| for the first picture, first channel, by hand.
    assert probes[0, :2, :2, 0].tolist() == [[255, 42], [170, 43]]
    assert len({picture.tobytes() for picture in probes}) == 3


def test_stored_outputs_agree_and_another_models_do_not(tiny_bundles: dict[str, Path], tmp_path: Path) -> None:
    for mode, bundle in tiny_bundles.items():
        result = run_self_test(Recognizer(bundle))
        assert result is not None
        assert result.passed, (mode, result)
        assert result.reference.startswith("LiteRT")
    recognizer = Recognizer(tiny_bundles["int8"])
    recognizer.embed = lambda *_, **__: np.random.default_rng(0).normal(size=(3, 128))  # type: ignore[method-assign]
    result = run_self_test(recognizer)
    assert result is not None
    assert not result.passed
    assert result.cosines["embed"] < 0.5 < result.cosines["classify"]


def test_a_healthy_bundle(bundle: Path) -> None:
    done = CliRunner().invoke(app, ["doctor", str(bundle), "--json"])
    assert done.exit_code == 0, done.stdout
    answer = json.loads(done.stdout)
    states = {check["name"]: check["state"] for check in answer["checks"]}
    assert {"python", "numpy", "opencv", "runtime", "cpu", "int8", "threads", "camera", "delegate"} <= set(states)
    assert (states["bundle"], states["self-test"], states["thresholds"]) == ("ok", "ok", "warn")
    assert answer["ok"] is True
    lines = CliRunner().invoke(app, ["doctor", str(bundle)]).stdout.splitlines()
    assert len(lines) == len(answer["checks"])
    assert all(line.split()[0] in ("ok", "warn") for line in lines)


def test_a_damaged_bundle_fails(bundle: Path) -> None:
    (bundle / "labels.txt").write_text("mallory\n")
    done = CliRunner().invoke(app, ["doctor", str(bundle), "--quiet"])
    assert done.exit_code == 1
    assert "FAIL bundle" in done.stdout
    assert "not in order: bundle" in done.stderr
    assert "Traceback" not in done.stderr


def test_bundles_written_without_stored_outputs_open(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = Recognizer(open_bundle(bundle))
    monkeypatch.delitem(opened.bundle.files, "self_test.json")
    assert run_self_test(opened) is None


def test_what_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    versions = {"numpy": "2.1.0", "tflite-runtime": "2.14.0"}
    monkeypatch.setattr(doctor_module, "version_of", versions.get)
    clash = found("numpy")
    assert clash.state == "FAIL"
    assert "pip install 'numpy<2'" in clash.line()
    assert "edgeface[secure]" in found("cryptography").fix
    versions["ai-edge-litert"] = "2.3.0"
    assert found("numpy").state == "warn"

    def no_runtime(_: object) -> None:
        raise MissingDependencyError("no TFLite runtime; install one with: pip install ai-edge-litert")

    monkeypatch.setattr("edgeface.interpreter.load_runtime", no_runtime)
    assert found("runtime").state == "FAIL"


@pytest.mark.parametrize(("package", "library"), [("cv2", "libGL.so.1"), ("numpy", "libopenblas.so.0")])
def test_a_package_that_does_not_load_fails_its_check_and_those_that_need_it(
    package: str, library: str, bundle: Path, tmp_path: Path
) -> None:
    (tmp_path / package).mkdir()
    (tmp_path / package / "__init__.py").write_text(f'raise ImportError("{library}: cannot open shared object file")')
    program = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); from edgeface.cli import main; main()"

    def run(*arguments: object) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", program, *map(str, arguments)]
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)

    done = run("doctor", bundle, "--json")
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    checks = {check["name"]: check for check in json.loads(done.stdout)["checks"]}
    name = {"cv2": "opencv", "numpy": "numpy"}[package]
    assert checks[name]["state"] == checks["bundle"]["state"] == "FAIL"
    assert library in checks[name]["text"]
    assert ("libgl1" in checks[name]["fix"]) == (package == "cv2")
    assert checks["bundle"]["fix"] == "first mend what fails above"
    done = run("predict", bundle, "photo.jpg")
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()[-1:]
    assert line.startswith("error: ")
    assert "does not load" in line
    assert "Traceback" not in done.stderr


def test_opencv_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor_module, "version_of", {"numpy": "1.26.4"}.get)
    monkeypatch.setitem(sys.modules, "cv2", None)
    assert found("opencv").line() == "FAIL opencv       not installed; pip install opencv-python"


def test_int8_advice_follows_the_processor() -> None:
    assert found("int8").state == "warn"
    assert found("int8", features=["avx2", "avx512_vnni"]).state == "ok"
    assert found("int8", features=["asimd", "asimddp"]).text.startswith("dot products in hardware (asimddp)")
    assert "unknown" in found("int8", features=[]).text


def test_a_camera_that_may_not_be_opened(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(doctor_module.sys, "platform", "linux")
    monkeypatch.setattr(doctor_module, "Path", lambda place: tmp_path if place == "/dev" else Path(place))
    assert "none found" in found("camera").text
    (tmp_path / "video0").touch()
    assert found("camera").state == "ok"
    monkeypatch.setattr(doctor_module.os, "access", lambda *_: False)
    assert "usermod -aG video" in found("camera").fix


def test_a_pinned_key_shows(bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from edgeface.signing import create_key, sign_bundle

    public = create_key(tmp_path / "maker.key")
    sign_bundle(bundle, tmp_path / "maker.key")
    states = {check.name: check for check in examine(MACHINE, bundle)}
    assert "not checked" in states["signature"].text
    monkeypatch.setenv("EDGEFACE_TRUST", str(public))
    assert {check.name: check for check in examine(MACHINE, bundle)}["signature"].state == "ok"
    shutil.rmtree(bundle)
    assert {check.name: check for check in examine(MACHINE, bundle)}["bundle"].state == "FAIL"
