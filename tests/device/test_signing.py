"""Signed bundles: a device that pins a key opens what that key signed, and nothing else."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from edgeface.bundle import open_bundle, store_thresholds
from edgeface.cli import app
from edgeface.embedder import Recognizer
from edgeface.errors import BundleError, UsageError
from edgeface.signing import create_key, own_bundles, sign_bundle
from edgeface.thresholds import Threshold


@pytest.fixture
def keys(tmp_path: Path) -> tuple[Path, Path]:
    """A private key and its public key."""
    return tmp_path / "maker.key", create_key(tmp_path / "maker.key")


def run(*arguments: object):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_a_pinned_device_opens_signed_bundles_only(
    bundle: Path, keys: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    private, public = keys
    assert private.stat().st_mode & 0o777 == 0o600
    open_bundle(bundle)
    monkeypatch.setenv("EDGEFACE_TRUST", str(public))
    with pytest.raises(BundleError, match="is not signed"):
        Recognizer(bundle)
    fingerprint = sign_bundle(bundle, private)
    assert Recognizer(bundle).labels == open_bundle(bundle).labels
    other = create_key(tmp_path / "other.key")
    with pytest.raises(BundleError, match=f"signed by key {fingerprint}, not by the trusted"):
        open_bundle(bundle, trust=other)
    monkeypatch.setenv("EDGEFACE_TRUST", str(tmp_path / "lost.pub"))
    with pytest.raises(UsageError, match="cannot be read"):
        open_bundle(bundle)


def test_work_of_its_own_is_opened_unsigned(
    bundle: Path, keys: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    for before in (str(keys[1]), None):
        monkeypatch.setenv("EDGEFACE_TRUST", before) if before else monkeypatch.delenv("EDGEFACE_TRUST")
        with own_bundles():
            open_bundle(bundle)
        assert os.environ.get("EDGEFACE_TRUST") == before
    monkeypatch.setenv("EDGEFACE_TRUST", str(keys[1]))
    with pytest.raises(BundleError, match="is not signed"):
        open_bundle(bundle)


def test_a_key_in_the_configuration_folder_is_pinned(
    bundle: Path, keys: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("EDGEFACE_TRUST", raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    open_bundle(bundle)
    (tmp_path / "config" / "edgeface").mkdir(parents=True)
    shutil.copy(keys[1], tmp_path / "config" / "edgeface" / "trust.pub")
    with pytest.raises(BundleError, match="is not signed"):
        open_bundle(bundle)


def test_the_signature_covers_every_file(bundle: Path, keys: tuple[Path, Path], tiny_bundles: dict[str, Path]) -> None:
    private, public = keys
    sign_bundle(bundle, private)
    signature = (bundle / "bundle.sig").read_bytes()
    # A whole other bundle, with right checksums of its own, under the old signature.
    for name in ("model.tflite", "labels.txt", "MODEL_CARD.md", "self_test.json", "bundle.json"):
        shutil.copy(tiny_bundles["float32"] / name, bundle / name)
    open_bundle(bundle)
    with pytest.raises(BundleError, match="the signature does not fit"):
        open_bundle(bundle, trust=public)
    shutil.copytree(tiny_bundles["int8"], bundle, dirs_exist_ok=True)
    open_bundle(bundle, trust=public)
    for damaged in (b"", b"{}", b"[" * 3000, signature[:-20], signature.replace(b"ed25519", b"ed448"), b"x" * 9000):
        (bundle / "bundle.sig").write_bytes(damaged)
        with pytest.raises(BundleError, match=r"bundle\.sig"):
            open_bundle(bundle, trust=public)


def test_new_thresholds_need_a_new_signature(bundle: Path, keys: tuple[Path, Path]) -> None:
    sign_bundle(bundle, keys[0])
    store_thresholds(bundle, [Threshold(0.1, 0.4, 0.2, 40, 10, "drawn")])
    with pytest.raises(BundleError, match="is not signed"):
        open_bundle(bundle, trust=keys[1])


def test_damaged_bundles_and_wrong_keys_are_not_signed(bundle: Path, keys: tuple[Path, Path], tmp_path: Path) -> None:
    private, public = keys
    for wrong in (public, tmp_path / "nothing", bundle / "labels.txt", tmp_path):
        with pytest.raises(UsageError, match="key"):
            sign_bundle(bundle, wrong)
    with pytest.raises(UsageError, match="public key"):
        open_bundle(bundle, trust=private)
    with pytest.raises(UsageError, match="exists already"):
        create_key(private)
    (bundle / "labels.txt").write_text("mallory\n")
    with pytest.raises(BundleError, match=r"labels\.txt"):
        sign_bundle(bundle, private)
    assert not (bundle / "bundle.sig").exists()


def test_the_commands(bundle: Path, tmp_path: Path) -> None:
    key = tmp_path / "keys" / "maker.key"
    done = run("verify-bundle", bundle)
    assert done.exit_code == 0
    assert done.stdout.endswith("not signed\n")
    assert run("sign", bundle, "--new-key", key).stdout.startswith(f"{bundle}: signed by key ")
    done = run("verify-bundle", bundle, "--trust", f"{key}.pub", "--json")
    answer = json.loads(done.stdout)
    assert answer["signature"] == "trusted"
    assert answer["files"]["model.tflite"] == open_bundle(bundle).model_sha256
    assert "not checked" in run("verify-bundle", bundle).stdout
    (bundle / "MODEL_CARD.md").write_text("Perfect.")
    done = run("verify-bundle", bundle, "--json")
    assert done.exit_code == 2
    answer = json.loads(done.stdout)
    assert not answer["ok"]
    assert done.stderr == f"error: {answer['error']}\n"
    for arguments in (("verify-bundle", bundle), ("sign", bundle, "--key", key), ("sign",), ("sign", bundle)):
        done = run(*arguments)
        assert done.exit_code == 2
        assert done.stderr.startswith("error: ")
        assert "Traceback" not in done.stderr


def test_without_cryptography_it_says_what_to_install(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "cryptography", None)
    done = run("sign", bundle, "--key", bundle / "labels.txt")
    assert done.exit_code == 2
    assert "edgeface[secure]" in done.stderr
