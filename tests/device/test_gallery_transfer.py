"""People on their way out of a gallery and into another: what fails on the way changes nothing that others have."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from edgeface import gallery_file, gallery_transfer
from edgeface.bundle import Bundle
from edgeface.cli import app
from edgeface.errors import GalleryError
from edgeface.gallery import Gallery, create_gallery
from edgeface.gallery_file import GalleryFile
from edgeface.gallery_transfer import export_gallery, import_gallery


@pytest.fixture
def door(tmp_path: Path, opened: Bundle) -> Path:
    """A gallery of ann and bob."""
    with create_gallery(tmp_path / "door.gallery", opened) as gallery:
        gallery.enroll("ann", axis(opened, 0), ["a"])
        gallery.enroll("bob", axis(opened, 1), ["b"])
    return gallery.path


@pytest.fixture
def people(door: Path, tmp_path: Path) -> Path:
    """Its export."""
    with Gallery(door) as gallery:
        export_gallery(gallery, tmp_path / "people.json")
    return tmp_path / "people.json"


def axis(bundle: Bundle, place: int) -> np.ndarray:
    return np.eye(bundle.embedding_size, dtype=np.float32)[[place]]


def run(*arguments: object, code: int = 0) -> str:
    """The standard error of `edgeface gallery`."""
    done = CliRunner().invoke(app, ["gallery", *map(str, arguments)])
    assert done.exit_code == code, f"{done.output}\n{done.exception!r}"
    return done.stderr


def rewrite(file: Path, **changes: Any) -> None:
    """Change an export and give it the right checksum; None leaves a key out."""
    document = {**json.loads(file.read_text()), **changes}
    document = {key: value for key, value in document.items() if value is not None}
    file.write_text(json.dumps({**document, "checksum": gallery_transfer._checksum(document)}))


ONE = {"vector": "", "source": "a", "created": ""}


@pytest.mark.parametrize(
    "wrong",
    [
        None,
        5,
        {},
        "ann",
        [5],
        ["ann"],
        [{"name": "eve"}],
        [{"templates": [ONE]}],
        [{"name": ["eve"], "templates": [ONE]}],
        [{"name": 5, "templates": [ONE]}],
        [{"name": "eve", "templates": []}],
        [{"name": "eve", "templates": 5}],
        [{"name": "eve", "templates": [5]}],
        [{"name": "eve", "templates": [{"source": "a"}]}],
        [{"name": "eve", "templates": [{**ONE, "vector": 5}]}],
        [{"name": "eve", "templates": [{**ONE, "vector": "AAA"}]}],
    ],
)
def test_an_export_of_another_form_is_refused_whatever_its_checksum(door: Path, people: Path, wrong: object) -> None:
    rewrite(people, people=wrong)
    with Gallery(door) as gallery, pytest.raises(GalleryError, match=r"people\.json: is not a whole gallery export"):
        import_gallery(gallery, people, add=True)


@pytest.mark.parametrize("key", ["model_sha256", "input", "embedding_size", "flip"])
def test_an_export_that_does_not_say_what_it_is_of_is_refused(door: Path, people: Path, key: str) -> None:
    rewrite(people, **{key: None})
    with Gallery(door) as gallery, pytest.raises(GalleryError, match=f"its {key} is not the gallery's"):
        import_gallery(gallery, people, add=True)


def test_a_gallery_is_not_replaced_by_its_export(door: Path, people: Path) -> None:
    content = door.read_bytes()
    assert "is the gallery itself" in run("export", door, door, "--force", code=2)
    assert door.read_bytes() == content
    run("export", door, people, "--force")


def test_an_import_that_fails_makes_no_gallery_and_no_key(people: Path, tiny_bundle: Path, tmp_path: Path) -> None:
    pytest.importorskip("cryptography")
    new, key = tmp_path / "new" / "door.gallery", tmp_path / "new.key"
    options = ("--bundle", tiny_bundle, "--key-file", key)
    assert "its flip" in run("import", new, people, *options, "--flip", code=2)
    people.write_text(people.read_text()[:-20])
    assert "not a whole" in run("import", new, people, *options, code=2)
    assert not key.exists()
    assert not new.parent.exists()


def test_a_gallery_that_another_made_during_the_import_stays_and_so_does_its_key(
    people: Path, opened: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("cryptography")
    new, key = tmp_path / "new.gallery", tmp_path / "new.key"
    place = gallery_transfer.place

    def late(name: str, path: Path) -> None:
        with create_gallery(new, opened, key=key) as gallery:
            gallery.enroll("eve", axis(opened, 3), ["e"])
        place(name, path)

    monkeypatch.setattr(gallery_transfer, "place", late)
    assert "exists already" in run("import", new, people, "--bundle", opened.path, "--key-file", key, code=2)
    with Gallery(new, key) as gallery:
        assert [person.name for person in gallery.people()] == ["eve"]


def test_a_new_gallery_whose_people_are_only_in_its_log_is_not_published(
    people: Path, tiny_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when the disk is full as soon as they are written."""
    before = sorted(tmp_path.iterdir())
    monkeypatch.setattr(GalleryFile, "forget", lambda file: False)
    assert "free some space" in run("import", tmp_path / "new.gallery", people, "--bundle", tiny_bundle, code=2)
    assert sorted(tmp_path.iterdir()) == before


def test_remove_says_what_a_reader_keeps_in_the_log(door: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gallery_file, "WAIT_SECONDS", 0.1)
    with Gallery(door) as reader, reader.file.reading():
        assert reader.count("ann") == 1
        warning, removed = run("remove", door, "ann").splitlines()
        assert f"{door}-wal holds ann while another process reads" in warning
        assert removed == "ann: removed"
    assert "warning" not in run("remove", door, "bob")
