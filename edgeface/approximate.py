"""Approximate search for very large galleries, by a `usearch` graph (HNSW, Malkov and Yashunin 2016) kept in a file.

Exact search is the default and needs nothing extra. The graph lies beside the gallery, belongs to one state of it
(by its checksum), and is worth its memory from about 100,000 templates on. Its recall is measured, not assumed.
"""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edgeface.errors import GalleryError, MissingDependencyError
from edgeface.gallery import Gallery
from edgeface.gallery_file import write_private
from edgeface.search import Templates

WORTH_IT = 100_000
"""Templates from which on a graph is faster than the exact product."""
_SPREAD = 8  # several templates a person: so many times k templates are looked at for k people
_SEARCHED = 256
"""Nodes of the graph that a search keeps in view. In 100,000 random templates the library's own 64 misses 2-4 % of the
nearest people, 256 none of 100; random vectors are the hardest case."""
_CHUNK = 10_000
_HEADER_BYTES = 32 + 64


@dataclass(frozen=True)
class Recall:
    """Of the exact nearest person, `at_1`, and the exact k nearest, `at_k`, how many the graph found, 0..1."""

    at_1: float
    at_k: float
    k: int
    queries: int
    exact_ms: float
    approximate_ms: float


class ApproximateTemplates:
    """Answers `search` as `Templates` does, nearly: the same arguments and results. `state` is the gallery's then."""

    def __init__(self, graph: Any, owners: np.ndarray, state: str) -> None:
        self.graph, self._owners, self.state = graph, owners, state
        self.graph.expansion_search = _SEARCHED
        self.people = np.unique(owners)

    def search(self, vectors: np.ndarray, k: int = 1) -> tuple[np.ndarray, np.ndarray]:
        """The k (nearly) nearest people of each unit vector: ids int32 (N, k) and cosines float32 (N, k).

        A row that found fewer people ends with ids -1 and cosines -2.
        """
        k = min(k, len(self.people))
        ids = np.full((len(vectors), k), -1, np.int32)
        scores = np.full((len(vectors), k), -2, np.float32)
        for number, vector in enumerate(np.asarray(vectors, np.float32)):
            found = self.graph.search(vector, min(_SPREAD * k, len(self._owners)))
            owners = self._owners[np.asarray(found.keys, np.int64)]
            _, first = np.unique(owners, return_index=True)
            first = np.sort(first)[:k]
            ids[number, : len(first)] = owners[first]
            scores[number, : len(first)] = np.clip(1 - np.asarray(found.distances)[first], -1, 1)
        return ids, scores


def build_index(gallery: Gallery) -> ApproximateTemplates:
    """A graph over all templates of a gallery as it is now."""
    state = gallery.file.state()  # read first: if somebody writes before the templates are read, it fits no more
    templates = gallery.templates()
    index = _usearch().Index(ndim=templates.matrix.shape[1], metric="ip", dtype="f16")
    # Several threads lose a few nodes of a small graph: of 600 templates, in 7 % of the builds. 0 is one for each core.
    threads = 1 if len(templates) <= _CHUNK else 0
    for start in range(0, len(templates), _CHUNK):
        rows = templates.matrix[start : start + _CHUNK]
        index.add(np.arange(start, start + len(rows)), np.ascontiguousarray(rows, np.float32), threads=threads)
    return ApproximateTemplates(index, templates.owners, state)


def measure_recall(exact: Templates, nearly: ApproximateTemplates, queries: np.ndarray, k: int = 5) -> Recall:
    """Compare both searches on unit vectors float32 (N, E), one by one."""
    k = min(k, len(exact.people))
    start = time.perf_counter()
    right = np.stack([exact.search(query[None], k)[0][0] for query in queries])
    middle = time.perf_counter()
    found = np.stack([nearly.search(query[None], k)[0][0] for query in queries])
    end = time.perf_counter()
    shared = sum(len(set(a.tolist()) & set(b.tolist())) for a, b in zip(right, found, strict=True))
    return Recall(
        at_1=float(np.mean(right[:, 0] == found[:, 0])),
        at_k=shared / right.size,
        k=k,
        queries=len(queries),
        exact_ms=1000 * (middle - start) / len(queries),
        approximate_ms=1000 * (end - middle) / len(queries),
    )


def check_open(gallery: Gallery) -> None:
    """Raise GalleryError for an encrypted gallery, whose templates would lie open in a graph."""
    if gallery.info.encrypted:
        raise GalleryError(f"{gallery.path}: is encrypted, an index would not be; search it exactly")


def save_index(gallery: Gallery, nearly: ApproximateTemplates) -> Path:
    """Write the graph beside its gallery, mode 0600, with the gallery's state and its own SHA-256 before it.

    Raises GalleryError for an encrypted gallery, and when the gallery has changed since the graph was built.
    """
    check_open(gallery)
    changed = GalleryError(f"{gallery.path}: has changed while its index was built; build it again")
    if nearly.state != gallery.file.state():
        raise changed
    graph = bytes(nearly.graph.save())
    write_private(gallery.file.index_path, _header(nearly.state, graph) + graph)
    if nearly.state != gallery.file.state():  # somebody removed since the first look would be in it
        gallery.file.forget()
        raise changed
    return gallery.file.index_path


def load_index(gallery: Gallery) -> ApproximateTemplates:
    """The graph of a gallery. Raises GalleryError when it is missing, damaged or of another state of the gallery."""
    path, again = gallery.file.index_path, f"make it with: edgeface gallery index {gallery.path}"
    try:
        content = path.read_bytes()
    except OSError:
        raise GalleryError(f"{path}: there is no index yet; {again}") from None
    header, graph = content[:_HEADER_BYTES], content[_HEADER_BYTES:]
    state = gallery.file.state()
    owners = gallery.templates().owners
    # The library would crash on a damaged file; owners of another state would give other people's names.
    if header != _header(state, graph) or state != gallery.file.state():
        raise GalleryError(f"{path}: is damaged, or the gallery has changed since; {again}")
    return ApproximateTemplates(_usearch().Index.restore(graph), owners, state)


def _header(state: str, graph: bytes) -> bytes:
    return (state + hashlib.sha256(graph).hexdigest()).encode()


def _usearch() -> Any:
    try:
        from usearch import index
    except ImportError:
        raise MissingDependencyError("an index needs usearch; install it with: pip install 'edgeface[index]'") from None
    return index
