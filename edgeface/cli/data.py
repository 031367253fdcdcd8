"""`edgeface data`: check, split, synth and preview."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edgeface.cli.common import Json, Quiet, command, command_group, note, print_json, require_png

if TYPE_CHECKING:
    import numpy as np

    from edgeface.data.audit import Audit
    from edgeface.recipe import Augmentation

app = command_group(
    "Check, split, draw and look at face datasets.",
    "edgeface data check photos",
    "edgeface data split photos --out faces",
)

Folder = Annotated[Path, typer.Argument(help="The dataset's folder.", metavar="DIR")]
Strict = Annotated[bool, typer.Option("--strict", help="Refuse what is otherwise a warning, such as a bad photo.")]
Seed = Annotated[
    int, typer.Option(min=0, max=2**31 - 1, help="Start of the random numbers: the same seed gives the same result.")
]


@app.command()
@command
def check(folder: Folder, strict: Strict = False, as_json: Json = False, quiet: Quiet = False) -> None:
    """Report on a dataset: layout, identities, photos per identity and split, sizes, and everything that is wrong.

    Reads identity folders (`anna/1.jpg`, or the same inside `train/`, `val/`, `test/`), split lists (`train/`, `val/`,
    `train_id.txt`, `val_id.txt`) and CelebA's own files. Errors exit 2; warnings do too with `--strict`.

    Examples:

        edgeface data check photos

        edgeface data check photos --json > report.json
    """
    from edgeface.data.audit import audit_dataset

    with _progress("opening photos", quiet) as progress:
        audit = audit_dataset(folder, progress)
    if as_json:
        print_json(audit.to_dict())
    else:
        _print_audit(audit)
    if audit.errors or (strict and audit.problems):
        raise typer.Exit(2)


@app.command()
@command
def split(
    folder: Folder,
    out: Annotated[Path, typer.Option(help="The new dataset's folder.")],
    val: Annotated[float, typer.Option(help="Share of each person's photos for validation.")] = 0.1,
    test: Annotated[float, typer.Option(help="Share of each person's photos for the final test.")] = 0.0,
    seed: Seed = 0,
    resplit: Annotated[bool, typer.Option("--resplit", help="Pool an existing split's labelled photos anew.")] = False,
    link: Annotated[bool, typer.Option("--link", help="Hard links instead of copies, where the disk allows.")] = False,
    strict: Strict = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Split a dataset into train, val and test folders of a new dataset, near-duplicates kept on one side.

    Examples:

        edgeface data split photos --out faces

        edgeface data split photos --out faces --val 0.15 --test 0.15 --seed 1
    """
    from edgeface.data.layouts import scan_dataset
    from edgeface.data.splits import plan_split, require_new_folder, write_split
    from edgeface.errors import DataError, UsageError

    dataset, problems = scan_dataset(folder)
    if dataset.splits not in (("all",), ("test",)) and not resplit:
        raise UsageError(
            f"{folder}: has a split already ({', '.join(dataset.splits)}); use --resplit to make a new one"
        )
    for problem in problems:
        if problem.severity == "error" and problem.kind != "identities absent from train":
            raise DataError(problem.message)
    require_new_folder(dataset, out)
    with _progress("opening photos", quiet) as progress:
        plan = plan_split(dataset, val, test, seed, strict=strict, progress=progress)
    write_split(plan, out, link=link)
    counts = plan.counts()
    if plan.unreadable:
        note(f"warning: left out {len(plan.unreadable)} unusable photos; first: {plan.unreadable[0]}")
    if plan.without_val:
        note(
            f"warning: {len(plan.without_val)} of {len(dataset.identities)} identities have nothing in val (one photo, "
            f"or near-duplicates only); first: {plan.without_val[0]}"
        )
    if as_json:
        result = {"out": str(out), "images": counts, "near_duplicates_kept_together": plan.grouped, "seed": seed}
        print_json({**result, "without_val": plan.without_val, "unreadable": plan.unreadable})
        return
    shares = ", ".join(f"{name} {counts[name]}" for name in ("train", "val", "test") if name in counts)
    typer.echo(f"{out}: {shares} ({plan.grouped} near-duplicates kept together)")


@app.command()
@command
def synth(
    folder: Annotated[Path, typer.Argument(help="The new dataset's folder.", metavar="DIR")],
    identities: Annotated[int, typer.Option(min=1, help="How many people.")] = 24,
    images: Annotated[int, typer.Option(min=1, help="Photos of each person, train and val together.")] = 60,
    size: Annotated[int, typer.Option(min=32, max=1024, help="Side of the square photos, pixels.")] = 112,
    val: Annotated[float, typer.Option(min=0, max=0.9, help="Share of each person's photos for validation.")] = 0.2,
    seed: Seed = 0,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Draw a dataset of synthetic faces, split into train and val. They are nobody's photos.

    Examples:

        edgeface data synth faces --identities 24 --images 60

        edgeface data synth faces --identities 100 --images 40 --size 160 --seed 1
    """
    from edgeface.data.synthetic import draw_faces

    with _progress("drawing faces", quiet) as progress:
        draw_faces(folder, identities, images, seed, size, val, progress)
    if as_json:
        print_json({"folder": str(folder), "identities": identities, "images": identities * images, "seed": seed})
    else:
        typer.echo(f"{folder}: {identities * images} photos of {identities} people, {size}x{size} pixels")


@app.command()
@command
def preview(
    folder: Folder,
    out: Annotated[Path, typer.Option(help="The PNG to write.")] = Path("sheet.png"),
    augment: Annotated[str, typer.Option(help="none, basic, or seaweed (which includes basic).")] = "none",
    people: Annotated[int, typer.Option(min=1, help="How many people to show, a row each.")] = 8,
    columns: Annotated[int, typer.Option(min=1, help="How many photos of each.")] = 8,
    recipe: Annotated[str, typer.Option(help="Shipped recipe, or its file, whose size and strengths to show.")] = "cpu",
    size: Annotated[int | None, typer.Option(min=16, max=512, help="Pixels a side; by default the recipe's.")] = None,
    seed: Seed = 0,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Write a contact sheet of the photos as the network gets them: cropped, resized, augmented.

    Where a person has fewer photos than --columns, the row ends empty; with --augment they are drawn several times.

    Examples:

        edgeface data preview faces

        edgeface data preview faces --augment seaweed --out seaweed.png
    """
    from edgeface.data.contact_sheet import contact_sheet, pick_photos
    from edgeface.data.images import encode_image
    from edgeface.data.layouts import default_face_input, scan_dataset
    from edgeface.errors import UsageError
    from edgeface.files import atomic_path
    from edgeface.recipe import load_recipe
    from edgeface.train.recipes import recipe_path

    if augment not in ("none", "basic", "seaweed"):
        raise UsageError(f"--augment {augment}: choose none, basic or seaweed")
    require_png(out, "contact sheet")
    chosen = load_recipe(recipe_path(recipe)[0], "student")
    size = size or chosen.size
    dataset, _ = scan_dataset(folder)
    images = pick_photos(dataset, default_face_input(dataset, size), people, columns, seed, repeat=augment != "none")
    shown = int((images < 255).any(axis=(1, 2, 3)).sum())  # the others are the empty ends of rows
    if augment != "none":
        images = _augmented(images, chosen.augmentation, augment, seed)
    page = encode_image(contact_sheet(images, columns), ".png")
    with atomic_path(out) as temporary:
        temporary.write_bytes(page)
    if as_json:
        print_json({"out": str(out), "images": shown, "augment": augment, "size": size})
    elif not quiet:
        typer.echo(f"{out}: {shown} photos")


def _augmented(images: np.ndarray, strengths: Augmentation, kind: str, seed: int) -> np.ndarray:
    """uint8 (N, side, side, 3) after the augmentation that training uses."""
    import numpy as np

    from edgeface.train.augment import augment, draw

    seaweed = kind == "seaweed"
    table = draw(len(images), strengths, basic=True, seaweed=seaweed, generator=np.random.default_rng(seed))
    result = augment(images, table, basic=True, seaweed=seaweed)
    return np.clip(np.rint(result), 0, 255).astype(np.uint8)


@contextlib.contextmanager
def _progress(text: str, quiet: bool) -> Iterator[Callable[[int, int], None]]:
    """A function for `progress=`: shows a bar with the time left on a terminal."""
    from edgeface.train.progress import Bar

    with contextlib.ExitStack() as stack:
        bar: Bar | None = None

        def report(done: int, total: int) -> None:
            nonlocal bar
            if bar is None:
                bar = stack.enter_context(Bar(total, done=done - 1, quiet=quiet))
            bar.advance(text)

        yield report


def _print_audit(audit: Audit) -> None:
    typer.echo(f"{audit.root}: {audit.layout}, {audit.identities} identities\n")
    typer.echo(f"{'split':<8}{'images':>9}{'identities':>12}   images per identity (min / median / max)")
    for row in audit.splits:
        spread: Any = "-"
        if row.identities:
            low, high = row.images_per_identity_min, row.images_per_identity_max
            spread = f"{low} / {row.images_per_identity_median:g} / {high}"
        typer.echo(f"{row.split:<8}{row.images:>9,}{row.identities:>12,}   {spread}")
    sizes = [f"{size} ({count:,})" for size, count in audit.sizes.items()]
    more = f" and {len(sizes) - 5} more sizes" if len(sizes) > 5 else ""
    typer.echo(f"\nsizes            {', '.join(sizes[:5])}{more}")
    typer.echo(f"unusable         {len(audit.unreadable)}")
    typer.echo(f"exact copies     {audit.exact_duplicates}, pairs across splits: {len(audit.straddling_exact)}")
    typer.echo(f"near-duplicates  {audit.near_duplicates} pairs, across splits: {len(audit.straddling_near)}")
    for problem in audit.problems:
        typer.echo(f"{problem.severity}: {problem.message}")
    if not audit.problems:
        typer.echo("nothing wrong")


def register(parent: typer.Typer) -> None:
    """Add the group of commands."""
    parent.add_typer(app, name="data")
