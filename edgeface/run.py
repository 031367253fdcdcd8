"""A training run on disk: what is in `runs/<name>/`, and opening it with checks. Needs no TensorFlow."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgeface.errors import BundleError, RunError
from edgeface.face_input import FaceInput
from edgeface.files import sha256, text_sha256

FORMAT = 1


@dataclass(frozen=True)
class Run:
    """An opened run. `build` holds the arguments that rebuild the network; `figures` its measured results."""

    path: Path
    network: str
    build: dict[str, Any]
    face_input: FaceInput
    identities: tuple[str, ...]
    dataset: dict[str, Any]
    figures: dict[str, Any]
    info: dict[str, Any]

    @property
    def weights(self) -> Path:
        """The best weights, Keras HDF5."""
        return self.path / "weights.h5"

    @property
    def recipe(self) -> Path:
        """The resolved recipe."""
        return self.path / "recipe.toml"


def is_run(path: Path) -> bool:
    """Whether a folder looks like a run."""
    return (path / "run.json").is_file()


def open_run(path: Path) -> Run:
    """Open a run and check that its files are complete and unchanged.

    Raises RunError, naming the file and the fix, when the run is missing, cut short, edited or of another version.
    """
    if not path.is_dir():
        raise RunError(f"{path}: no such run; train one with 'edgeface train'")
    if (path / "bundle.json").is_file() and not (path / "run.json").exists():
        raise RunError(
            f"{path}: is a bundle; make a run of it with: edgeface train student DATA --init {path} --out RUN "
            "--set stage0.epochs=0 --set stage1.epochs=0"
        )
    info = _read_info(path / "run.json")
    try:
        run = Run(
            path=path,
            network=str(info["network"]),
            build=dict(info["build"]),
            face_input=FaceInput.from_dict(info["face_input"]),
            identities=tuple((path / "identities.txt").read_text(encoding="utf-8").splitlines()),
            dataset=dict(info["dataset"]),
            figures=dict(info["figures"]),
            info=info,
        )
        expected = str(info["weights_sha256"])
        names_sha256 = dict(info.get("files", {})).get("identities.txt")  # runs of before have none
        edited = names_sha256 not in (None, text_sha256(path / "identities.txt"))
    except (OSError, UnicodeDecodeError) as error:
        raise RunError(f"{path / 'identities.txt'}: cannot be read ({error}); train the run again") from None
    except (KeyError, TypeError, ValueError, BundleError) as error:
        raise RunError(f"{path / 'run.json'}: is damaged ({error!r}); train the run again") from None
    if run.build.get("classes") != len(run.identities):
        raise RunError(
            f"{path / 'identities.txt'}: does not have {run.build.get('classes')} lines; train the run again"
        )
    if edited:
        raise RunError(
            f"{path / 'identities.txt'}: is not the file this run wrote (SHA-256 differs); train the run again"
        )
    if not run.weights.is_file():
        raise RunError(f"{run.weights}: is missing; finish the run with 'edgeface train ... --resume'")
    if sha256(run.weights) != expected:
        raise RunError(f"{run.weights}: is not the file this run wrote (SHA-256 differs); train the run again")
    return run


def can_resume(path: Path) -> bool:
    """Whether training has left a checkpoint in this folder to go on from."""
    return (path / "checkpoints" / "checkpoint").is_file()


def read_metrics(run: Path) -> list[dict[str, Any]]:
    """The epochs of a run's `metrics.jsonl`, oldest first, up to the first line that is cut short or damaged."""
    path = run / "metrics.jsonl"
    rows = []
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines() if path.is_file() else []:
        try:
            row = json.loads(line)
            row["stage"], row["epoch"] = int(row["stage"]), int(row["epoch"])
        except (ValueError, KeyError, TypeError):
            break
        rows.append(row)
    return rows


def _read_info(path: Path) -> dict[str, Any]:
    try:
        info = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise RunError(f"{path}: is missing, so {path.parent} is not a run; train one with 'edgeface train'") from None
    except (OSError, ValueError) as error:
        raise RunError(f"{path}: cannot be read ({error}); train the run again") from None
    if not isinstance(info, dict) or info.get("format") != FORMAT:
        version = info.get("format") if isinstance(info, dict) else None
        raise RunError(f"{path}: format {version!r}, this version reads {FORMAT}; train the run again")
    if not info.get("weights_sha256"):
        raise RunError(f"{path.parent}: has no trained weights yet; finish it with 'edgeface train ... --resume'")
    return info
