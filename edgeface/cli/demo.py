"""`edgeface demo`: the whole road on synthetic faces."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from edgeface.cli.common import Json, Quiet, command, note, print_json
from edgeface.errors import UsageError

IDENTITIES, IMAGES = 22, 100


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command("demo")(demo)


@command
def demo(
    out: Annotated[Path, typer.Option(help="Folder for everything the demo makes.")] = Path("demo"),
    seed: Annotated[int, typer.Option(min=0, max=2**31 - 1, help="Seed of the faces and of training.")] = 0,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Draw synthetic faces, train a teacher and a student, quantize, bench, and recognise a photo with the TFLite file.

    Takes some minutes on 2 cores. Interrupted, it goes on where it stopped when it is run again.

    Examples:

        edgeface demo

        edgeface demo --out /tmp/demo --json
    """
    from edgeface.data.synthetic import draw_faces
    from edgeface.tensorflow_setup import quiet_tensorflow

    faces, bundles = out / "faces", [out / "student-float32", out / "student-int8"]
    note(f"1/5 drawing {IMAGES} photos of each of {IDENTITIES} synthetic people", quiet=quiet)
    _check_seed(out / "seed.txt", seed)
    if not faces.exists():
        draw_faces(faces, IDENTITIES, IMAGES, seed=seed)
    quiet_tensorflow()
    _train(out, "teacher", None, seed, quiet, "2/5 training the teacher (Inception-ResNet v1)")
    _train(out, "student", 1.0, seed, quiet, "3/5 training the student (1.0-SqueezeNext-23v5), taught by the teacher")
    note("4/5 quantizing the student and measuring both", quiet=quiet)
    _quantize(out / "student", bundles, faces)
    result = _bench(bundles, faces)
    photo = sorted((faces / "val").glob("*/*"))[0]
    note(f"5/5 recognising {photo} with the TFLite file", quiet=quiet)
    _report(out, bundles, result, photo, as_json)


def _check_seed(place: Path, seed: int) -> None:
    """Remember the seed of the faces; refuse a demo that was begun with another."""
    from edgeface.files import write_text

    known = place.read_text(encoding="utf-8").strip() if place.is_file() else str(seed)
    if known != str(seed):
        raise UsageError(f"{place.parent}: was begun with --seed {known}; give that, or another folder with --out")
    write_text(place, f"{seed}\n")


def _train(out: Path, name: str, width: float | None, seed: int, quiet: bool, title: str) -> None:
    from edgeface.recipe import load_recipe
    from edgeface.run import can_resume
    from edgeface.train.recipes import read_resumed, recipe_path
    from edgeface.train.session import Request, train

    note(title, quiet=quiet)
    run = out / name
    resume = can_resume(run)
    if resume:
        begun = _said(run)
        if begun.get("figures", {}).get("finished"):
            return
        recipe, _ = read_resumed(run, name, [])
    else:
        recipe = load_recipe(recipe_path("demo")[0], name)
    teacher = out / "teacher" if width else None
    request = Request(
        data=out / "faces", out=run, recipe=recipe, recipe_name="demo", width=width, teacher=teacher, seed=seed,
        resume=resume, quiet=quiet,
    )  # fmt: skip
    if train(request).stopped:
        note(f"stopped; go on with: edgeface demo --out {out}")
        raise typer.Exit(130)


def _said(run: Path) -> dict[str, Any]:
    """What `run.json` says of a run, nothing when it cannot be read: training tells what is wrong with it."""
    try:
        return dict(json.loads((run / "run.json").read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return {}


def _quantize(run: Path, bundles: list[Path], faces: Path) -> None:
    from edgeface.compress.quantize import Request, quantize

    about = "Synthetic faces only: a demonstration, of no use on people."
    for bundle in bundles:
        quantize(Request(run, bundle.name.rpartition("-")[2], data=faces, out=bundle, note=about, quiet=True))


def _bench(bundles: list[Path], faces: Path) -> dict:
    from edgeface.bench.runner import measure
    from edgeface.bench.settings import Settings

    return measure(bundles, Settings(data=faces))


def _report(out: Path, bundles: list[Path], result: dict, photo: Path, as_json: bool) -> None:
    from edgeface.bench import report
    from edgeface.embedder import Recognizer
    from edgeface.files import write_json
    from edgeface.run import open_run

    write_json(out / "bench.json", result)
    (prediction,) = Recognizer(bundles[-1]).predict(photo)
    figures = {name: open_run(out / name).figures["val_accuracy"] for name in ("teacher", "student")}
    if as_json:
        answer = {"photo": str(photo), "identity": prediction.identity, "confidence": prediction.confidence}
        print_json({"val_accuracy": figures, "bench": result, "prediction": answer})
        return
    sys.stdout.write(report.text(result))
    print(f"\nteacher {100 * figures['teacher']:.1f} %, student {100 * figures['student']:.1f} % on held-back faces")
    print(f"{photo}: {prediction.identity} ({100 * prediction.confidence:.0f} %)")
    print("\nmade:")
    for path in (out / "faces", out / "teacher", out / "student", *bundles, out / "bench.json"):
        print(f"  {path}")
