"""The bundle: one folder with everything a device needs, written at once and verified before anything is loaded.

    <name>/model.tflite    signatures `classify` (image -> logits) and `embed` (image -> embedding), batch 1
    <name>/labels.txt      one identity a line, in the order of the logits
    <name>/MODEL_CARD.md   what it is, what it saw, how good it is
    <name>/self_test.json  the model's answers to drawn pictures, for `edgeface doctor`
    <name>/bundle.json     input contract, tensors, accuracy, source, and the size and SHA-256 of the files above
    <name>/bundle.sig      only when signed: see signing.py

`bundle.json` carries a checksum of itself, so that a flipped bit anywhere in the folder is found.
"""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from edgeface import model_card
from edgeface.bundle_schema import FORMAT, MODES, OUTPUTS, VERSION
from edgeface.errors import BundleError, UsageError
from edgeface.face_input import FaceInput
from edgeface.files import atomic_folder, is_line, storage_errors
from edgeface.interpreter import Interpreter, Signature, Tensor
from edgeface.manifest import MANIFEST_FILE, SIGNATURE_FILE, read_file, read_manifest, render, sealed
from edgeface.self_test import SELF_TEST_FILE, reference_outputs
from edgeface.signing import check_signature, pinned_key
from edgeface.thresholds import Threshold, find_threshold

MODEL_FILE = "model.tflite"
LABELS_FILE = "labels.txt"
CARD_FILE = "MODEL_CARD.md"


@dataclass(frozen=True)
class Bundle:
    """An opened bundle: all its files had the size and SHA-256 that its manifest gives.

    `mode` is float32, float16, dynamic, int8 or qat; `io` the dtype of the model's input (float32 or int8).
    `tensors[signature]` holds the image input and the output. `accuracy` is None when not measured, else `before` and
    `after` conversion (top-1, 0..1, or None), `images` and `data`. `source` says where it came from. `chain` has an
    entry for each step on the way (teacher, student, pruned, this model): step, name, accuracy, macs, bytes, fps...
    """

    path: Path
    mode: str
    io: str
    face_input: FaceInput
    labels: tuple[str, ...]
    embedding_size: int
    tensors: dict[str, Signature]
    accuracy: dict[str, Any] | None
    source: dict[str, Any]
    note: str
    files: dict[str, dict[str, Any]] = field(repr=False)
    thresholds: tuple[Threshold, ...] = ()
    chain: tuple[dict[str, Any], ...] = ()

    def threshold(self, fmr: float) -> Threshold:
        """The calibrated threshold for a false match rate. Raises UsageError when it was not measured."""
        return find_threshold(self.thresholds, fmr, self.path)

    @property
    def model_path(self) -> Path:
        """The .tflite file. Load the model by `read_model`, which checks the bytes that it returns."""
        return self.path / MODEL_FILE

    @property
    def model_sha256(self) -> str:
        """SHA-256 of the .tflite file, hexadecimal: the model's identity."""
        return self.files[MODEL_FILE]["sha256"]

    @property
    def size(self) -> int:
        """Bytes of the .tflite file."""
        return self.files[MODEL_FILE]["size"]

    def read_model(self) -> bytes:
        """The .tflite file's bytes, checked again as they are read, so that nothing can change in between."""
        return read_file(self.path, MODEL_FILE, self.files[MODEL_FILE])

    def read_self_test(self) -> bytes | None:
        """The stored answers of the model (see self_test.py), None when the bundle was written without."""
        entry = self.files.get(SELF_TEST_FILE)
        return None if entry is None else read_file(self.path, SELF_TEST_FILE, entry)


def write_bundle(
    folder: str | Path,
    model: bytes,
    labels: Sequence[str],
    face_input: FaceInput,
    mode: str,
    *,
    accuracy: dict[str, Any] | None = None,
    source: dict[str, Any] | None = None,
    note: str = "",
    chain: Sequence[dict[str, Any]] = (),
) -> Bundle:
    """Write a bundle atomically and open it. Tensors, io dtype and embedding size are read from the model.

    `accuracy` needs `before`, `after` (top-1 in 0..1, or None), `images` and `data`; more entries are kept. `source` is
    free: names to plain values or flat dictionaries (run, network, recipe, dataset, dataset_hash, revision, versions).
    `note` goes into the model card, for instance that the data is for research only. An existing bundle is
    replaced; any other folder raises UsageError. A model without the two signatures raises BundleError. `chain` says
    what each step on the way gave: flat entries with `step`, `name`, `accuracy`, `macs`, `bytes` and `fps`, None for
    not measured.
    """
    folder = Path(folder).resolve()
    refuse_other_files(folder)
    interpreter = Interpreter(model)
    tensors = interpreter.signatures
    manifest = {
        "format": FORMAT,
        "version": VERSION,
        "mode": mode,
        "io": tensors["classify"].inputs[0].dtype if "classify" in tensors else "",
        "embedding_size": tensors["embed"].outputs[0].shape[-1] if "embed" in tensors else 0,
        "labels": len(labels),
        "input": face_input.to_dict(),
        "tensors": {name: _tensors_to_dict(tensors[name]) for name in OUTPUTS if name in tensors},
        "accuracy": accuracy,
        "source": source or {},
        "note": note,
        "chain": list(chain),
    }
    manifest = json.loads(json.dumps(manifest, default=_plain))
    contents = {MODEL_FILE: model, LABELS_FILE: _labels_text(labels).encode()}
    contents[CARD_FILE] = model_card.render(folder.name, manifest, contents).encode()
    manifest = sealed(manifest, contents, folder)
    contents[SELF_TEST_FILE] = reference_outputs(interpreter, face_input)
    _write(folder, sealed(manifest, contents, folder), contents)
    return _opened(folder, read_manifest(folder))


def open_bundle(folder: str | Path, trust: str | Path | None = None) -> Bundle:
    """Open a bundle after checking its version, its manifest, and the size and SHA-256 of every file.

    With `trust`, a public key's file, or a key pinned on this device (see signing.py), its signature as well.
    Raises BundleError, in one line, when it is missing, cut short, edited, of another version or not trusted.
    """
    folder = Path(folder)
    _refuse_run(folder)
    manifest = read_manifest(folder)
    key = Path(trust) if trust is not None else pinned_key()
    if key is not None:
        check_signature(folder, manifest, key)
    return _opened(folder, manifest)


def _opened(folder: Path, manifest: dict[str, Any]) -> Bundle:
    """The bundle that a checked manifest describes, once its files have been checked."""
    contents = {name: read_file(folder, name, entry) for name, entry in manifest["files"].items()}
    labels = tuple(contents[LABELS_FILE].decode("utf-8", "replace").splitlines())
    if len(labels) != manifest["labels"]:
        raise BundleError(
            f"{folder / LABELS_FILE}: {len(labels)} names, the model has {manifest['labels']}; export it again"
        )
    return Bundle(
        path=folder,
        mode=manifest["mode"],
        io=manifest["io"],
        face_input=FaceInput.from_dict(manifest["input"]),
        labels=labels,
        embedding_size=manifest["embedding_size"],
        tensors={name: _tensors_from_dict(entry) for name, entry in manifest["tensors"].items()},
        accuracy=manifest["accuracy"],
        source=manifest["source"],
        note=manifest["note"],
        files=manifest["files"],
        thresholds=tuple(Threshold(**entry) for entry in manifest.get("thresholds", ())),
        chain=tuple(manifest.get("chain", ())),
    )


def store_thresholds(folder: str | Path, thresholds: Sequence[Threshold], measured_on: str | None = None) -> Bundle:
    """Put thresholds into a bundle's manifest and model card, in place of those it had, and open it.

    The model and the labels stay as they are. All at once: an interrupted update leaves the bundle as it was. A
    signature no longer fits and is removed. `measured_on` is the SHA-256 of the model that they were measured on.
    Raises BundleError for a damaged bundle, or one of another model; UsageError when other files lie in the folder.
    """
    folder = Path(folder).resolve()
    refuse_other_files(folder)
    manifest = read_manifest(folder)
    if measured_on not in (None, manifest["files"][MODEL_FILE]["sha256"]):
        raise BundleError(f"{folder}: its model was replaced while the thresholds were measured; calibrate again")
    contents = {name: read_file(folder, name, entry) for name, entry in manifest["files"].items()}
    manifest = sealed({**manifest, "thresholds": [asdict(entry) for entry in thresholds]}, {}, folder)
    contents[CARD_FILE] = model_card.render(folder.name, manifest, contents).encode()
    _write(folder, sealed(manifest, contents, folder), contents)
    return _opened(folder, read_manifest(folder))


def is_bundle(folder: str | Path) -> bool:
    """Whether a folder looks like a bundle (it may still be damaged)."""
    return os.path.isfile(Path(folder) / MANIFEST_FILE)


def _write(folder: Path, manifest: dict[str, Any], contents: dict[str, bytes]) -> None:
    with atomic_folder(folder) as temporary:
        for name, content in contents.items():
            (temporary / name).write_bytes(content)
        (temporary / MANIFEST_FILE).write_text(render(manifest), encoding="utf-8")


def _refuse_run(folder: Path) -> None:
    """Raise BundleError for the folder of a training run."""
    if os.path.isfile(folder / "run.json") and not is_bundle(folder):
        command = shlex.join(["edgeface", "quantize", str(folder)])
        raise BundleError(f"{folder}: is a training run; make a bundle of it with: {command}")


def refuse_other_files(folder: Path) -> None:
    """Raise UsageError unless a folder is a bundle with nothing else in it, empty, or not there: it is replaced."""
    if not os.path.lexists(folder):
        return
    _refuse_run(folder)
    with storage_errors(folder):
        names = set(os.listdir(folder)) if folder.is_dir() else set()
    others = sorted(names - {MODEL_FILE, LABELS_FILE, CARD_FILE, SELF_TEST_FILE, MANIFEST_FILE, SIGNATURE_FILE})
    if not folder.is_dir() or others or (names and not is_bundle(folder)):
        what = f"holds other files ({', '.join(others[:3])})" if others else "is not a bundle"
        fix = "move them out" if others else "remove it"
        raise UsageError(f"{folder} exists and {what}; choose another folder or {fix}")


def _labels_text(labels: Sequence[str]) -> str:
    """One label a line; a label that would break the file's lines, or is there twice, is refused."""
    for label in labels:
        if not is_line(label):
            raise BundleError(f"identity name {label!r} cannot be a line of {LABELS_FILE}; rename the identity")
    if len(set(labels)) != len(labels):
        raise BundleError(f"an identity is there twice; {LABELS_FILE} needs each name once")
    return "".join(f"{label}\n" for label in labels)


def _plain(value: Any) -> Any:
    """numpy numbers and paths as JSON."""
    return value.item() if hasattr(value, "item") else str(value)


def _tensors_to_dict(signature: Signature) -> dict[str, Any]:
    return {"input": asdict(signature.inputs[0]), "output": asdict(signature.outputs[0])}


def _tensors_from_dict(entry: dict[str, Any]) -> Signature:
    return Signature(
        inputs=(Tensor(**{**entry["input"], "shape": tuple(entry["input"]["shape"])}),),
        outputs=(Tensor(**{**entry["output"], "shape": tuple(entry["output"]["shape"])}),),
    )


__all__ = ["MODES", "OUTPUTS", "Bundle", "is_bundle", "open_bundle", "store_thresholds", "write_bundle"]
