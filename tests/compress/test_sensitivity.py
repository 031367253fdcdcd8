"""The parts of a network, what each costs alone, and that stored activations give what the whole network gives."""

from __future__ import annotations

import json

import numpy as np
import pytest
from typer.testing import CliRunner

from edgeface.cli import app
from edgeface.errors import UsageError
from edgeface.tensorflow_setup import quiet_tensorflow

quiet_tensorflow()

import tf_keras
from tf_keras import layers

from edgeface.compress import sensitivity
from edgeface.compress.sensitivity import Request, measure_sensitivity, read_audit
from edgeface.compress.units import cuts, importance, kept_channels, prune_groups, run_layers, split_units
from edgeface.models import mobilefacenet


@pytest.fixture(scope="module")
def audit(student_run) -> dict:
    return measure_sensitivity(Request(student_run, images=40, shares=(0.5,), quiet=True))


def test_units_are_blocks_or_layers(student):
    blocks = {unit.name: unit for unit in split_units(student, "block")}
    assert list(blocks)[:3] == ["stem", "stage1_enter", "stage1_block1"]
    block = blocks["stage1_block1"]
    assert [name.rpartition("_")[2] for name in block.layers] == ["reduce1", "reduce2", "3x1", "1x3", "expand"]
    assert "stage1_block1_add" in block.activations
    # The inner convolutions lose channels each by itself; what is added up goes with the layer that begins it.
    assert [len(group) for group in block.prunes] == [1, 1, 1, 1]
    assert blocks["stage1_enter"].prunes == (("stage1_enter", "stage1_block1_expand"),)
    assert blocks["head"].prunes == blocks["logits"].prunes == ()
    assert [unit.name for unit in split_units(student, "layer")][-2:] == ["head", "logits"]
    with pytest.raises(UsageError, match="choose layer or block"):
        split_units(student, "stage")


def test_depthwise_convolutions_share_channels_and_concatenations_none():
    image = tf_keras.Input((8, 8, 3), name="image")
    x = layers.Conv2D(4, 1, name="a")(image)
    x = layers.DepthwiseConv2D(3, padding="same", name="b")(x)
    y = layers.Conv2D(4, 1, name="c")(x)
    z = layers.Conv2D(4, 1, name="d")(layers.Concatenate(name="both")([x, y]))
    embedding = layers.GlobalAveragePooling2D(name="embedding")(layers.Conv2D(5, 1, name="e")(z))
    model = tf_keras.Model(image, {"embedding": embedding, "logits": layers.Dense(2, name="logits")(embedding)})
    assert prune_groups(model) == [("d",)]
    whole = tf_keras.Model(image, layers.Conv2D(4, 1, name="f")(x))
    assert set(cuts(model)) >= {0, 1, 2}
    assert whole.get_layer("b") is model.get_layer("b")


def test_units_of_another_network():
    units = {unit.name: unit for unit in split_units(mobilefacenet(5, size=32, bottlenecks=((2, 16, 2, 1),)), "block")}
    assert [name for name in units if name.startswith("group")] == ["group1_block1", "group1_block2"]
    # The depthwise convolution keeps the channels of the one before it; what is added up goes together.
    assert units["group1_block1"].prunes == (
        ("group1_block1_expand", "group1_block1_depthwise"),
        ("group1_block1_project", "group1_block2_project"),
    )
    assert units["stem"].prunes == (("stem", "stem_depthwise"),)
    assert units["projection"].prunes == ()


def test_running_on_from_a_cut_is_running_it_whole(student, samples):
    expected = student(samples[:4], training=False)
    assert len(cuts(student)) > 10
    names = [layer.name for layer in student.layers]
    assert "stage1_block1_reduce1" not in {names[place] for place in cuts(student)}
    for place in cuts(student)[::7]:
        state = run_layers(student, 0, samples[:4], place)[names[place]]
        outputs = run_layers(student, place, state, len(names) - 1)
        for name in ("embedding", "logits"):
            np.testing.assert_allclose(outputs[name], expected[name], atol=1e-5)


def test_least_important_channels_go(student):
    scores = importance(student, ["stem"])
    np.testing.assert_allclose(scores, np.abs(student.get_layer("stem_bn").gamma.numpy()), rtol=1e-6)
    np.testing.assert_array_equal(kept_channels(np.array([3.0, 1.0, 2.0, 4.0]), 0.5), [1, 0, 0, 1])
    assert kept_channels(np.array([3.0, 1.0]), 0.99).sum() == 1


def test_each_unit_alone(audit, student):
    assert [row["unit"] for row in audit["rows"]] == [unit.name for unit in split_units(student, "block")]
    assert audit["images"] == 40
    for row in audit["rows"]:
        assert row["int8"]["cosine"]["min"] > 0.97  # one block in int8 is a small change
        assert (row["prune"]["0.5"] is None) == (row["unit"] in ("head", "logits"))
    worst = min(row["prune"]["0.5"]["cosine"]["mean"] for row in audit["rows"] if row["prune"]["0.5"])
    assert worst < 0.95  # half of some layer's channels is not


@pytest.mark.slow
def test_it_leaves_the_network_as_it_was(student_run, student, monkeypatch):
    monkeypatch.setattr(sensitivity, "load_model", lambda _: student)
    before = student.get_weights()
    again = [measure_sensitivity(Request(student_run, images=32, shares=(), quiet=True)) for _ in range(2)]
    assert again[0]["rows"] == again[1]["rows"]
    assert any(row["int8"]["cosine"]["mean"] < 1 for row in again[0]["rows"])
    assert all(np.array_equal(a, b) for a, b in zip(before, student.get_weights(), strict=True))


@pytest.mark.parametrize(("options", "message"), [({"images": 31}, "at least 32"), ({"shares": (1.0,)}, "between 0")])
def test_refuses(student_run, options, message):
    with pytest.raises(UsageError, match=message):
        measure_sensitivity(Request(student_run, **options))


def test_command_keeps_the_json_from_its_picture(student_run, tmp_path):
    result = CliRunner().invoke(app, ["sensitivity", str(student_run), "--out", str(tmp_path / "audit.png")])
    assert result.exit_code == 2
    assert "name the JSON file" in result.stderr


@pytest.mark.slow
def test_command_writes_json_and_picture(student_run, tmp_path):
    out = tmp_path / "audit.json"
    arguments = ["sensitivity", str(student_run), "--images", "32", "--shares", "0.5", "--out", str(out), "--quiet"]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    assert "stage1_block1" in result.stdout
    assert read_audit(out)["shares"] == [0.5]
    assert out.with_suffix(".png").read_bytes()[:4] == b"\x89PNG"
    out.write_text(json.dumps({"format": "other"}))
    with pytest.raises(UsageError, match="not a sensitivity audit"):
        read_audit(out)
    assert CliRunner().invoke(app, ["sensitivity", str(student_run), "--shares", "half"]).exit_code == 2
