"""`edgeface gallery`: look after the people a device knows."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from edgeface.cli import gallery_search
from edgeface.cli.common import Json, Quiet, command, command_group, note, print_json
from edgeface.cli.device_options import (
    BundlePath,
    DetectorModel,
    GalleryPath,
    KeyFile,
    NewKeyFile,
    Quality,
    Runtime,
    Threads,
    make_missing_key,
    note_repeats,
    open_reader,
)
from edgeface.errors import UsageError

app = command_group(
    "List, remove, rename, export, import and rebuild the people a device knows.",
    "edgeface gallery list door.gallery",
    "edgeface gallery rename door.gallery ann anna",
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
        kept = f", {person.photos} photo{'s' * (person.photos != 1)} kept" if person.photos else ""
        typer.echo(f"{person.name}  {_templates(person.templates)}{kept}")
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
        face_input = opened.info.face_input
    if as_json:
        print_json(document)
        return
    region = (
        "the whole photo" if face_input["crop"] is None else "rows {}-{}, columns {}-{}".format(*face_input["crop"])
    )
    document["face_input"] = f"{region} at {face_input['size']}x{face_input['size']} pixels"
    for key, value in document.items():
        shown = {True: "yes", False: "no"}[value] if isinstance(value, bool) else value
        typer.echo(f"{key.replace('_', ' '):<16}{shown}")


@app.command()
@command
def remove(
    gallery: GalleryPath,
    names: Annotated[list[str], typer.Argument(help="Whom to forget.", metavar="NAME...")],
    key_file: KeyFile = None,
    quiet: Quiet = False,
) -> None:
    """Forget people. Their templates and photos are overwritten in the file; an index, a copy of them, is removed.

    Examples:

        edgeface gallery remove door.gallery ann
    """
    from edgeface.gallery import Gallery

    with Gallery(gallery, key_file) as opened:
        for name in names:
            if not opened.remove(name):
                log = f"{gallery}-wal"
                note(f"warning: {log} holds {name} while another process reads, until the gallery is next closed")
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

    if file.exists() and gallery.exists() and file.samefile(gallery):
        raise UsageError(f"{file} is the gallery itself; choose another name")
    if file.exists() and not force:
        raise UsageError(f"{file} exists already; choose another name, or replace it with --force")
    with Gallery(gallery, key_file) as opened:
        done = export_gallery(opened, file)
        if opened.info.encrypted:
            note(f"warning: {file} is not encrypted")
    note(f"{_people(done.people)}, {_templates(done.templates)} written to {file}", quiet=quiet)


@app.command("import")
@command
def import_people(
    gallery: GalleryPath,
    file: Annotated[Path, typer.Argument(help="A file that `gallery export` wrote.")],
    bundle: Annotated[Path | None, typer.Option("--bundle", "-b", help="For a new gallery: the bundle.")] = None,
    key_file: NewKeyFile = None,
    add: Add = False,
    flip: Annotated[bool, typer.Option("--flip", help="New gallery: for templates made with --flip.")] = False,
    quiet: Quiet = False,
) -> None:
    """Enrol everyone of an exported file, all or nobody. Only templates of the same model go in, none of them twice.

    Examples:

        edgeface gallery import back-door.gallery people.json --bundle bundles/door
    """
    from edgeface.bundle import open_bundle
    from edgeface.gallery import Gallery
    from edgeface.gallery_transfer import import_gallery, import_new_gallery, read_people

    if gallery.exists():
        with Gallery(gallery, key_file) as opened:
            done = import_gallery(opened, file, add=add)
    else:
        if bundle is None:
            raise UsageError(f"{gallery}: is new; say which model with --bundle FOLDER")
        opened_bundle = open_bundle(bundle)
        people = read_people(file, opened_bundle, flip=flip)  # before there is a key, which others may use at once
        make_missing_key(key_file)
        done = import_new_gallery(gallery, opened_bundle, people, flip=flip, key=key_file)
    note_repeats(done.repeats, quiet)
    note(f"{_people(done.people)}, {_templates(done.templates)} imported into {gallery}", quiet=quiet)


@app.command("rebuild")
@command
def rebuild_templates(
    gallery: GalleryPath,
    bundle: BundlePath = None,
    flip: Annotated[
        bool | None, typer.Option("--flip/--no-flip", help="Average each face with its mirror image; else as before.")
    ] = None,
    key_file: KeyFile = None,
    detector: Annotated[
        str | None, typer.Option("--detector", help="cascade, yunet or none; by default as the photos were enrolled.")
    ] = None,
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
        flip = opened.info.flip if flip is None else flip
        detector = detector or opened.info.detector
        if not detector:
            raise UsageError(
                f"{gallery}: does not say how its photos were read; give --detector cascade, yunet or none"
            )
        reader = open_reader(chosen, detector, detector_model, quality, threads, runtime, flip)
        done = rebuild(opened, reader)
    note(f"{gallery}: {_templates(done.templates)} of {_people(done.people)} made again with {chosen}", quiet=quiet)


def _people(count: int) -> str:
    return "1 person" if count == 1 else f"{count} people"


def _templates(count: int) -> str:
    return "1 template" if count == 1 else f"{count} templates"


def register(parent: typer.Typer) -> None:
    """Add the group of commands."""
    gallery_search.register(app)
    parent.add_typer(app, name="gallery")
