"""`edgeface gallery index` and `measure`: searching very large galleries, and what a search costs."""

from __future__ import annotations

import os
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from edgeface.cli.common import Json, command, note, print_json
from edgeface.cli.device_options import DetectorModel, DetectorName, GalleryPath, KeyFile, Runtime
from edgeface.errors import UsageError


@command
def index_templates(
    gallery: GalleryPath,
    key_file: KeyFile = None,
    queries: Annotated[int, typer.Option(min=1, help="How many searches the recall is measured on.")] = 200,
    as_json: Json = False,
) -> None:
    """Build a `usearch` graph for `identify --index`, and say how often it finds what exact search finds.

    For galleries of more than 100,000 templates; under that exact search is fast. It must be built again whenever
    somebody is enrolled or removed. Measured on templates with a little noise.

    Examples:

        edgeface gallery index city.gallery --queries 500
    """
    import numpy as np

    from edgeface.approximate import WORTH_IT, build_index, check_open, measure_recall, save_index
    from edgeface.embedder import normalised
    from edgeface.gallery import Gallery

    with Gallery(gallery, key_file) as opened:
        check_open(opened)
        exact = opened.templates()
        if not len(exact):
            raise UsageError(f"{gallery}: is empty; there is nothing to index")
        if len(exact) <= WORTH_IT:
            count = f"{len(exact)} template{'s' * (len(exact) != 1)}"
            note(f"{gallery}: {count}; up to {WORTH_IT:,} exact search does as well, without an index")
        nearly = build_index(opened)
        path = save_index(opened, nearly)
        rng = np.random.default_rng(0)
        rows = exact.matrix[rng.integers(len(exact), size=queries)].astype(np.float32)
        noise = rng.standard_normal(rows.shape, np.float32) * np.float32(0.5 / rows.shape[1] ** 0.5)
        recall = measure_recall(exact, nearly, normalised(rows + noise))
    if as_json:
        print_json({"index": str(path), "templates": len(exact), "bytes": path.stat().st_size, **asdict(recall)})
        return
    typer.echo(
        f"{path}: finds exact search's nearest in {100 * recall.at_1:.1f} %, "
        f"of its {recall.k} nearest {100 * recall.at_k:.1f} %, "
        f"{recall.queries} searches, {recall.approximate_ms:.3f} ms against {recall.exact_ms:.3f} ms"
    )


@command
def measure(
    bundle: Annotated[Path, typer.Argument(help="The bundle.")],
    photo: Annotated[Path, typer.Argument(help="A photo of a face.")],
    templates: Annotated[int, typer.Option(min=1, help="Search among so many random templates.")] = 10_000,
    detector: DetectorName = "none",
    detector_model: DetectorModel = None,
    runs: Annotated[int, typer.Option(min=1, help="Repeat each step so many times.")] = 50,
    runtime: Runtime = None,
) -> None:
    """Where the time goes from a photo to a name on one thread, and what the search costs, as JSON (medians).

    `overhead` is (decode + crop + quantize + normalise) / invoke. Give a photo of the size that your camera gives.

    Examples:

        edgeface gallery measure bundles/door face-112.jpg

        edgeface gallery measure bundles/door photo.jpg --detector cascade --templates 1000000
    """
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # read when NumPy is first imported: now
    import cv2

    from edgeface.bench.face_path import measure_path, measure_search
    from edgeface.detector import open_detector
    from edgeface.embedder import Recognizer

    cv2.setNumThreads(1)
    recognizer = Recognizer(bundle, 1, runtime)
    path = measure_path(recognizer, photo, open_detector(detector, detector_model), runs)
    search = measure_search(templates, recognizer.bundle.embedding_size, runs)
    whole = path["photo_to_name_ms"] + search["search_ms"]
    print_json({"path": path, "search": search, "search_share": round(search["search_ms"] / whole, 4)})


def register(app: typer.Typer) -> None:
    """Add the commands to the group."""
    app.command("index")(index_templates)
    app.command()(measure)
