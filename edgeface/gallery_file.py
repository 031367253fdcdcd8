"""The gallery's file: one SQLite database (WAL, mode 0600, deleted rows overwritten), every row under one checksum.

    meta        what the templates belong to: model SHA-256, input contract, embedding size, flip, the bundle's folder
    people      a name once
    templates   float16 vectors of length 1 (or sealed with a key), where they came from
    photos      the enrolment photos, only when they are kept

SQLite does not notice a flipped bit. So `meta` holds the sum (mod 2^128) of the BLAKE2 hashes of all rows: a change
of some rows changes it by their hashes, and reading everything checks it. A write is one transaction; what a call
has returned from survives a killed process and, by `synchronous = FULL`, a power cut.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import sqlite3
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

from edgeface.errors import GalleryError, StorageError
from edgeface.files import atomic_path, storage_errors

APPLICATION_ID = 0x45464731  # "EFG1"
WAIT_SECONDS = 5.0
"""How long a writer waits for another."""
LARGEST_CHECKED = 20_000
"""Up to so many templates the indexes are checked too, at each loading; the checksum covers the rows of any file."""
_SCHEMA = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE people (id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL UNIQUE);
CREATE TABLE templates (
  id INTEGER PRIMARY KEY AUTOINCREMENT, person INTEGER NOT NULL REFERENCES people(id), vector BLOB NOT NULL,
  source TEXT NOT NULL, created TEXT NOT NULL);
CREATE INDEX templates_by_person ON templates (person);
CREATE TABLE photos (
  template INTEGER PRIMARY KEY REFERENCES templates(id), sha256 TEXT NOT NULL, content BLOB NOT NULL);
"""
_ROWS = {
    "meta": "SELECT key, value FROM meta WHERE key <> 'checksum'",
    "people": "SELECT id, name FROM people",
    "templates": "SELECT id, person, vector, source, created FROM templates",
    "photos": "SELECT template, sha256 FROM photos",
}
"""What is hashed. A photo's content is checked by its own SHA-256 when it is read: a search need not read it."""
Row = tuple[Any, ...]


class GalleryFile:
    """An open gallery database. `connection` is in autocommit mode; change rows only inside `writing`."""

    def __init__(self, path: Path) -> None:
        if path.is_dir():
            raise GalleryError(f"{path}: is a folder; a gallery is a file, such as door.gallery")
        if not path.is_file():
            make = f"edgeface enroll {path} --bundle BUNDLE --name NAME PHOTO..."
            raise GalleryError(f"{path}: no such gallery; make one with: {make}")
        self.path = path
        with self.errors():
            unwritable = is_read_only(path)
            mode = "ro&immutable=1" if unwritable else "rw"
            place = f"file:{quote(os.fsencode(path.absolute()))}?mode={mode}"
            self.connection = sqlite3.connect(place, uri=True, timeout=WAIT_SECONDS, isolation_level=None)
            try:
                self._prepare(unwritable)
            except BaseException:
                self.connection.close()
                raise

    def _prepare(self, unwritable: bool) -> None:
        run = self.connection.execute
        run("PRAGMA trusted_schema = OFF")
        run("PRAGMA cell_size_check = ON")
        if run("PRAGMA application_id").fetchone() != (APPLICATION_ID,):
            raise GalleryError(f"{self.path}: is not an EdgeFace gallery; give the file that `edgeface enroll` made")
        if unwritable:
            return
        run("PRAGMA journal_mode = WAL")
        run("PRAGMA synchronous = FULL")
        run("PRAGMA secure_delete = ON")
        run("PRAGMA foreign_keys = ON")

    def close(self) -> None:
        """Close the database, with the write-ahead log folded back in unless another reads at this moment."""
        with contextlib.suppress(sqlite3.Error):
            self.connection.execute("PRAGMA busy_timeout = 0")
            self.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        self.connection.close()

    @contextlib.contextmanager
    def reading(self) -> Iterator[None]:
        """One unchanging view of the database, whatever is written meanwhile."""
        with self.errors():
            self.connection.execute("BEGIN")
            try:
                yield
            finally:
                self.connection.execute("ROLLBACK")

    @contextlib.contextmanager
    def writing(self) -> Iterator[Changes]:
        """One transaction: all of it, with the new checksum, or nothing. Waits for another writer."""
        with self.errors():
            self.connection.execute("BEGIN IMMEDIATE")
            try:
                changes = Changes(self.connection)
                yield changes
                changes.store_checksum()
                self.connection.execute("COMMIT")
            except BaseException:
                if self.connection.in_transaction:
                    self.connection.execute("ROLLBACK")
                raise

    @property
    def index_path(self) -> Path:
        """Where the graph of `edgeface gallery index` lies, a copy of the templates."""
        return self.path.with_name(self.path.name + ".usearch")

    def forget(self) -> bool:
        """Leave nothing of deleted or replaced rows: not in the write-ahead log, which is folded back in, and not in
        the index, which is overwritten and removed. Returns False when a reader held the log. Raises StorageError.
        """
        busy = 1
        with contextlib.suppress(sqlite3.Error):
            busy = self.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
        with storage_errors(self.index_path), contextlib.suppress(FileNotFoundError):
            with self.index_path.open("r+b") as file:
                file.write(bytes(os.fstat(file.fileno()).st_size))
                file.flush()
                os.fsync(file.fileno())
            self.index_path.unlink()
        return not busy

    def hashes(self, *tables: str) -> int:
        """The sum of the hashes of all rows of these tables. Use within `reading`."""
        return sum(row_hash(table, row) for table in tables for row in self.connection.execute(_ROWS[table]))

    def check_structure(self, rows: int) -> None:
        """Raise GalleryError unless SQLite finds its tables and indexes sound. Left out for very large files."""
        if rows <= LARGEST_CHECKED:
            result = self.connection.execute("PRAGMA integrity_check(1)").fetchone()
            if result != ("ok",):
                raise GalleryError(self.damaged())

    def state(self) -> str:
        """The checksum as it is stored: another for every other content."""
        with self.errors():
            row = self.connection.execute("SELECT value FROM meta WHERE key = 'checksum'").fetchone()
        return str(row[0]) if row else ""

    def compare(self, total: int) -> None:
        """Raise GalleryError unless the sum of all rows' hashes is the stored one. Use within `reading`."""
        stored = self.connection.execute("SELECT value FROM meta WHERE key = 'checksum'").fetchone()
        if stored is None or stored[0] != _hex(total):
            raise GalleryError(self.damaged())

    @contextlib.contextmanager
    def errors(self) -> Iterator[None]:
        """SQLite's errors as ours, in one line."""
        try:
            yield
        except sqlite3.ProgrammingError:  # used after `close`, or in another thread: nothing is wrong with the file
            raise
        except sqlite3.DatabaseError as error:
            text = str(error)
            if "locked" in text or "busy" in text:
                raise GalleryError(
                    f"{self.path}: in use by another process (waited {WAIT_SECONDS:.0f} s); try again when it is done"
                ) from None
            if any(word in text for word in ("readonly", "unable to open", "disk is full", "disk I/O")):
                raise StorageError(
                    f"{self.path}: {text}; free some space, or see that the file and its folder can be written"
                ) from None
            raise GalleryError(self.damaged()) from None
        except UnicodeDecodeError:  # SQLite's message quotes the damaged bytes, and its Python module cannot read it
            raise GalleryError(self.damaged()) from None

    def damaged(self) -> str:
        """The message for a file that is not as it was written."""
        return f"{self.path}: damaged or edited by hand; restore a copy, or enrol again"


class Changes:
    """The rows that one transaction adds and removes, and what that does to the checksum."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._sum = int(connection.execute("SELECT value FROM meta WHERE key = 'checksum'").fetchone()[0], 16)

    def insert(self, table: str, **values: Any) -> int:
        """Add a row; gives its id."""
        marks = ", ".join("?" * len(values))
        cursor = self._connection.execute(
            f"INSERT INTO {table} ({', '.join(values)}) VALUES ({marks})", tuple(values.values())
        )
        row = cursor.lastrowid or 0
        self._count(table, "rowid = ?", (row,), 1)
        return row

    def update(self, table: str, where: str, arguments: Row, **values: Any) -> None:
        """Change the rows that a condition on unchanged columns selects."""
        self._count(table, where, arguments, -1)
        sets = ", ".join(f"{key} = ?" for key in values)
        self._connection.execute(f"UPDATE {table} SET {sets} WHERE {where}", (*values.values(), *arguments))
        self._count(table, where, arguments, 1)

    def delete(self, table: str, where: str, arguments: Row) -> None:
        """Remove the rows that a condition selects."""
        self._count(table, where, arguments, -1)
        self._connection.execute(f"DELETE FROM {table} WHERE {where}", arguments)

    def store_checksum(self) -> None:
        """The new checksum, in the same transaction."""
        self._connection.execute("UPDATE meta SET value = ? WHERE key = 'checksum'", (_hex(self._sum),))

    def _count(self, table: str, where: str, arguments: Row, sign: int) -> None:
        joint = "AND" if " WHERE " in _ROWS[table] else "WHERE"
        for row in self._connection.execute(f"{_ROWS[table]} {joint} {where}", arguments):
            self._sum += sign * row_hash(table, row)


def is_read_only(path: Path) -> bool:
    """Whether the gallery can only be read as it lies there: SQLite may write neither to it nor a log beside it.

    With a log beside it somebody is writing, and the file alone is not the gallery.
    """
    writable = os.access(path, os.W_OK) and os.access(path.absolute().parent, os.W_OK)
    return not writable and not path.with_name(path.name + "-wal").exists()


def create_file(path: Path, meta: dict[str, str]) -> None:
    """Make an empty gallery at `path`, whole or not at all. Raises GalleryError when there is something already."""
    with storage_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=".edgeface-", dir=path.parent)  # mode 0600
        os.close(handle)
        try:
            _fill(Path(name), meta)
            place(name, path)
        finally:
            Path(name).unlink(missing_ok=True)


def place(name: str, path: Path) -> None:
    """Give a finished file its name. Raises GalleryError when there is a file of that name already."""
    taken = GalleryError(f"{path}: exists already; open it, or choose another name")
    try:
        os.link(name, path)
    except FileExistsError:
        raise taken from None
    except OSError:  # file systems of SD cards have no hard links
        if path.exists():
            raise taken from None
        os.rename(name, path)


def _fill(path: Path, meta: dict[str, str]) -> None:
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.executescript(f"BEGIN; {_SCHEMA} COMMIT;")
        connection.execute("BEGIN")
        connection.executemany("INSERT INTO meta VALUES (?, ?)", sorted(meta.items()))
        total = sum(row_hash("meta", row) for row in connection.execute(_ROWS["meta"]))
        connection.execute("INSERT INTO meta VALUES ('checksum', ?)", (_hex(total),))
        connection.execute("COMMIT")


def write_private(path: Path, content: bytes) -> None:
    """Write a file atomically that nobody else may read at any moment."""
    with atomic_path(path, 0o600) as temporary:
        temporary.write_bytes(content)


def row_hash(table: str, row: Row) -> int:
    """128 bits of a row's content, each field with its type and length."""
    parts = [table.encode()]
    for value in row:
        content = value if isinstance(value, bytes) else str(value).encode("utf-8", "surrogatepass")
        parts += (b"%s%d:" % (type(value).__name__.encode(), len(content)), content)
    return int.from_bytes(hashlib.blake2b(b"".join(parts), digest_size=16).digest(), "big")


def _hex(total: int) -> str:
    return f"{total % (1 << 128):032x}"
