"""What a bundle's manifest must hold. Every field is checked for its type before anything uses it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from edgeface.errors import BundleError

FORMAT = "edgeface-bundle"
VERSION = 1
MODES = ("float32", "float16", "dynamic", "int8", "qat")
IO_DTYPES = ("float32", "int8")
FILES = ("model.tflite", "labels.txt", "MODEL_CARD.md")
OUTPUTS = {"classify": "logits", "embed": "embedding"}
"""Signature -> its output. Both take `image`."""
THRESHOLD_FIELDS = {"fmr", "threshold", "fnmr", "impostor_pairs", "genuine_pairs", "data"}
THRESHOLD_EXTRAS = {"detector", "flip"}
"""What bundles of earlier versions lack."""
SMALLEST_COUNT = 3
"""Rule of three: with N pairs and no error seen the rate may still be 3/N (95 %), so no rate under that is stated."""
LARGEST_SIZE = 4096
"""Pixels a side of the network's input: far more than any face recogniser takes."""
BUILD_DEPTH = 5
"""Lists within tables within lists... in the arguments of a network of the chain: a width list needs 4."""
_PLAIN_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,99}")
_HASH = re.compile(r"[0-9a-f]{64}")


class _Wrong(Exception):
    """A field that is missing or has the wrong type; its message names the field."""


def check(manifest: Any, path: Path) -> None:
    """Raise BundleError, naming the field, unless the manifest is complete, consistent and of this version."""
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise BundleError(f"{path}: not the manifest of an EdgeFace bundle; export the bundle again")
    version = manifest.get("version")
    if type(version) is not int or version != VERSION:
        raise BundleError(
            f"{path}: format version {repr(version)[:20]}, this EdgeFace reads {VERSION}; "
            "export the bundle again or install the EdgeFace that wrote it"
        )
    try:
        _one_of(manifest, "mode", MODES)
        _one_of(manifest, "io", IO_DTYPES)
        _whole(manifest, "embedding_size", 1, 1 << 20)
        _whole(manifest, "labels", 1, 1 << 24)
        _text(manifest, "note")
        _face_input(_table(manifest, "input"))
        _tensors(_table(manifest, "tensors"), manifest)
        if _field(manifest, "accuracy") is not None:
            _accuracy(_table(manifest, "accuracy"))
        _plain(_table(manifest, "source"), "source", depth=2)
        _thresholds(manifest.get("thresholds", []))
        _chain(manifest.get("chain", []))
        _files(_table(manifest, "files"))
        _text(manifest, "checksum")
    except _Wrong as error:
        raise BundleError(f"{path}: {error}; export the bundle again") from None


def _field(table: dict[str, Any], key: str) -> Any:
    if key not in table:
        raise _Wrong(f"{key!r} is missing")
    return table[key]


def _table(table: dict[str, Any], key: str) -> dict[str, Any]:
    value = _field(table, key)
    if not isinstance(value, dict):
        raise _Wrong(f"{key!r} should be a table")
    return value


def _text(table: dict[str, Any], key: str) -> str:
    value = _field(table, key)
    if not isinstance(value, str):
        raise _Wrong(f"{key!r} should be text")
    return value


def _one_of(table: dict[str, Any], key: str, choices: tuple[str, ...]) -> None:
    if _text(table, key) not in choices:
        raise _Wrong(f"{key!r} should be one of {', '.join(choices)}")


def _is_whole(value: Any, low: int, high: int) -> bool:
    return type(value) is int and low <= value <= high


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and abs(value) < 1e30


def _whole(table: dict[str, Any], key: str, low: int, high: int) -> int:
    value = _field(table, key)
    if not _is_whole(value, low, high):
        raise _Wrong(f"{key!r} should be a whole number from {low} to {high}")
    return value


def _face_input(values: dict[str, Any]) -> None:
    """Types and ranges that `FaceInput.from_dict` takes for granted."""
    _whole(values, "size", 1, LARGEST_SIZE)
    crop, frame, value_range = (_field(values, key) for key in ("crop", "frame", "value_range"))
    for name, value, length in (("crop", crop, 4), ("frame", frame, 2)):
        if value is not None and not _whole_list(value, length, 0, 1 << 16):
            raise _Wrong(f"input {name!r} should be empty or {length} whole numbers")
    if crop is not None:
        top, bottom, left, right = crop
        if frame is None or not (top < bottom <= frame[0] and left < right <= frame[1]):
            raise _Wrong("input 'crop' does not lie within 'frame'")
    if not isinstance(value_range, list) or len(value_range) != 2 or not all(map(_is_number, value_range)):
        raise _Wrong("input 'value_range' should be two numbers")
    if not value_range[0] < value_range[1]:
        raise _Wrong("input 'value_range' should rise")


def _whole_list(value: Any, length: int, low: int, high: int) -> bool:
    return isinstance(value, list) and len(value) == length and all(_is_whole(v, low, high) for v in value)


def _tensors(tensors: dict[str, Any], manifest: dict[str, Any]) -> None:
    """Both signatures, with the shapes that the input contract, the labels and the embedding size ask for."""
    if set(tensors) != set(OUTPUTS):
        raise _Wrong(f"the model should have the signatures {' and '.join(OUTPUTS)}")
    size = manifest["input"]["size"]
    lengths = {"classify": manifest["labels"], "embed": manifest["embedding_size"]}
    for signature, output in OUTPUTS.items():
        entry = _table(tensors, signature)
        _tensor(_table(entry, "input"), f"{signature} input", "image", [1, size, size, 3], (manifest["io"],))
        _tensor(_table(entry, "output"), f"{signature} output", output, [1, lengths[signature]], IO_DTYPES)


def _tensor(tensor: dict[str, Any], what: str, name: str, shape: list[int], dtypes: tuple[str, ...]) -> None:
    if set(tensor) != {"name", "dtype", "shape", "scale", "zero_point"}:
        raise _Wrong(f"{what} should have name, dtype, shape, scale and zero_point")
    if tensor["name"] != name:
        raise _Wrong(f"{what} should be called {name!r}")
    if tensor["dtype"] not in dtypes:
        raise _Wrong(f"{what} should be {' or '.join(dtypes)}")
    if not _whole_list(tensor["shape"], len(shape), 1, 1 << 24) or tensor["shape"] != shape:
        raise _Wrong(f"{what} should have the shape {shape}")
    scale, zero_point = tensor["scale"], tensor["zero_point"]
    if tensor["dtype"] == "float32":
        if scale is not None or zero_point is not None:
            raise _Wrong(f"{what} is float32 and should have no scale or zero_point")
    elif not _is_number(scale) or scale <= 0 or not _is_whole(zero_point, -128, 127):
        raise _Wrong(f"{what} should have a scale over 0 and a zero_point from -128 to 127")


def _accuracy(accuracy: dict[str, Any]) -> None:
    for key in ("before", "after"):
        value = _field(accuracy, key)
        if value is not None and not (_is_number(value) and 0 <= value <= 1):
            raise _Wrong(f"accuracy {key!r} should be empty or a number from 0 to 1")
    _whole(accuracy, "images", 0, 1 << 40)
    _text(accuracy, "data")
    _plain(accuracy, "accuracy", depth=2)


def _thresholds(thresholds: Any) -> None:
    """Rates in 0..1, a cosine, and the pairs behind them: an FMR under 3/N cannot have been measured."""
    if not isinstance(thresholds, list):
        raise _Wrong("'thresholds' should be a list")
    for entry in thresholds:
        if not isinstance(entry, dict) or set(entry) - THRESHOLD_EXTRAS != THRESHOLD_FIELDS:
            raise _Wrong(f"each of 'thresholds' should have {', '.join(sorted(THRESHOLD_FIELDS))}")
        for key, low, high in (("fmr", 0, 1), ("fnmr", 0, 1), ("threshold", -2, 2)):
            if not (_is_number(entry[key]) and low <= entry[key] <= high):
                raise _Wrong(f"threshold {key!r} should be a number from {low} to {high}")
        pairs = _whole(entry, "impostor_pairs", 1, 1 << 62)
        _whole(entry, "genuine_pairs", 1, 1 << 62)
        _text(entry, "data")
        _text({"detector": "", **entry}, "detector")
        if not isinstance(entry.get("flip", False), bool):
            raise _Wrong("threshold 'flip' should be true or false")
        if entry["fmr"] * pairs < SMALLEST_COUNT * (1 - 1e-9):
            raise _Wrong(f"threshold 'fmr' {entry['fmr']:g} is under 3/{pairs}")


def _chain(chain: Any) -> None:
    """The steps from the teacher to this model: flat tables with these entries."""
    if not isinstance(chain, list) or len(chain) > 100:
        raise _Wrong("'chain' should be a list of steps")
    for step in chain:
        if not isinstance(step, dict):
            raise _Wrong("'chain' should hold tables")
        for key in ("step", "name"):
            _text(step, key)
        for key in ("accuracy", "macs", "bytes", "fps"):
            value = _field(step, key)
            if value is not None and not (_is_number(value) and value >= 0):
                raise _Wrong(f"chain {key!r} should be empty or a number from 0 on")
        _arguments(step.get("build"))
        _plain({key: value for key, value in step.items() if key != "build"}, "chain", depth=1)


def _arguments(build: Any) -> None:
    """Nothing, or a network's arguments by name: plain values, and lists and tables of them."""
    if build is not None and not isinstance(build, dict):
        raise _Wrong("chain 'build' should be empty or a table")
    values = [(build or {}, 0)]
    while values:
        value, depth = values.pop()
        if isinstance(value, (dict, list)) and depth <= BUILD_DEPTH:
            values += [(entry, depth + 1) for entry in (value.values() if isinstance(value, dict) else value)]
        else:
            _plain(value, "chain 'build'", depth=0)


def _plain(value: Any, what: str, depth: int) -> None:
    """Text, numbers, true, false or nothing, in tables at most `depth` deep."""
    if isinstance(value, dict) and depth > 0:
        for key, entry in value.items():
            _plain(entry, f"{what} {key!r}", depth - 1)
    elif value is not None and not isinstance(value, (str, bool)) and not _is_number(value):
        raise _Wrong(f"{what} should be text, a number or a flat table of them")


def _files(files: dict[str, Any]) -> None:
    if not set(FILES) <= set(files):
        raise _Wrong(f"'files' should name {', '.join(FILES)}")
    for name, entry in files.items():
        if not _PLAIN_NAME.fullmatch(name) or name == "bundle.json":
            raise _Wrong(f"'files' names {name[:40]!r}, which is not a plain file name")
        if not isinstance(entry, dict) or set(entry) != {"size", "sha256"}:
            raise _Wrong(f"file {name!r} should have size and sha256")
        _whole(entry, "size", 0, 1 << 40)
        if not _HASH.fullmatch(_text(entry, "sha256")):
            raise _Wrong(f"file {name!r}: 'sha256' should be 64 hexadecimal digits")
