"""Reading .tflite files: figures known by hand, and files that are damaged."""

import numpy as np
import pytest

from edgeface.bench.tflite_ops import read_graph
from edgeface.compress.stem import lay_out_stem
from edgeface.errors import BundleError, EdgeFaceError


@pytest.fixture
def model(tiny_bundles):
    return {mode: folder / "model.tflite" for mode, folder in tiny_bundles.items()}


def test_the_operators_of_the_tiny_network_are_those_of_its_paper(model):
    """32 px, width 0.5: stem 5x5/2 valid to 64 channels gives 14x14; pooling 7x7; one block of 16 channels."""
    ops = {op.kind: op for op in reversed(read_graph(model["float32"]).ops)}
    stem = ops["convkxk"]
    assert stem.type == "CONV_2D"
    assert stem.macs == 14 * 14 * 64 * 5 * 5 * 3
    assert stem.input_bytes == 32 * 32 * 3 * 4
    assert stem.output_bytes == 14 * 14 * 64 * 4
    assert stem.weight_bytes == (5 * 5 * 3 * 64 + 64) * 4
    assert ops["conv3x1"].macs == ops["conv3x1"].output_bytes // 4 * 3 * 4
    assert "conv1x3" in ops
    assert ops["elementwise"].type == "ADD"


def test_int8_has_the_same_work_in_a_quarter_of_the_bytes(model):
    float32, int8 = ({op.kind: op for op in read_graph(model[mode]).ops} for mode in ("float32", "int8"))
    for kind in ("conv1x1", "conv3x1", "conv1x3", "convkxk"):
        assert int8[kind].macs == float32[kind].macs
        assert int8[kind].output_bytes * 4 == float32[kind].output_bytes
        assert (int8[kind].dtype, int8[kind].weight_dtype) == ("int8", "int8")
    assert float32["conv1x1"].dtype == "float32"


def test_a_stem_over_rows_is_still_that_convolution(tiny_models, tmp_path):
    """Neither a 5x1 nor a 1x3 one, of which profiles know less; gathering is copying."""
    kinds = {}
    for stem in ("plain", "rows"):
        path = tmp_path / f"{stem}.tflite"
        path.write_bytes(lay_out_stem(tiny_models["int8"], stem))
        kinds[stem] = {
            kind: [op.macs for op in read_graph(path).ops if op.kind == kind]
            for kind in ("convkxk", "conv3x1", "conv1x3", "layout")
        }
    plain, rows = kinds["plain"], kinds["rows"]
    assert (rows["conv3x1"], rows["conv1x3"]) == (plain["conv3x1"], plain["conv1x3"])
    assert rows["convkxk"] == [14 * 14 * 64 * 5 * 16]
    assert (plain["layout"], rows["layout"]) == ([], [0])


def test_weights_are_counted_once_and_lie_within_the_file(model):
    graph = read_graph(model["float32"])
    assert 0 < graph.weight_bytes < graph.file_bytes == model["float32"].stat().st_size
    assert graph.tensors[graph.inputs[0]].shape == (1, 32, 32, 3)


@pytest.mark.parametrize("content", [b"", b"TFL3", b"\0" * 64, b"\x10\0\0\0TFL3" + b"\xff" * 40])
def test_what_is_no_model_is_refused_by_name(tmp_path, content):
    path = tmp_path / "other.tflite"
    path.write_bytes(content)
    with pytest.raises(BundleError, match=r"other\.tflite"):
        read_graph(path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(BundleError, match=r"gone\.tflite"):
        read_graph(tmp_path / "gone.tflite")


def test_damaged_files_are_read_or_refused_and_never_crash(model, tmp_path):
    """Flips and cuts all over the file; the list of operators is at its end, so most cuts must be noticed."""
    whole, random, path = model["int8"].read_bytes(), np.random.default_rng(0), tmp_path / "model.tflite"
    for _ in range(60):
        damaged = bytearray(whole)
        for at in random.integers(0, len(whole), 200):
            damaged[at] ^= 1 << int(random.integers(8))
        path.write_bytes(damaged)
        try:
            read_graph(path)
        except EdgeFaceError as error:
            assert str(path) in str(error)  # noqa: PT017
    refused = 0
    for length in np.linspace(8, len(whole) - 8, 40).astype(int):
        path.write_bytes(whole[:length])
        try:
            read_graph(path)
        except BundleError:
            refused += 1
    assert refused > 30
