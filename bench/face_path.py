"""Where the time goes from a photo to a name, and what a search costs in a large gallery."""

from __future__ import annotations

import resource
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from edgeface.data.images import decode_image, read_bytes
from edgeface.detector import Detector, align, find_faces
from edgeface.embedder import Recognizer, normalised
from edgeface.errors import FaceError
from edgeface.search import Templates

_CHUNK = 5_000


def measure_path(
    recognizer: Recognizer, photo: Path, detector: Detector | None = None, runs: int = 50
) -> dict[str, Any]:
    """Median milliseconds of each step for one photo, on one thread, and two shares.

    `overhead` is (decode + crop + quantize + normalise) / invoke. `photo_to_name` is all steps but the search.
    """
    content = read_bytes(photo)
    image = decode_image(content, photo)
    faces = find_faces(image, detector)
    if not faces:
        raise FaceError(f"{photo}: no face found; give a photo that shows a face from the front")
    face_input = recognizer.bundle.face_input
    prepared = align(image, faces[0], face_input)
    tensor = recognizer.model_input(prepared, "embed")
    output = recognizer.bundle.tensors["embed"].outputs[0]
    raw = recognizer.interpreter.run("embed", tensor)[output.name]
    steps: dict[str, Callable[[], Any]] = {
        "decode": lambda: decode_image(content, photo),
        "detect": lambda: find_faces(image, detector),
        "crop": lambda: align(image, faces[0], face_input),
        "quantize": lambda: recognizer.model_input(prepared, "embed"),
        "invoke": lambda: recognizer.interpreter.run("embed", tensor),
        "normalise": lambda: normalised(output.dequantize(raw)),
    }
    times = {name: _median_ms(step, runs) for name, step in steps.items()}
    overhead = sum(times[name] for name in ("decode", "crop", "quantize", "normalise"))
    return {
        "photo_pixels": list(image.shape[:2]),
        "input_pixels": face_input.size,
        "detector": "none" if detector is None else detector.name,
        "runtime": recognizer.runtime,
        "runs": runs,
        "ms": {name: round(value, 4) for name, value in times.items()},
        "overhead": round(overhead / times["invoke"], 4),
        "photo_to_name_ms": round(sum(times.values()), 4),
    }


def measure_search(templates: int, size: int, runs: int = 20, seed: int = 0) -> dict[str, Any]:
    """Median milliseconds of one exact search among random templates, and the bytes that they take in memory.

    `process_growth_bytes` is by how much the process's peak memory grew for all of it.
    """
    before = _peak_bytes()
    matrix, owners = random_templates(templates, size, seed)
    gallery = Templates(matrix, owners)
    query = normalised(np.random.default_rng(seed + 1).normal(size=(1, size)))
    search_ms = _median_ms(lambda: gallery.search(query, 5), runs)
    return {
        "templates": templates,
        "embedding_size": size,
        "dtype": gallery.matrix.dtype.name,
        "bytes": gallery.matrix.nbytes + owners.nbytes,
        "process_growth_bytes": _peak_bytes() - before,
        "search_ms": round(search_ms, 4),
        "runs": runs,
    }


def random_templates(count: int, size: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Random unit vectors, float16 (count, size), one a person, drawn so that little is in memory at once."""
    rng = np.random.default_rng(seed)
    matrix = np.empty((count, size), np.float16)
    for start in range(0, count, _CHUNK):
        rows = len(matrix[start : start + _CHUNK])
        matrix[start : start + rows] = normalised(rng.standard_normal((rows, size), np.float32))
    return matrix, np.arange(count, dtype=np.int32)


def _peak_bytes() -> int:
    """The most memory that this process has had so far (Linux counts in KiB, macOS in bytes)."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def _median_ms(step: Callable[[], Any], runs: int) -> float:
    step()
    times = []
    for _ in range(runs):
        start = time.perf_counter()
        step()
        times.append(time.perf_counter() - start)
    return 1000 * statistics.median(times)
