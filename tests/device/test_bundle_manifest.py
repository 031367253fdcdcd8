"""bundle.json: wrong types, missing fields and hostile names are refused, even under a right checksum."""

from __future__ import annotations

import contextlib
import copy
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeface.bundle import open_bundle, refuse_other_files
from edgeface.errors import BundleError, RunError
from edgeface.run import open_run

Refused = Callable[[Path], str]


def write_manifest(folder: Path, manifest: Any, *, sign: bool = True) -> None:
    """A manifest whose own checksum is right, so that only its content can be refused."""
    if isinstance(manifest, dict) and sign:
        rest = {key: value for key, value in manifest.items() if key != "checksum"}
        text = json.dumps(rest, indent=2) + "\n"
        if "checksum" in manifest:
            manifest = {**manifest, "checksum": hashlib.sha256(text.encode()).hexdigest()}
    (folder / "bundle.json").write_text(json.dumps(manifest, indent=2) + "\n")


def read_manifest(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "bundle.json").read_text())


@pytest.mark.parametrize("name", ["../model.tflite", "/etc/passwd", "a/b", "a\\b", "..", ".hidden", "", "bundle.json"])
def test_file_names_that_lead_elsewhere_are_refused(bundle: Path, name: str, refused: Refused) -> None:
    manifest = read_manifest(bundle)
    manifest["files"][name] = manifest["files"]["labels.txt"]
    write_manifest(bundle, manifest)
    assert "not a plain file name" in refused(bundle)


def test_another_version_is_named(bundle: Path, refused: Refused) -> None:
    for version in (2, "1", 1.0, True, None, "\ud800"):
        write_manifest(bundle, {**read_manifest(bundle), "version": version})
        assert "this EdgeFace reads 1" in refused(bundle)


WRONG = (None, True, -1, 0, 10**30, 1.5, 1e308, "", "text", "\ud800", [], [1], {}, {"a": 1}, [[[]]])


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The way to every value of a document."""
    entries = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for key, entry in entries for place in places(entry, (*path, key)))]


def replaced(document: Any, place: tuple[Any, ...], value: Any) -> Any:
    """A copy with another value at that place."""
    if not place:
        return value
    document = copy.deepcopy(document)
    parent = document
    for key in place[:-1]:
        parent = parent[key]
    parent[place[-1]] = value
    return document


def removed(document: Any, place: tuple[Any, ...]) -> Any:
    document = copy.deepcopy(document)
    parent = document
    for key in place[:-1]:
        parent = parent[key]
    del parent[place[-1]]
    return document


def test_wrong_types_anywhere_are_bundle_errors(bundle: Path) -> None:
    """Even with a right checksum: either the value is allowed there, or BundleError."""
    manifest = read_manifest(bundle)
    allowed = set()
    for place in places(manifest):
        for wrong in WRONG:
            write_manifest(bundle, replaced(manifest, place, wrong), sign=place != ("checksum",))
            with contextlib.suppress(BundleError):
                open_bundle(bundle).face_input.prepare(np.zeros((64, 64, 3), np.uint8))
                allowed.add(place[0])
    assert allowed == {"accuracy", "source", "note", "input", "tensors", "chain"}


def test_a_step_of_the_chain_may_say_how_its_network_is_built(bundle: Path, refused: Refused) -> None:
    figures = {"accuracy": None, "macs": 1, "bytes": 1, "fps": None}
    step = {"step": "pruned", "name": "small", "network": "squeezenext_23v5", **figures}
    manifest = read_manifest(bundle)
    build = {"size": 64, "widths": {"stem": 8, "stages": [8], "blocks": [[[4, 2, 4, 4]]]}}
    for good in (step, {**step, "build": None}, {**step, "build": build}):
        write_manifest(bundle, {**manifest, "chain": [good]})
        assert open_bundle(bundle).chain == (good,)
    for wrong in (1, [], "{}", {"size": 10**31}, {"widths": [[[[[[[1]]]]]]]}):
        write_manifest(bundle, {**manifest, "chain": [{**step, "build": wrong}]})
        assert "chain 'build'" in refused(bundle)


def test_missing_fields_are_bundle_errors(bundle: Path, refused: Refused) -> None:
    manifest = read_manifest(bundle)
    for place in places(manifest)[1:]:
        write_manifest(bundle, removed(manifest, place))
        # Under a right checksum: a bundle may be written without a self-test or a chain, and say less of its source.
        if (place[0] == "source" and len(place) > 1) or place in (("files", "self_test.json"), ("chain",)):
            open_bundle(bundle)
        else:
            refused(bundle)


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "null", "1", '{"format": NaN}', "[" * 100_000, '{"a":' * 100_000, "\ufeff{}", "1" * 10_000]
)
def test_text_that_is_no_manifest(bundle: Path, text: str, refused: Refused) -> None:
    (bundle / "bundle.json").write_text(text)
    refused(bundle)


def test_other_spelling_of_the_same_manifest_is_refused(bundle: Path, refused: Refused) -> None:
    (bundle / "bundle.json").write_text(json.dumps(read_manifest(bundle)))
    assert "edited" in refused(bundle)


def test_nested_without_end_under_an_unknown_name(bundle: Path, refused: Refused) -> None:
    content = (bundle / "bundle.json").read_text()
    (bundle / "bundle.json").write_text(content.replace("{", '{"x": ' + "[" * 900 + "]" * 900 + ",", 1))
    refused(bundle)


def test_manifest_that_does_not_fit_the_model(bundle: Path, refused: Refused) -> None:
    manifest = read_manifest(bundle)
    manifest["tensors"]["classify"]["input"]["scale"] = 0.5
    write_manifest(bundle, manifest)
    assert "not those of bundle.json" in refused(bundle)


def test_a_run_is_no_bundle_and_a_bundle_is_no_run(tiny_run: Path, bundle: Path) -> None:
    before = sorted(path.name for path in tiny_run.iterdir())
    for use in (open_bundle, refuse_other_files):
        with pytest.raises(BundleError, match=r"is a training run; make a bundle of it with: edgeface quantize"):
            use(tiny_run)
    assert sorted(path.name for path in tiny_run.iterdir()) == before
    with pytest.raises(RunError, match=r"is a bundle; make a run of it with: edgeface train student DATA --init"):
        open_run(bundle)
