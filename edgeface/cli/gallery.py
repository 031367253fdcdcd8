"""`edgeface gallery`: look after the people a device knows."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from edgeface.cli.common import Json, Quiet, command, note, print_json
from edgeface.cli.device_options import (
    BundlePath,
    DetectorModel,
    DetectorName,
    GalleryPath,
    KeyFile,
    Quality,
    Runtime,
    Threads,
    open_reader,
)
from edgeface.errors import UsageError

app = typer.Typer(
    help="List, remove, rename, export, import and rebuild the people a device knows.", no_args_is_help=True
)
Add = Annotated[bool, typer.Option("--add", help="Add to people who are enrolled already.")]


@app.command("list")
@command
def list_people(gallery: GalleryPath, key_file: KeyFile = None, as_json: Json = False) -> None:
    """Everyone enrolled, with how many templates.

    Examples:

        edgeface gallery list door.gallery --json
    """
    from edgeface.gallery import Gallery

    with Gallery(gallery, key_file) as opened:
        people = opened.people()
    if as_json:
        print_json([asdict(person) for person in people])
        return
    for person in people:
        kept = f", {person.photos} photos kept" if person.photos else ""
        typer.echo(f"{person.name}  {person.templates} template{'s' * (person.templates != 1)}{kept}")
    if not people:
        note(f"{gallery} is empty; enrol somebody with: edgeface enroll {gallery} --name NAME PHOTO...")


@app.command()
@command
def info(gallery: GalleryPath, key_file: KeyFile = None, as_json: Json = False) -> None:
    """What a gallery holds and which model it belongs to.

    Examples:

        edgeface gallery info door.gallery
    """
    from edgeface.gallery import Gallery

    with Gallery(gallery, key_file) as opened:
        people = opened.people()
        document = {
            "gallery": str(gallery),
            "people": len(people),
            "templates": sum(person.templates for person in people),
            "photos": sum(person.photos for person in people),
            "bytes": gallery.stat().st_size,
            **asdict(opened.info),
        }
    if as_json:
        print_json(document)
        return
    for key, value in document.items():
        typer.echo(f"{key:<16}{value}")


@app.command()
@command
def remove(
    gallery: GalleryPath,
    names: Annotated[list[str], typer.Argument(help="Whom to forget.", metavar="NAME...")],
    key_file: KeyFile = None,
    quiet: Quiet = False,
) -> None:
    """Forget people. Their templates and photos are overwritten in the file.

    Examples:

        edgeface gallery remove door.gallery ann
    """
    from edgeface.gallery import Gallery

    with Gallery(gallery, key_file) as opened:
        for name in names:
            opened.remove(name)
            note(f"{name}: removed", quiet=quiet)


@app.command()
@command
def rename(
    gallery: GalleryPath,
    name: Annotated[str, typer.Argument(help="The name now.")],
    new: Annotated[str, typer.Argument(help="The name from now on.")],
    key_file: KeyFile = None,
    quiet: Quiet = False,
) -> None:
    """Give a person another name.

    Examples:

        edgeface gallery rename door.gallery ann "Ann Smith"
    """
    from edgeface.gallery import Gallery

    with Gallery(gallery, key_file) as opened:
        opened.rename(name, new)
    note(f"{name} is now {new}", quiet=quiet)


@app.command("export")
@command
def export_people(
    gallery: GalleryPath,
    file: Annotated[Path, typer.Argument(help="The JSON file to write.")],
    key_file: KeyFile = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the file if it is there.")] = False,
    quiet: Quiet = False,
) -> None:
    """Write everyone's templates to a file that `gallery import` reads, not encrypted. Kept photos stay behind.

    Examples:

        edgeface gallery export door.gallery people.json
    """
    from edgeface.gallery import Gallery
    from edgeface.gallery_transfer import export_gallery

    if file.exists() and not force:
        raise UsageError(f"{file} exists already; choose another name, or replace it with --force")
    with Gallery(gallery, key_file) as opened:
        done = export_gallery(opened, file)
        if opened.info.encrypted:
            note(f"warning: {file} is not encrypted")
    note(f"{done.people} people, {done.templates} templates written to {file}", quiet=quiet)


@app.command("import")
@command
def import_people(
    gallery: GalleryPath,
    file: Annotated[Path, typer.Argument(help="A file that `gallery export` wrote.")],
    bundle: Annotated[Path | None, typer.Option("--bundle", "-b", help="For a new gallery: the bundle.")] = None,
    key_file: KeyFile = None,
    add: Add = False,
    flip: Annotated[bool, typer.Option("--flip", help="New gallery: for templates made with --flip.")] = False,
    quiet: Quiet = False,
) -> None:
    """Enrol everyone of an exported file, all or nobody. Only templates of the same model go in.

    Examples:

        edgeface gallery import back-door.gallery people.json --bundle bundles/door
    """
    from edgeface.bundle import open_bundle
    from edgeface.gallery import Gallery, create_gallery
    from edgeface.gallery_transfer import import_gallery

    if not gallery.exists():
        if bundle is None:
            raise UsageError(f"{gallery}: is new; say which model with --bundle FOLDER")
        create_gallery(gallery, open_bundle(bundle), flip=flip, key=key_file).close()
    with Gallery(gallery, key_file) as opened:
        done = import_gallery(opened, file, add=add)
    note(f"{done.people} people, {done.templates} templates imported into {gallery}", quiet=quiet)


@app.command("rebuild")
@command
def rebuild_templates(
    gallery: GalleryPath,
    bundle: BundlePath = None,
    flip: Annotated[bool, typer.Option("--flip", help="Average each face with its mirror image from now on.")] = False,
    key_file: KeyFile = None,
    detector: DetectorName = "cascade",
    detector_model: DetectorModel = None,
    quality: Quality = "low",
    threads: Threads = 1,
    runtime: Runtime = None,
    quiet: Quiet = False,
) -> None:
    """Make all templates again from the kept photos, for another model. All at once: until then nothing changes.

    Examples:

        edgeface gallery rebuild door.gallery --bundle bundles/door-2
    """
    from edgeface.gallery import Gallery
    from edgeface.gallery_transfer import rebuild

    with Gallery(gallery, key_file) as opened:
        chosen = bundle if bundle is not None else Path(opened.info.bundle)
        reader = open_reader(chosen, detector, detector_model, quality, threads, runtime, flip)
        done = rebuild(opened, reader)
    note(f"{gallery}: {done.templates} templates of {done.people} people made again with {chosen}", quiet=quiet)


@app.command("index")
@command
def index_templates(
    gallery: GalleryPath,
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

    from edgeface.approximate import WORTH_IT, build_index, measure_recall, save_index
    from edgeface.embedder import normalised
    from edgeface.gallery import Gallery

    with Gallery(gallery) as opened:
        exact = opened.templates()
        if not len(exact):
            raise UsageError(f"{gallery}: is empty; there is nothing to index")
        if len(exact) <= WORTH_IT:
            note(f"{gallery}: {len(exact)} templates; up to {WORTH_IT} exact search is as good")
        nearly = build_index(exact)
        path = save_index(opened, nearly)
        rng = np.random.default_rng(0)
        rows = exact.matrix[rng.integers(len(exact), size=queries)].astype(np.float32)
        noise = rng.standard_normal(rows.shape, np.float32) * np.float32(0.5 / rows.shape[1] ** 0.5)
        recall = measure_recall(exact, nearly, normalised(rows + noise))
    if as_json:
        print_json({"index": str(path), "templates": len(exact), "bytes": path.stat().st_size, **asdict(recall)})
        return
    typer.echo(
        f"{path}: recall@1 {100 * recall.at_1:.1f} %, recall@{recall.k} {100 * recall.at_k:.1f} % of exact search, "
        f"{recall.queries} searches, {recall.approximate_ms:.3f} ms against {recall.exact_ms:.3f} ms"
    )


@app.command()
@command
def measure(
    bundle: Annotated[Path, typer.Argument(help="The bundle.")],
    photo: Annotated[Path, typer.Argument(help="A photo of a face.")],
    templates: Annotated[int, typer.Option(min=1, help="Search among so many random templates.")] = 10_000,
    detector: DetectorName = "none",
    runs: Annotated[int, typer.Option(min=1, help="Repeat each step so many times.")] = 50,
    runtime: Runtime = None,
) -> None:
    """Where the time goes from a photo to a name on one thread, and what the search costs, as JSON (medians).

    `overhead` is (decode + crop + quantize + normalise) / invoke. Give a photo of the size that your camera gives.

    Examples:

        edgeface gallery measure bundles/door face-112.jpg

        edgeface gallery measure bundles/door photo.jpg --detector cascade --templates 1000000
    """
    import cv2

    from edgeface.bench.face_path import measure_path, measure_search
    from edgeface.embedder import Recognizer

    cv2.setNumThreads(1)
    recognizer = Recognizer(bundle, 1, runtime)
    path = measure_path(recognizer, photo, detector, runs)
    search = measure_search(templates, recognizer.bundle.embedding_size, runs)
    whole = path["photo_to_name_ms"] + search["search_ms"]
    print_json({"path": path, "search": search, "search_share": round(search["search_ms"] / whole, 4)})


def register(parent: typer.Typer) -> None:
    """Add the group of commands."""
    parent.add_typer(app, name="gallery")
