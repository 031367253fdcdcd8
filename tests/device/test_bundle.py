"""A bundle is written whole, and refused when anything in it is not what was written."""

from __future__ import annotations

import hashlib
import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from edgeface import bundle as bundle_module
from edgeface.bundle import Bundle, open_bundle, write_bundle
from edgeface.embedder import Recognizer
from edgeface.errors import BundleError, UsageError
from edgeface.face_input import FaceInput

Refused = Callable[[Path], str]
FILES = ("model.tflite", "labels.txt", "MODEL_CARD.md", "self_test.json", "bundle.json")


def refuse_interpreter(*_: object) -> None:
    raise AssertionError("the interpreter saw a damaged bundle")


def test_what_was_written_is_read_back(tiny_bundles: dict[str, Path]) -> None:
    for mode, dtype in (("float32", "float32"), ("int8", "int8")):
        bundle = open_bundle(tiny_bundles[mode])
        assert isinstance(bundle, Bundle)
        assert (bundle.mode, bundle.io) == (mode, dtype)
        assert bundle.labels == tuple(f"person_{number}" for number in range(5))
        assert bundle.face_input == FaceInput(32)
        assert bundle.embedding_size == 128
        assert bundle.accuracy == {"before": 0.9, "after": 0.875, "images": 40, "data": "synthetic, val"}
        assert bundle.source["versions"] == {"tensorflow": "0"}
        assert bundle.tensors["classify"].inputs[0].shape == (1, 32, 32, 3)
        assert bundle.size == len(bundle.read_model()) == bundle.model_path.stat().st_size
        assert bundle.model_sha256 == hashlib.sha256(bundle.read_model()).hexdigest()
    assert sorted(entry.name for entry in tiny_bundles["int8"].iterdir()) == sorted(FILES)


def test_model_card_says_what_it_must(tiny_models: dict[str, bytes], tmp_path: Path) -> None:
    path = write_bundle(
        tmp_path / "door",
        tiny_models["int8"],
        list("abcde"),
        FaceInput(32, crop=(86, 172, 35, 140), frame=(218, 178)),
        "int8",
        accuracy={"before": 0.9, "after": None, "images": 12, "data": "people, val"},
        source={"network": "squeezenext_23v5", "dataset": "people", "dataset_hash": "abc"},
        note="The data is for research only.",
    ).path
    card = (path / "MODEL_CARD.md").read_text()
    for text in ("# door", "5 people", "90.00 %", "not measured", "12 images", "research only", "presentation-attack"):
        assert text in card
    assert "rows 86-172, columns 35-140 of a 178x218 aligned photo" in card
    assert "edgeface predict door photo.jpg" in card
    assert "terms of this data are not recorded" not in card
    path = write_bundle(tmp_path / "yard", tiny_models["int8"], list("abcde"), FaceInput(32), "int8").path
    assert "terms of this data are not recorded" in (path / "MODEL_CARD.md").read_text()


@pytest.mark.parametrize("name", FILES)
def test_bit_flips_never_reach_the_interpreter(
    bundle: Path, name: str, monkeypatch: pytest.MonkeyPatch, refused: Refused
) -> None:
    monkeypatch.setattr("edgeface.embedder.Interpreter", refuse_interpreter)
    file = bundle / name
    content = file.read_bytes()
    rng = random.Random(name)
    positions = range(len(content)) if len(content) < 400 else rng.sample(range(len(content)), 150)
    for position in positions:
        damaged = bytearray(content)
        damaged[position] ^= 1 << rng.randrange(8)
        file.write_bytes(damaged)
        refused(bundle)


@pytest.mark.parametrize("name", FILES)
def test_cut_short_grown_empty_or_missing_files(
    bundle: Path, name: str, monkeypatch: pytest.MonkeyPatch, refused: Refused
) -> None:
    monkeypatch.setattr("edgeface.embedder.Interpreter", refuse_interpreter)
    file = bundle / name
    content = file.read_bytes()
    for damaged in (content[: len(content) // 2], content[:-1], content + b"\0", b""):
        file.write_bytes(damaged)
        refused(bundle)
    file.unlink()
    assert "missing" in refused(bundle)


def test_files_of_another_bundle_are_refused(bundle: Path, tiny_bundles: dict[str, Path], refused: Refused) -> None:
    for name in ("model.tflite", "MODEL_CARD.md", "bundle.json"):
        kept = (bundle / name).read_bytes()
        shutil.copy(tiny_bundles["float32"] / name, bundle / name)
        refused(bundle)
        (bundle / name).write_bytes(kept)
    open_bundle(bundle)


@pytest.mark.parametrize("name", FILES)
def test_links_folders_and_pipes_are_refused(bundle: Path, name: str, tmp_path: Path, refused: Refused) -> None:
    file = bundle / name
    elsewhere = tmp_path / "elsewhere"
    file.rename(elsewhere)
    file.symlink_to(elsewhere)
    assert "not a regular file" in refused(bundle)
    file.unlink()
    os.mkfifo(file)
    assert "not a regular file" in refused(bundle)
    file.unlink()
    file.mkdir()
    assert "not a regular file" in refused(bundle)


def test_no_folder_or_not_a_bundle(tmp_path: Path, refused: Refused) -> None:
    for name in ("nothing", "a" * 300, "nul\0"):
        assert "no such folder" in refused(tmp_path / name)
    assert "missing" in refused(tmp_path)
    (tmp_path / "bundle.json").write_text("{}")
    assert "not the manifest" in refused(tmp_path)


def test_model_changed_after_opening_is_not_loaded(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = open_bundle(bundle)
    content = bytearray(opened.model_path.read_bytes())
    content[1000] ^= 1
    opened.model_path.write_bytes(content)
    monkeypatch.setattr("edgeface.embedder.Interpreter", refuse_interpreter)
    with pytest.raises(BundleError, match="SHA-256"):
        Recognizer(opened)


def test_a_bundle_is_replaced_and_nothing_else_is(bundle: Path, tiny_models: dict[str, bytes], tmp_path: Path) -> None:
    def write(folder: Path) -> Bundle:
        return write_bundle(folder, tiny_models["float32"], list("vwxyz"), FaceInput(32), "float32")

    (bundle / "labels.txt").write_text("damaged")
    assert write(bundle).labels == tuple("vwxyz")
    (tmp_path / "empty").mkdir()
    assert write(tmp_path / "empty").mode == "float32"
    (bundle / "notes.txt").write_text("mine")
    with pytest.raises(UsageError, match=r"holds other files \(notes\.txt\)"):
        write(bundle)
    assert (bundle / "notes.txt").read_text() == "mine"
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "labels.txt").write_text("")
    (tmp_path / "file").write_text("")
    for other in ("photos", "file"):
        with pytest.raises(UsageError, match="is not a bundle"):
            write(tmp_path / other)
    assert not [entry for entry in tmp_path.iterdir() if entry.name.startswith(".")]


def test_interrupted_writing_leaves_the_old_bundle(
    bundle: Path, tiny_models: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = {entry.name: entry.read_bytes() for entry in bundle.iterdir()}

    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "write_text", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_bundle(bundle, tiny_models["float32"], list("vwxyz"), FaceInput(32), "float32")
    assert {entry.name: entry.read_bytes() for entry in bundle.iterdir()} == before
    assert [entry.name for entry in bundle.parent.iterdir()] == [bundle.name]


@pytest.mark.parametrize(
    ("labels", "size", "mode"),
    [
        (["a", "b"], 32, "float32"),
        (["a", "a", "b", "c", "d"], 32, "float32"),
        (["a", "b\nc", "d", "e", "f"], 32, "float32"),
        (["a", "", "d", "e", "f"], 32, "float32"),
        (["a", "\ud800", "d", "e", "f"], 32, "float32"),
        (list("abcde"), 64, "float32"),
        (list("abcde"), 32, "int4"),
    ],
)
def test_what_does_not_fit_the_model_is_not_written(
    tiny_models: dict[str, bytes], tmp_path: Path, labels: list[str], size: int, mode: str
) -> None:
    with pytest.raises(BundleError):
        write_bundle(tmp_path / "bundle", tiny_models["float32"], labels, FaceInput(size), mode)
    assert not list(tmp_path.iterdir())


def test_names_in_any_script(tiny_models: dict[str, bytes], tmp_path: Path) -> None:
    labels = ("Zoë", "李雷", "Ана", "ann lee", "o'neil")
    bundle = write_bundle(tmp_path / "bündel", tiny_models["float32"], labels, FaceInput(32), "float32", note="für uns")
    assert bundle.labels == labels
    assert bundle.note == "für uns"


def test_public_names() -> None:
    assert {"MODES", "OUTPUTS", "Bundle", "is_bundle", "open_bundle", "store_thresholds", "write_bundle"} == set(
        bundle_module.__all__
    )


def test_a_file_of_the_bundle_is_no_bundle_and_an_added_byte_is_counted(bundle: Path, refused) -> None:
    assert "is a file; give its folder" in refused(bundle / "model.tflite")
    labels = bundle / "labels.txt"
    size = labels.stat().st_size
    for change in (b"x", b""):
        labels.write_bytes(labels.read_bytes() + change if change else b"")
        found = size + 1 if change else 0
        assert f"{labels}: {found} bytes, should be {size}; copy" in refused(bundle)
