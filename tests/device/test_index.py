"""The graph for very large galleries: what it finds, and that it never speaks for another state of the gallery."""

from __future__ import annotations

import stat
from pathlib import Path

import numpy as np
import pytest

from edgeface import approximate
from edgeface.approximate import build_index, load_index, measure_recall, save_index
from edgeface.bundle import Bundle
from edgeface.embedder import normalised
from edgeface.errors import GalleryError
from edgeface.gallery import Gallery, create_gallery


def units(count: int, size: int) -> np.ndarray:
    return normalised(np.random.default_rng(0).normal(size=(count, size)))


def test_an_index_finds_nearly_what_exact_search_finds(path: Path, opened: Bundle) -> None:
    pytest.importorskip("usearch")
    vectors = units(600, opened.embedding_size)
    with create_gallery(path, opened) as gallery:
        gallery.enroll_all([(f"p{n}", vectors[2 * n : 2 * n + 2], ["a", "b"]) for n in range(300)])
        with pytest.raises(GalleryError, match="no index yet"):
            load_index(gallery)
        nearly = build_index(gallery)
        recall = measure_recall(gallery.templates(), nearly, vectors[:50], k=3)
        assert recall.at_1 == 1
        assert recall.at_k > 0.9
        file = save_index(gallery, nearly)
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert [row[0].name for row in gallery.nearest(vectors[4:6], index=load_index(gallery))] == ["p2", "p2"]
        damaged = bytearray(file.read_bytes())
        damaged[2000] ^= 1
        file.write_bytes(damaged)
        with pytest.raises(GalleryError, match="damaged"):
            load_index(gallery)
        save_index(gallery, nearly)
        loaded = load_index(gallery)
        gallery.rename("p0", "ann")
        with pytest.raises(GalleryError, match="has changed"):
            load_index(gallery)
        with pytest.raises(GalleryError, match="has changed"):
            gallery.nearest(vectors[:1], index=loaded)
        with pytest.raises(GalleryError, match="has changed while"):
            save_index(gallery, nearly)
        save_index(gallery, build_index(gallery))
        gallery.remove("ann")
        with pytest.raises(GalleryError, match="no index yet"):
            load_index(gallery)


def test_an_index_gives_nobody_rather_than_padding(path: Path, opened: Bundle) -> None:
    """A person with so many templates, of length over 1, that a search of the graph meets nobody else."""
    pytest.importorskip("usearch")
    vectors = units(40, opened.embedding_size)
    vectors[:, 0] = 100  # nearly the same
    with create_gallery(path, opened) as gallery:
        gallery.enroll("ann", normalised(vectors) * np.float32(1.005), ["a"] * 40)
        gallery.enroll("bob", units(1, opened.embedding_size), ["b"])
        (row,) = gallery.nearest(normalised(vectors[:1]), 2, index=build_index(gallery))
        assert [match.name for match in row] == ["ann"]
        assert 0.99 < row[0].similarity <= 1


def test_somebody_removed_between_two_steps_is_in_no_index(
    path: Path, opened: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before the templates are read, to build or to load, and after `save_index` has looked at the state."""
    pytest.importorskip("usearch")
    vectors = units(8, opened.embedding_size)
    with create_gallery(path, opened) as gallery:
        gallery.enroll_all([(f"p{n}", vectors[n : n + 1], ["a"]) for n in range(8)])

        def removed_before(owner: object, function: str, name: str, *, index: bytes = b"") -> None:
            """Have another process remove somebody just before the next call, and leave `index` where it was."""
            original = getattr(owner, function)

            def late(*arguments: object) -> object:
                monkeypatch.setattr(owner, function, original)
                with Gallery(path) as other:
                    other.remove(name)
                if index:
                    gallery.file.index_path.write_bytes(index)
                return original(*arguments)

            monkeypatch.setattr(owner, function, late)

        removed_before(gallery, "templates", "p0")
        nearly = build_index(gallery)
        with pytest.raises(GalleryError, match="has changed while"):
            save_index(gallery, nearly)
        nearly = build_index(gallery)
        removed_before(approximate, "write_private", "p1")
        with pytest.raises(GalleryError, match="has changed while"):
            save_index(gallery, nearly)
        assert not gallery.file.index_path.exists()
        content = save_index(gallery, build_index(gallery)).read_bytes()
        removed_before(gallery, "templates", "p2", index=content)
        with pytest.raises(GalleryError, match="has changed since"):
            load_index(gallery)


def test_a_small_graph_misses_nobody_however_often_it_is_built(path: Path, opened: Bundle) -> None:
    pytest.importorskip("usearch")
    vectors = units(600, opened.embedding_size)
    with create_gallery(path, opened) as gallery:
        gallery.enroll_all([(f"p{n}", vectors[2 * n : 2 * n + 2], ["a", "b"]) for n in range(300)])
        first = build_index(gallery).search(vectors[:50], 3)
        for _ in range(60):  # several threads miss somebody in 7 % of them
            assert np.array_equal(build_index(gallery).search(vectors[:50], 3), first)
