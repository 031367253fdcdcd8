"""The gallery: the people a device knows, as templates of one model, searched by cosine similarity."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from edgeface.bundle import Bundle
from edgeface.errors import GalleryError
from edgeface.gallery_file import Changes, GalleryFile, create_file, row_hash
from edgeface.gallery_info import Info, checked_name, contract, new_meta, read_info
from edgeface.search import Templates
from edgeface.template_key import Key, gallery_key

if TYPE_CHECKING:
    from edgeface.approximate import ApproximateTemplates


@dataclass(frozen=True)
class Person:
    """Someone enrolled: how many templates, and how many of their photos are kept."""

    name: str
    templates: int
    photos: int


@dataclass(frozen=True)
class Match:
    """A person of the gallery and the cosine similarity, -1..1, of a face to them."""

    name: str
    similarity: float


class Gallery:
    """An open gallery. Any number of processes may read while one writes; use one object in each thread.

    `key` is the key file of an encrypted gallery. Raises GalleryError when the file is missing, damaged or of another
    version, or the key does not fit. Everything read is checked against the file's checksum.
    """

    def __init__(self, path: str | Path, key: str | Path | None = None) -> None:
        self.file = GalleryFile(Path(path))
        try:
            self.info, check = self._read_info()
            self._key = gallery_key(self.path, key, check)
        except BaseException:
            self.file.close()
            raise
        self._loaded: dict[bool, Templates] = {}
        self._loaded_version: tuple[int, int] | None = None

    @property
    def path(self) -> Path:
        """The file."""
        return self.file.path

    def close(self) -> None:
        """Close the file."""
        self.file.close()

    def __enter__(self) -> Gallery:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def accept(self, bundle: Bundle, flip: bool | None = None) -> None:
        """Raise GalleryError unless the templates come from this bundle's model, through the same input and flip."""
        same = self.info.model_sha256 == bundle.model_sha256 and self.info.face_input == contract(bundle)
        if not same:
            raise GalleryError(
                f"{self.path}: its templates are of another model ({self.info.model_sha256[:12]}) than "
                f"{bundle.path} ({bundle.model_sha256[:12]}); {self._way_out(bundle)}"
            )
        if flip is not None and flip != self.info.flip:
            raise GalleryError(f"{self.path}: its templates were made {'with' if self.info.flip else 'without'} --flip")

    def _way_out(self, bundle: Bundle) -> str:
        if self.info.keep_photos:
            command = f"edgeface gallery rebuild {self.path} --bundle {bundle.path}"
            return f"make them again from the kept photos with: {command}"
        return "no photos were kept, so enrol the people again in a new gallery"

    def people(self) -> list[Person]:
        """Everyone enrolled, by name."""
        with self.file.reading():
            self.file.compare(self.file.hashes("meta", "people", "templates", "photos"))
            rows = self.file.connection.execute(
                "SELECT name, COUNT(templates.id), COUNT(photos.template) FROM people "
                "LEFT JOIN templates ON templates.person = people.id "
                "LEFT JOIN photos ON photos.template = templates.id "
                "GROUP BY people.id ORDER BY name"
            )
            return [Person(*row) for row in rows]

    def enroll(
        self, name: str, vectors: np.ndarray, sources: Sequence[str], photos: Sequence[bytes] = (), *, add: bool = False
    ) -> int:
        """Add templates, unit vectors float32 (N, E), to a person; gives how many the person has now.

        Those that the person has already, exactly, are left out: the same photo twice adds nothing.
        `sources` names where each came from. `photos` are their files' contents, kept when the gallery keeps photos.
        Durable when this returns. Raises GalleryError when the name is there already, unless `add`.
        """
        with self.file.writing() as changes:
            self.check_same()
            self._enroll(changes, name, vectors, sources, photos, add)
            return self.count(name)

    def enroll_all(self, people: Sequence[tuple[str, np.ndarray, Sequence[str]]], *, add: bool = False) -> int:
        """Enrol many, name, vectors and sources each, in one transaction: all or nobody. Gives the templates added."""
        with self.file.writing() as changes:
            self.check_same()
            return sum(self._enroll(changes, name, vectors, sources, (), add) for name, vectors, sources in people)

    def count(self, name: str) -> int:
        """How many templates a person has; 0 for a stranger."""
        count = "SELECT COUNT(*) FROM templates JOIN people ON people.id = person WHERE name = ?"
        with self.file.errors():
            return self.file.connection.execute(count, (name,)).fetchone()[0]

    def _enroll(
        self,
        changes: Changes,
        name: str,
        vectors: np.ndarray,
        sources: Sequence[str],
        photos: Sequence[bytes],
        add: bool,
    ) -> int:
        self._check_templates(checked_name(name), vectors, sources)
        person = self._person(name)
        if person is not None and not add:
            raise GalleryError(f"{self.path}: {name} is enrolled already; add to them with --add, or use another name")
        if person is None:
            person = changes.insert("people", name=name)
        now = datetime.now(timezone.utc).isoformat(timespec="seconds")
        place, added = f"template of {person}", 0
        stored = self.file.connection.execute("SELECT vector FROM templates WHERE person = ?", (person,))
        known = {self.unseal(content, place) for (content,) in stored}
        for number, (vector, source) in enumerate(zip(vectors, sources, strict=True)):
            clean = source.encode("utf-8", "replace").decode()  # file names need not be text
            plain = vector.astype("<f2").tobytes()
            if plain in known:
                continue
            known.add(plain)
            added += 1
            content = self.seal(plain, place)
            template = changes.insert("templates", person=person, vector=content, source=clean, created=now)
            if self.info.keep_photos and photos:
                sealed = self.seal(photos[number], f"photo of {person}")
                changes.insert("photos", template=template, sha256=hashlib.sha256(sealed).hexdigest(), content=sealed)
        return added

    def remove(self, name: str) -> bool:
        """Forget a person: templates and photos are overwritten in the file, and the index, a copy of them, is removed.

        False: another process reads, so they stay in the -wal file until the next close. GalleryError for a stranger.
        """
        with self.file.writing() as changes:
            person = self._known(name)
            changes.delete("photos", "template IN (SELECT id FROM templates WHERE person = ?)", (person,))
            changes.delete("templates", "person = ?", (person,))
            changes.delete("people", "id = ?", (person,))
        return self.file.forget()

    def rename(self, name: str, new: str) -> None:
        """Give a person another name. Raises GalleryError for a stranger, or when the new name is taken."""
        with self.file.writing() as changes:
            person = self._known(name)
            if self._person(checked_name(new)) is not None:
                raise GalleryError(f"{self.path}: {new} is enrolled already; remove or rename them first")
            changes.update("people", "id = ?", (person,), name=new)

    def reload(self) -> None:
        """Read what the gallery says about itself again, after a rebuild."""
        self.info, _ = self._read_info()

    def check_same(self) -> None:
        """Raise GalleryError when the gallery was rebuilt for another model since `info` was read.

        Use within `file.reading` or `file.writing`, so that it holds for what is read or written there.
        """
        now, _ = self._stored_info()
        if any(getattr(now, key) != getattr(self.info, key) for key in ("model_sha256", "face_input", "flip")):
            raise GalleryError(f"{self.path}: was rebuilt for another model or flip meanwhile; open it again")

    def nearest(
        self, vectors: np.ndarray, k: int = 1, *, average: bool = False, index: ApproximateTemplates | None = None
    ) -> list[list[Match]]:
        """The `k` people nearest to each unit vector (N, E), nearest first; fewer in a smaller gallery.

        A person scores as the best of their templates, or with `average` by their mean. Sees what others have written.
        With an `index` (`edgeface.approximate.load_index`) the search is fast and nearly right. GalleryError when the
        gallery is damaged, was rebuilt for another model, or has changed since the index was loaded.
        """
        if index is not None and index.state != self.file.state():
            raise GalleryError(f"{self.path}: has changed since its index was made; load it again")
        ids, scores = (index or self.templates(average=average)).search(vectors, k)
        with self.file.errors():
            names = {int(person): self._name(int(person)) for person in np.unique(ids)}
        return [  # without those removed since, and the -1 of an index that found fewer people
            [Match(name, float(score)) for person, score in zip(*row, strict=True) if (name := names[int(person)])]
            for row in zip(ids, scores, strict=True)
        ]

    def templates(self, *, average: bool = False) -> Templates:
        """All templates, ready to search; read again when somebody has written. Raises GalleryError as `nearest`."""
        with self.file.reading():
            version = self.file.connection.execute("PRAGMA data_version").fetchone()[0]
            changes = self.file.connection.total_changes
            if self._loaded_version != (version, changes):
                self.check_same()
                self._loaded, self._loaded_version = {}, (version, changes)
            if average not in self._loaded:
                self._loaded[average] = Templates(*self._read_templates(), average=average)
        return self._loaded[average]

    def _read_templates(self) -> tuple[np.ndarray, np.ndarray]:
        """float16 (T, E) and the owners, int32 (T,), filled row by row so that nothing is in memory twice."""
        connection, size = self.file.connection, self.info.embedding_size
        count = connection.execute("SELECT COUNT(*) FROM templates").fetchone()[0]
        self.file.check_structure(count)
        matrix, owners = np.empty((count, size), np.float16), np.empty(count, np.int32)
        total = self.file.hashes("meta", "people", "photos")
        rows = connection.execute("SELECT id, person, vector, source, created FROM templates ORDER BY person, id")
        for number, row in enumerate(rows):
            total += row_hash("templates", row)
            content = self.unseal(row[2], f"template of {row[1]}")
            if len(content) != 2 * size or number >= count:
                raise GalleryError(self.file.damaged())
            matrix[number], owners[number] = np.frombuffer(content, "<f2"), row[1]
        self.file.compare(total)
        return matrix, owners

    def _read_info(self) -> tuple[Info, str]:
        with self.file.reading():
            return self._stored_info()

    def _stored_info(self) -> tuple[Info, str]:
        meta = dict(self.file.connection.execute("SELECT key, value FROM meta"))
        return read_info(meta, self.file), str(meta["key_check"])

    def seal(self, content: bytes, place: str) -> bytes:
        """What is stored for some content: itself, or sealed with the key."""
        return content if self._key is None else self._key.seal(content, place)

    def unseal(self, content: Any, place: str) -> bytes:
        """Inverse of `seal`. Raises GalleryError for anything else."""
        if not isinstance(content, bytes):
            raise GalleryError(self.file.damaged())
        try:
            return content if self._key is None else self._key.open(content, place)
        except GalleryError:  # the key fitted when the gallery was opened
            raise GalleryError(self.file.damaged()) from None

    def _check_templates(self, name: str, vectors: np.ndarray, sources: Sequence[str]) -> None:
        if vectors.ndim != 2 or vectors.shape[1] != self.info.embedding_size or len(sources) != len(vectors):
            raise ValueError(f"expected vectors (N, {self.info.embedding_size}) and N sources, got {vectors.shape}")
        lengths = np.linalg.norm(vectors, axis=1)
        if not len(vectors) or not np.all(np.abs(lengths - 1) < 1e-2):
            raise GalleryError(
                f"{name}: the model gives no usable vector for this face; check the bundle, or the photo"
            )

    def _person(self, name: str) -> int | None:
        row = self.file.connection.execute("SELECT id FROM people WHERE name = ?", (name,)).fetchone()
        return None if row is None else row[0]

    def _known(self, name: str) -> int:
        person = self._person(name)
        if person is None:
            raise GalleryError(f"{self.path}: nobody is called {name}; see: edgeface gallery list {self.path}")
        return person

    def _name(self, person: int) -> str | None:
        row = self.file.connection.execute("SELECT name FROM people WHERE id = ?", (person,)).fetchone()
        return row[0] if row is not None else None


def create_gallery(
    path: str | Path, bundle: Bundle, *, flip: bool = False, keep_photos: bool = False, key: str | Path | None = None,
    detector: str = "",
) -> Gallery:  # fmt: skip
    """Make an empty gallery for a bundle's model and open it. `key`: seal templates and photos with this key file.
    `detector`: the name of the one that its photos are read with. Raises GalleryError when there is a file already."""
    check = "" if key is None else Key(Path(key)).check_value()
    create_file(Path(path), new_meta(bundle, flip=flip, keep_photos=keep_photos, key_check=check, detector=detector))
    return Gallery(path, key)


__all__ = ["Gallery", "Info", "Match", "Person", "create_gallery"]
