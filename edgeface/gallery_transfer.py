"""Taking people out of a gallery and into another, and making all templates again with another model."""

from __future__ import annotations

import base64
import hashlib
import json
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edgeface.bundle import Bundle
from edgeface.data.images import decode_image
from edgeface.errors import FaceError, GalleryError, StorageError
from edgeface.face_reader import FaceReader
from edgeface.files import storage_errors
from edgeface.gallery import Gallery, create_gallery
from edgeface.gallery_file import place, write_private
from edgeface.gallery_info import checked_name, contract, model_meta

FORMAT = "edgeface-gallery-export"
_LARGEST = 2 << 30
People = list[tuple[str, np.ndarray, list[str]]]
"""Name, vectors float32 (N, E) and where they came from, as `Gallery.enroll_all` takes them."""


@dataclass(frozen=True)
class Transfer:
    """How many people and templates went over, and how many templates their people had already."""

    people: int
    templates: int
    repeats: int = 0


def export_gallery(gallery: Gallery, path: str | Path) -> Transfer:
    """Write everyone's templates to a JSON file (mode 0600), not encrypted; kept photos stay behind.

    The file names the model that they belong to and carries a checksum of itself.
    """
    gallery.templates()  # checks the file
    people: dict[str, list[dict[str, str]]] = {}
    with gallery.file.reading():
        gallery.check_same()
        rows = gallery.file.connection.execute(
            "SELECT name, person, vector, source, created FROM templates JOIN people ON people.id = person "
            "ORDER BY name, templates.id"
        )
        for name, person, vector, source, created in rows:
            content = base64.b64encode(gallery.unseal(vector, f"template of {person}")).decode()
            people.setdefault(name, []).append({"vector": content, "source": source, "created": created})
    document: dict[str, Any] = {
        "format": FORMAT,
        "version": 1,
        **_origin(gallery),
        "people": [{"name": name, "templates": templates} for name, templates in people.items()],
    }
    document["checksum"] = _checksum(document)
    write_private(Path(path), json.dumps(document).encode() + b"\n")
    return Transfer(len(people), sum(map(len, people.values())))


def read_people(path: str | Path, bundle: Bundle, *, flip: bool = False) -> People:
    """Everyone of an exported file, for a new gallery of a bundle's model. Raises GalleryError as `import_gallery`."""
    origin = {
        "model_sha256": bundle.model_sha256,
        "input": contract(bundle),
        "embedding_size": bundle.embedding_size,
        "flip": flip,
    }
    return _read_people(Path(path), origin)


def import_new_gallery(
    path: Path, bundle: Bundle, people: People, *, flip: bool = False, key: str | Path | None = None
) -> Transfer:
    """A new gallery of the people of `read_people`, at `path` only when all are in it.

    Raises GalleryError, and leaves it alone, when there is a file of that name.
    """
    with storage_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".edgeface-", dir=path.parent) as folder:
            new = Path(folder) / path.name
            with create_gallery(new, bundle, flip=flip, key=key) as gallery:
                done = _enroll(gallery, people)
                if not gallery.file.forget():  # they are still in its log, which stays behind
                    raise StorageError(f"cannot write {path}: free some space or choose another folder")
            place(str(new), path)
    return done


def import_gallery(gallery: Gallery, path: str | Path, *, add: bool = False) -> Transfer:
    """Enrol everyone of an exported file, all or nobody. Raises GalleryError for another model or a damaged file.

    A name that is there already is refused, unless `add`.
    """
    return _enroll(gallery, _read_people(Path(path), _origin(gallery)), add=add)


def _enroll(gallery: Gallery, people: People, *, add: bool = False) -> Transfer:
    added = gallery.enroll_all(people, add=add)
    return Transfer(len(people), added, sum(len(vectors) for _, vectors, _ in people) - added)


def _origin(gallery: Gallery) -> dict[str, Any]:
    """What an exported file says of the model that its templates are of."""
    info = gallery.info
    return {
        "model_sha256": info.model_sha256,
        "input": info.face_input,
        "embedding_size": info.embedding_size,
        "flip": info.flip,
    }


def rebuild(gallery: Gallery, reader: FaceReader, progress: Callable[[int, int], None] | None = None) -> Transfer:
    """Make every template again from its kept photo with the reader's bundle, all at once or not at all.

    Raises GalleryError when a template has no photo, or its face is refused now.
    """
    rows = _kept_photos(gallery)
    vectors = []
    for number, (template, person, name, digest) in enumerate(rows):
        content = gallery.unseal(_kept_photo(gallery, template, digest), f"photo of {person}")
        photo = decode_image(content, f"{name}'s photo")
        try:
            vector = reader.vector(photo, f"{name}'s photo")
        except FaceError as error:
            raise GalleryError(
                f"{gallery.path}: {error}; rebuild with the --detector that they were enrolled with (none for photos "
                "already cropped), or a lower --quality"
            ) from None
        vectors.append((template, gallery.seal(vector.astype("<f2").tobytes(), f"template of {person}")))
        if progress is not None:
            progress(number + 1, len(rows))
    with gallery.file.writing() as changes:
        if {template for template, _ in vectors} != _template_ids(gallery):
            raise GalleryError(f"{gallery.path}: somebody was enrolled or removed meanwhile; rebuild again")
        for template, content in vectors:
            changes.update("templates", "id = ?", (template,), vector=content)
        reading = {"flip": str(int(reader.reading.flip)), "detector": reader.reading.detector}
        for key, value in {**model_meta(reader.bundle), **reading}.items():
            changes.update("meta", "key = ?", (key,), value=value)
    gallery.reload()
    gallery.file.forget()
    return Transfer(len({person for _, person, _, _ in rows}), len(vectors))


def _template_ids(gallery: Gallery) -> set[int]:
    """Never used twice, so that the same set is the same templates."""
    return {row[0] for row in gallery.file.connection.execute("SELECT id FROM templates")}


def _kept_photos(gallery: Gallery) -> list[tuple[int, int, str, str]]:
    """(template, person, name, SHA-256 of the photo) of every template: the photos themselves may not fit in memory."""
    gallery.templates()  # checks the file
    with gallery.file.reading():
        rows = gallery.file.connection.execute(
            "SELECT templates.id, person, name, sha256 FROM templates JOIN people ON people.id = person "
            "LEFT JOIN photos ON photos.template = templates.id ORDER BY templates.id"
        ).fetchall()
    without = sorted({name for _, _, name, digest in rows if digest is None})
    if without:
        raise GalleryError(
            f"{gallery.path}: no photos were kept of {', '.join(without[:3])}{' ...' if len(without) > 3 else ''}; "
            "enrol them again in a new gallery (with --keep-photos it could be rebuilt)"
        )
    return rows


def _kept_photo(gallery: Gallery, template: int, digest: str) -> bytes:
    """A photo as it is stored, sealed or not."""
    with gallery.file.reading():
        query = "SELECT content FROM photos WHERE template = ?"
        row = gallery.file.connection.execute(query, (template,)).fetchone()
    if row is None:
        raise GalleryError(f"{gallery.path}: somebody was removed meanwhile; rebuild again")
    if not isinstance(row[0], bytes) or hashlib.sha256(row[0]).hexdigest() != digest:
        raise GalleryError(gallery.file.damaged())
    return row[0]


def _read_people(path: Path, origin: dict[str, Any]) -> People:
    document = _read_export(path)
    for key, value in origin.items():
        if document.get(key) != value:
            raise GalleryError(f"{path}: its {key} is not the gallery's; export from a gallery of the same model")
    try:
        people = [_person(entry) for entry in document["people"]]
    except (KeyError, TypeError, ValueError, AttributeError):
        raise GalleryError(_damaged(path)) from None
    size = origin["embedding_size"]
    if any(vectors.shape[1] != size for _, vectors, _ in people):
        raise GalleryError(f"{path}: its vectors are not of {size} numbers; export it again")
    return people


def _damaged(path: Path) -> str:
    return f"{path}: is not a whole gallery export; export it again"


def _read_export(path: Path) -> dict[str, Any]:
    try:
        if path.stat().st_size > _LARGEST:
            raise GalleryError(f"{path}: over {_LARGEST >> 30} GB; export fewer people")
        document = json.loads(path.read_bytes())
    except OSError as error:
        raise GalleryError(f"{path}: cannot be read ({error.strerror}); name an exported file") from None
    except (ValueError, RecursionError):
        raise GalleryError(_damaged(path)) from None
    if not isinstance(document, dict) or document.get("format") != FORMAT or document.get("version") != 1:
        raise GalleryError(_damaged(path))
    if document.get("checksum") != _checksum(document) or not isinstance(document.get("people"), list):
        raise GalleryError(_damaged(path))
    return document


def _person(entry: dict[str, Any]) -> tuple[str, np.ndarray, list[str]]:
    vectors = np.stack([np.frombuffer(base64.b64decode(one["vector"]), "<f2") for one in entry["templates"]])
    sources = [str(one["source"]) for one in entry["templates"]]
    return checked_name(entry["name"]), vectors.astype(np.float32), sources


def _checksum(document: dict[str, Any]) -> str:
    rest = {key: value for key, value in document.items() if key != "checksum"}
    return hashlib.sha256(json.dumps(rest, sort_keys=True).encode()).hexdigest()
