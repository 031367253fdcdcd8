"""The gallery: what is stored comes back, what is damaged or foreign is refused, what is removed is gone."""

from __future__ import annotations

import sqlite3
import stat
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from kill_gallery import kill_rounds

from edgeface.bundle import Bundle
from edgeface.embedder import normalised
from edgeface.errors import GalleryError, UsageError
from edgeface.face_input import FaceInput
from edgeface.gallery import Gallery, create_gallery
from edgeface.gallery_transfer import export_gallery, import_gallery
from edgeface.search import WIDE, Templates, widened
from edgeface.template_key import make_key


def units(count: int, size: int, seed: int = 0) -> np.ndarray:
    return normalised(np.random.default_rng(seed).normal(size=(count, size)))


def axes(bundle: Bundle, *numbers: int) -> np.ndarray:
    return np.eye(bundle.embedding_size, dtype=np.float32)[list(numbers)]


def test_people_come_back_and_the_nearest_is_found(path: Path, opened: Bundle) -> None:
    with create_gallery(path, opened) as gallery:
        assert gallery.nearest(axes(opened, 0)) == [[]]
        assert gallery.enroll("ann", axes(opened, 0, 1), ["a.jpg", "b.jpg"]) == 2
        gallery.enroll("bob", axes(opened, 2), ["c.jpg"])
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with Gallery(path) as gallery:
        assert [(p.name, p.templates, p.photos) for p in gallery.people()] == [("ann", 2, 0), ("bob", 1, 0)]
        face = normalised(axes(opened, 1) + 0.5 * axes(opened, 2))
        (row,) = gallery.nearest(face, 5)
        assert [match.name for match in row] == ["ann", "bob"]
        # float16 templates: the axis vectors are exact, so cosines are 1/sqrt(1.25) and half that.
        assert [match.similarity for match in row] == pytest.approx([0.894427, 0.447214], abs=1e-6)
        (row,) = gallery.nearest(face, 2, average=True)  # ann's mean is (1, 1, 0)/sqrt(2)
        assert [match.similarity for match in row] == pytest.approx([0.632456, 0.447214], abs=1e-3)


def test_a_reader_sees_what_another_connection_writes(path: Path, opened: Bundle) -> None:
    with create_gallery(path, opened) as reader, Gallery(path) as writer:
        writer.enroll("ann", axes(opened, 0), ["a"])
        assert reader.nearest(axes(opened, 0))[0][0].name == "ann"
        writer.remove("ann")
        assert reader.nearest(axes(opened, 0)) == [[]]
        reader.enroll("bob", axes(opened, 0), ["b"])
        assert reader.nearest(axes(opened, 0))[0][0].name == "bob"


def test_names(path: Path, opened: Bundle) -> None:
    with create_gallery(path, opened) as gallery:
        gallery.enroll("ann", axes(opened, 0), ["a"])
        with pytest.raises(GalleryError, match="--add"):
            gallery.enroll("ann", axes(opened, 1), ["b"])
        assert gallery.enroll("ann", axes(opened, 1), ["b"], add=True) == 2
        gallery.enroll("bob", axes(opened, 2), ["c"])
        with pytest.raises(GalleryError, match="enrolled already"):
            gallery.rename("ann", "bob")
        gallery.rename("ann", "Ann Smith")
        for wrong in ("", " ann", "a\nb", "a" * 201, "\udc80", "Unknown"):
            with pytest.raises(UsageError):
                gallery.enroll(wrong, axes(opened, 0), ["a"])
        with pytest.raises(GalleryError, match="nobody"):
            gallery.remove("ann")
        assert [person.name for person in gallery.people()] == ["Ann Smith", "bob"]
        gallery.enroll("odd file name", axes(opened, 3), ["\udc80.jpg"])
        with pytest.raises(GalleryError, match="no usable vector"):
            gallery.enroll("zero", 0 * axes(opened, 3), ["a"])


def test_what_is_removed_is_not_in_the_file_any_more(path: Path, opened: Bundle) -> None:
    vector = units(1, opened.embedding_size)
    photo = bytes(range(1, 200)) * 50
    with create_gallery(path, opened, keep_photos=True) as gallery:
        gallery.enroll("bob", axes(opened, 0), ["b"], [b"other photo"])
        gallery.enroll("ann", vector, ["a"], [photo])
        gallery.file.forget()
        needles = (vector.astype("<f2").tobytes(), photo[:64], b"ann")
        assert all(needle in path.read_bytes() for needle in needles)
        gallery.remove("ann")
        for file in path.parent.iterdir():
            assert not any(needle in file.read_bytes() for needle in needles)
        assert [person.name for person in gallery.people()] == ["bob"]


def test_another_model_or_input_is_refused_with_the_way_out(path: Path, opened: Bundle, tmp_path: Path) -> None:
    other = replace(opened, files={**opened.files, "model.tflite": {"size": 1, "sha256": "f" * 64}})
    with create_gallery(path, opened) as gallery:
        gallery.accept(opened)
        with pytest.raises(GalleryError, match="enrol the people again"):
            gallery.accept(other)
        with pytest.raises(GalleryError, match="another model"):
            gallery.accept(replace(opened, face_input=FaceInput(opened.face_input.size, value_range=(0.0, 1.0))))
    with (
        create_gallery(tmp_path / "kept.gallery", opened, keep_photos=True) as kept,
        pytest.raises(GalleryError, match="gallery rebuild"),
    ):
        kept.accept(other)


def test_damage_that_sqlite_cannot_say_in_utf8_is_refused_like_any_other(path: Path, opened: Bundle) -> None:
    create_gallery(path, opened).close()
    content = path.read_bytes()
    schema = content.index(b"tablepeoplepeople")
    path.write_bytes(content[: schema + 6] + b"\xe5" + content[schema + 7 :])
    with pytest.raises(GalleryError, match="damaged"):
        Gallery(path)


def test_damage_is_found(path: Path, opened: Bundle) -> None:
    """Whatever byte is changed: refused, or the change lies where nothing is stored and everything is as it was."""
    vectors = units(40, opened.embedding_size)
    with create_gallery(path, opened) as gallery:
        gallery.enroll_all([(f"person {number}", vectors[number : number + 1], ["x.jpg"]) for number in range(40)])
        right = gallery.nearest(vectors, 2)
    content = path.read_bytes()
    rng, refused = np.random.default_rng(5), 0
    for number in range(60):
        damaged = bytearray(content)
        if number % 5 == 0:
            del damaged[int(rng.integers(len(damaged))) :]
        else:
            damaged[rng.integers(len(damaged))] ^= 1 << int(rng.integers(8))
        copy = path.with_name("copy.gallery")
        copy.write_bytes(damaged)
        try:
            with Gallery(copy) as gallery:
                assert gallery.nearest(vectors, 2) == right
                assert len(gallery.people()) == 40
        except GalleryError:
            refused += 1
        for file in path.parent.glob("copy.gallery*"):
            file.unlink()
    assert refused > 20


def test_no_gallery_at_all(path: Path, opened: Bundle, tmp_path: Path) -> None:
    with pytest.raises(GalleryError, match="no such gallery"):
        Gallery(path)
    path.write_bytes(b"something else, long enough to be looked at" * 50)
    with pytest.raises(GalleryError):
        Gallery(path)
    with pytest.raises(GalleryError, match="exists already"):
        create_gallery(path, opened)
    sqlite3.connect(tmp_path / "other.db").execute("CREATE TABLE a (b)").connection.close()
    with pytest.raises(GalleryError, match="not an EdgeFace gallery"):
        Gallery(tmp_path / "other.db")
    assert sorted(file.name for file in tmp_path.iterdir()) == ["door.gallery", "other.db"]


def test_a_locked_gallery_is_named(path: Path, opened: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edgeface.gallery_file.WAIT_SECONDS", 0.1)
    with create_gallery(path, opened) as gallery, Gallery(path) as other, gallery.file.writing():
        assert other.people() == []  # readers are not held up
        with pytest.raises(GalleryError, match="in use by another process"):
            other.enroll("ann", axes(opened, 0), ["a"])


def test_an_encrypted_gallery_needs_its_key(path: Path, opened: Bundle, tmp_path: Path) -> None:
    pytest.importorskip("cryptography")
    key, wrong = tmp_path / "door.key", tmp_path / "wrong.key"
    make_key(key)
    make_key(wrong)
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    vector = units(1, opened.embedding_size)
    with create_gallery(path, opened, key=key, keep_photos=True) as gallery:
        gallery.enroll("ann", vector, ["a"], [b"the photo" * 20])
        assert gallery.nearest(vector)[0][0].similarity == pytest.approx(1, abs=1e-3)
        gallery.file.forget()
    assert vector.astype("<f2").tobytes() not in path.read_bytes()
    assert b"the photo" not in path.read_bytes()
    for given, message in ((None, "is encrypted"), (wrong, "not its key"), (tmp_path / "none", "cannot be read")):
        with pytest.raises((GalleryError, UsageError), match=message):
            Gallery(path, given)
    with Gallery(path, key) as gallery:
        assert gallery.nearest(vector)[0][0].name == "ann"
    with closing(sqlite3.connect(path)) as file:
        (sealed,) = file.execute("SELECT vector FROM templates").fetchone()
        file.execute("UPDATE templates SET vector = ?", (sealed[:-1] + bytes([sealed[-1] ^ 1]),))
        file.commit()
    # The key is the right one: it is the file that must be copied again.
    with Gallery(path, key) as gallery, pytest.raises(GalleryError, match="damaged or edited"):
        gallery.templates()


def test_export_and_import(path: Path, opened: Bundle, tmp_path: Path) -> None:
    file = tmp_path / "people.json"
    with create_gallery(path, opened) as gallery, create_gallery(tmp_path / "other.gallery", opened) as other:
        gallery.enroll("ann", units(2, opened.embedding_size), ["a", "b"])
        gallery.enroll("bob", axes(opened, 0), ["c"])
        export_gallery(gallery, file)
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        import_gallery(other, file)
        assert other.nearest(axes(opened, 0), 2) == gallery.nearest(axes(opened, 0), 2)
        with pytest.raises(GalleryError, match="--add"):
            import_gallery(other, file)
        import_gallery(other, file, add=True)
        assert [person.templates for person in other.people()] == [2, 1]  # each is there already
        file.write_text(file.read_text().replace("ann", "eve"))
        with pytest.raises(GalleryError, match="not a whole gallery export"):
            import_gallery(other, file)
    with create_gallery(tmp_path / "flip.gallery", opened, flip=True) as flipped, Gallery(path) as gallery:
        export_gallery(gallery, file)
        with pytest.raises(GalleryError, match="its flip is not the gallery's"):
            import_gallery(flipped, file)


@pytest.mark.parametrize("count", [500, WIDE + 1])
def test_search_is_exact(count: int) -> None:
    """Float32 and blocked float16: the same as comparing with every template in float64."""
    matrix = units(count, 16).astype(np.float16)
    owners = np.sort(np.random.default_rng(1).integers(0, count // 3, count)).astype(np.int32)
    queries = units(3, 16, seed=9)
    ids, scores = Templates(matrix, owners).search(queries, 4)
    everything = queries.astype(np.float64) @ matrix.T.astype(np.float64)
    for row, people, found in zip(everything, ids, scores, strict=True):
        best = {int(owner): float(row[owners == owner].max()) for owner in np.unique(owners[np.argsort(-row)[:40]])}
        expected = sorted(best.items(), key=lambda item: -item[1])[:4]
        assert [int(person) for person in people] == [owner for owner, _ in expected]
        assert found == pytest.approx([score for _, score in expected], abs=1e-5)


def test_equally_near_people_come_by_id_whatever_k() -> None:
    """Four equal people of nine, by the lowest ids, in each of two rows."""
    near, far = np.eye(2, 8, dtype=np.float16)
    templates = Templates(
        np.stack([far, near, near, far, near, far, near, far, far]), np.arange(10, 19, dtype=np.int32)
    )
    queries = np.stack([near, near]).astype(np.float32)
    order = [11, 12, 14, 16, 10, 13, 15, 17, 18]
    for k in range(1, 10):
        assert templates.search(queries, k)[0].tolist() == [order[:k]] * 2


def test_every_float16_is_widened_exactly() -> None:
    numbers = np.arange(1 << 16, dtype=np.uint16).view(np.float16).reshape(-1, 16)
    assert np.array_equal(widened(numbers), numbers.astype(np.float32), equal_nan=True)


def test_one_template_a_person_is_searched_without_copies() -> None:
    """What a million templates may take: the float16 rows, the owners, and little beside them."""
    matrix, owners = units(WIDE + 1, 16).astype(np.float16), np.arange(WIDE + 1, dtype=np.int32)
    gallery = Templates(matrix, owners)
    assert gallery.matrix is matrix
    assert gallery.people is owners
    (scores,) = gallery.search(matrix[:1].astype(np.float32) * np.float32(1.01))[1]
    assert scores[0] == 1  # a cosine is never over 1, whatever the rounding


def test_killed_while_writing_nothing_acknowledged_is_lost(opened: Bundle) -> None:
    counts = kill_rounds(opened, rounds=8, seed=3)
    assert counts["acknowledged"] > 0
    assert counts["unreadable"] == counts["lost"] == 0
